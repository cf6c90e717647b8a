"""The fleet simulator: the same seed gives the same journal, in every process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rackwright.api.cli.simulate import as_data
from rackwright.api.simulation import Simulated, Simulation, simulate
from rackwright.engine.errors import OperatorError
from rackwright.engine.schedule.events import RunStatus
from rackwright.engine.simulate.fault_file import parse_faults
from rackwright.inventory.facade import Inventory

CONTENT = Path(__file__).parents[2] / "cases" / "simulate"
FAULTS = """\
faults:
- {kind: refuse, stages: [join], machines: [n6, n9], note: on purpose}
- {kind: hang, stages: [last], machines: [n7]}
- {kind: fail, probability: 0.2, attempts: 1}
- {kind: duplicate_event, probability: 0.3}
"""


def run(seed: int = 7, faults: str = "", keep: Path | None = None) -> Simulated:
    rules = parse_faults(faults, "f.yaml") if faults else ()
    return simulate(Simulation(40, "steps", seed=seed, rules=rules, content=(CONTENT,), keep=keep))


def test_a_run_without_faults_succeeds_and_is_reported() -> None:
    found = run()
    assert found.status == RunStatus.SUCCEEDED
    assert [(s.name, s.machines) for s in found.report.stages] == [
        ("first", 40),
        ("init", 1),
        ("join", 37),
        ("last", 40),
    ]
    assert found.report.critical_path[-1].stage == "last"
    assert found.attempts == 40 + 1 + 37 + 40


def test_with_faults_exactly_the_injected_fail_and_each_says_why() -> None:
    found = run(faults=FAULTS)
    assert found.status == RunStatus.DEGRADED
    assert {(f.stage, f.machine_name) for f in found.report.failures} == {
        ("join", "n6"),
        ("join", "n9"),
        ("last", "n7"),
    }
    assert all("injected" in f.error for f in found.report.failures)
    assert found.hits[:2] == (2, 1)
    listed = as_data(found)["failed"]
    assert [(f["machine"], f["stage"]) for f in listed] == [
        ("n6", "join"),
        ("n9", "join"),
        ("n7", "last"),
    ]
    assert all("f.yaml:" in f["error"] for f in listed)


def test_another_seed_is_another_run() -> None:
    assert run(seed=1).journal_digest != run(seed=2).journal_digest


CHILD = """
import json, sys
from tests.unit.api.test_simulation import FAULTS, run
print(json.dumps(run(faults=FAULTS).journal_digest))
"""


def test_the_journal_is_the_same_under_any_hash_seed() -> None:
    digests = set()
    for hash_seed in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", CHILD],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(json.loads(done.stdout))
    assert len(digests) == 1
    assert digests == {run(faults=FAULTS).journal_digest}


def test_the_data_directory_may_be_kept(tmp_path: Path) -> None:
    found = run(keep=tmp_path / "kept")
    inventory = Inventory.open(tmp_path / "kept")
    assert inventory.run(found.run_id).status == RunStatus.SUCCEEDED
    assert len(inventory.tasks(found.run_id)) == 40 + 1 + 37 + 40
    inventory.close()
    with pytest.raises(OperatorError, match="not empty"):
        run(keep=tmp_path / "kept")
