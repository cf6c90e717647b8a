"""What a simulation leaves behind, read as any other run."""

from pathlib import Path

from tests.integration.api.controller import rackwright


def test_a_means_that_was_needed_again_and_failed_is_explained_by_its_error(tmp_path: Path) -> None:
    faults = tmp_path / "f.yaml"
    faults.write_text(
        "faults:\n- {kind: outage, machines: [n4], at: 3m}\n"  # once it has booted
    )
    kept = tmp_path / "kept"
    args = ["--machines", "6", "--workflow", "swarm", "--faults", faults, "--keep", kept]
    assert "injected outage" in rackwright("simulate", *map(str, args)).out
    done = rackwright("--data-dir", str(kept), "run", "explain", "n4", "-o", "json")
    rows = {row["stage"]: (row["state"], row["why"]) for row in done.json}
    assert rows["netboot"] == (
        "failed",
        f"the machine cannot be reached: injected outage ({faults}:2)",
    )
    assert rows["install"] == ("blocked", "netboot did not succeed on this machine")


def test_a_workflow_that_is_not_there_is_the_callers_mistake() -> None:
    done = rackwright("simulate", "--machines", "3", "--workflow", "nope")
    assert (done.code, "nope" in done.err) == (2, True)
