"""The same decisions give the same digest: whatever the order of inputs, in every process."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.engine.errors import OperatorError
from rackwright.engine.machine import Machine, Origin
from rackwright.engine.plan.canonical import (
    Rows,
    canonical_json,
    canonical_pieces,
    digest,
    digest_of,
)
from rackwright.engine.plan.codec import plan_document, plan_from_json, plan_to_json
from rackwright.engine.plan.diff import plan_diff
from rackwright.engine.plan.fingerprint import plan_fingerprint
from rackwright.engine.plan.model import Plan
from tests.unit.engine.plan.rack import (
    ARTIFACTS,
    SPEC,
    drive,
    installed,
    library,
    machine,
    plan_of,
)

CONTENT = library()
ROOT = Path(__file__).parents[4]


@st.composite
def racks(draw: st.DrawFn) -> list[Machine]:
    kinds = draw(st.lists(st.sampled_from("fie"), min_size=2, max_size=7))
    rack = [machine(1)]
    for number, kind in enumerate(kinds, 2):
        match kind:
            case "f":
                rack.append(machine(number, labels={"role": "worker", "z": "1", "a": "2"}))
            case "i":
                rack.append(installed(number, state="available"))
            case _:
                rack.append(machine(number, origin=Origin.EXISTING, drives=None, bmc=None))
    return rack


@settings(deadline=None, max_examples=40)
@given(racks(), st.randoms())
def test_the_order_of_inputs_does_not_matter(rack: list[Machine], random: Any) -> None:
    def shuffled(values: dict[str, str]) -> dict[str, str]:
        items = list(values.items())
        random.shuffle(items)
        return dict(items)

    other = [
        replace(
            m,
            labels=shuffled(dict(m.labels)),
            drives=None if m.drives is None else tuple(reversed(m.drives)),
        )
        for m in rack
    ]
    random.shuffle(other)
    first = plan_of(rack, content=CONTENT)
    second = plan_of(other, content=CONTENT, artifacts=shuffled(ARTIFACTS))
    assert first == second
    assert first.digest == second.digest


@settings(deadline=None, max_examples=40)
@given(racks())
def test_a_plan_survives_its_json(rack: list[Machine]) -> None:
    plan = plan_of(rack, content=CONTENT)
    text = json.dumps(plan_to_json(plan))
    again = plan_from_json(json.loads(text))
    assert again == plan
    assert json.dumps(plan_to_json(again)) == text


PRINT_DIGEST = """
from tests.unit.engine.plan.rack import machine, plan_of
print(plan_of([machine(i) for i in range(1, 9)]).digest)
"""


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_hash_seed_does_not_matter(seed: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", PRINT_DIGEST],
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout.strip() == plan_of([machine(i) for i in range(1, 9)]).digest


def test_an_altered_plan_is_refused() -> None:
    document = plan_to_json(plan_of([machine(i) for i in range(1, 4)]))
    document["erasures"][0]["drive_serial"] = "ANOTHER"
    with pytest.raises(OperatorError, match="altered"):
        plan_from_json(document)


@pytest.mark.parametrize("document", [{}, {"format": 1}, {"format": 2}, {"format": 1, "stages": 3}])
def test_what_is_no_plan_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(OperatorError, match="not a plan of ours"):
        plan_from_json(document)


def test_the_estimate_is_outside_the_digest() -> None:
    plan = plan_of([machine(i) for i in range(1, 4)])
    again = plan_from_json(plan_to_json(replace(plan, estimate_s=1.0)))
    assert again.estimate_s == 1.0
    assert again.digest == plan.digest


def test_the_json_grows_with_machines_and_stages_not_their_product() -> None:
    spec = SPEC.replace("count: 2", "count: 200")
    document = plan_to_json(plan_of([machine(i) for i in range(1, 202)], spec))
    assert len(document["profiles"]) == 2


def test_canonical_json_is_plain_and_sorted() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == b'{"a":"\\u00e9","b":1}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))
    with pytest.raises(TypeError):
        canonical_json({1, 2})


# the fingerprint --------------------------------------------------------------------------------


def fingerprint_of(plan: Plan, rack: list[Machine], **changes: Any) -> str:
    known = {m.id: m for m in rack}
    given = {"members": {}, "cluster_id": "", **changes}
    return plan_fingerprint(plan, lambda machine_id: known[machine_id], **given)  # type: ignore[index]


RACK = [machine(i) for i in range(1, 5)]


@pytest.mark.parametrize(
    "changes",
    [
        {"drives": (drive("RW-N1-A", has_data=True, signatures=("ext4",)),)},
        {"drives": (drive("RW-N1-A"), drive("NEW"))},
        {"labels": {"role": "worker"}},
        {"state": "maintenance"},
        {"protected": True},
        {"management_address": "10.77.0.99/24"},
        {"pxe_mac": "52:54:00:ff:ff:ff"},
        {"bmc": None},
        {"installed": installed(1).installed},
        {"name": "other"},
    ],
)
def test_a_plan_is_stale_when_what_it_was_decided_from_changes(changes: dict[str, Any]) -> None:
    plan = plan_of(RACK)
    assert fingerprint_of(plan, RACK) == plan.fingerprint
    assert fingerprint_of(plan, [replace(RACK[0], **changes), *RACK[1:]]) != plan.fingerprint


def test_a_plan_is_stale_when_the_cluster_was_formed_meanwhile() -> None:
    plan = plan_of(RACK)
    assert fingerprint_of(plan, RACK, cluster_id="c1") != plan.fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"drives": (drive("RW-N1-A", path="/dev/vdz"),)},
        {"labels": {"role": "manager", "note": "seen"}},
        {"facts": {"power": "on"}},
        {"console": "ttyS1"},
        {"memory_bytes": 1},
    ],
)
def test_a_plan_is_not_stale_for_anything_else(changes: dict[str, Any]) -> None:
    plan = plan_of(RACK)
    rack = [replace(RACK[0], **changes), *RACK[1:3], replace(RACK[3], state="failed")]
    assert fingerprint_of(plan, rack) == plan.fingerprint


def test_a_members_state_may_move_on() -> None:
    rack = [installed(1), *RACK[1:]]
    members = {rack[0].id: "managers"}
    plan = plan_of(rack, members=members)
    moved = [replace(rack[0], state="deploying"), *rack[1:]]
    assert fingerprint_of(plan, moved, members=members) == plan.fingerprint


def test_a_diff_names_what_changed() -> None:
    old = plan_of(RACK)
    new = plan_of([replace(RACK[0], installed=installed(1).installed), *RACK[1:]])
    rows = {what: (a, b) for what, a, b in plan_diff(old, new)}
    assert rows["machine n1.install"] == ("apply", "satisfied")
    assert rows[f"erasures.{RACK[0].id}"][1] == ""
    assert plan_diff(old, old) == ()


def test_a_diff_has_a_row_for_each_value_of_a_stage_that_changed() -> None:
    old = plan_of(RACK)
    stages = [
        replace(s, timeout_s=7.0, retries=replace(s.retries, max=9)) if s.name == "install" else s
        for s in old.stages
    ]
    told = {what: (a, b) for what, a, b in plan_diff(old, replace(old, stages=tuple(stages)))}
    assert told["stages.install.timeout_s"][1] == "7.0"
    assert told["stages.install.retries.max"][1] == "9"
    assert all(len(a) < 100 > len(b) for a, b in told.values())
    fewer = plan_diff(old, replace(old, stages=old.stages[1:]))
    assert [row for row in fewer if row[0].startswith("stages.")] == [
        ("stages.netboot", "hardware/netboot#netboot on all", "")
    ]


def test_a_plan_in_pieces_is_the_plan_at_once() -> None:
    spec = SPEC.replace("count: 2", "count: 1200")
    plan = plan_of([machine(i) for i in range(1, 1202)], spec)
    document = plan_to_json(plan)
    assert plan_document(plan) == canonical_json(document)
    assert len(document["machines"]) == len(document["erasures"]) == 1201
    decisions = {k: v for k, v in document.items() if k not in ("digest", "estimate_s")}
    assert plan.digest == digest(decisions)


def test_a_plan_with_names_of_any_script_is_the_same_in_pieces() -> None:
    plan = plan_of([machine(i) for i in range(1, 4)])
    found = [replace(erasure, drive_model="Накопитель") for erasure in plan.erasures]
    plan = replace(plan, erasures=tuple(found))
    assert found
    assert plan_document(plan) == canonical_json(plan_to_json(plan))
    assert plan_document(plan).isascii()


ANY_TEXT = st.text(st.characters(codec=None, categories=("L", "N", "P", "Z", "Cc", "Cs")))


@given(st.lists(st.lists(ANY_TEXT | st.integers() | st.none() | st.booleans(), max_size=4)))
def test_rows_that_are_sorted_are_canonical_whoever_writes_them(rows: list[object]) -> None:
    pieces = b"".join(canonical_pieces({"rows": Rows(lambda: rows, is_sorted=True)}))
    assert pieces == canonical_json({"rows": rows})


def test_a_delete_character_is_canonical_too() -> None:
    rows = [["\x7f"]]
    pieces = b"".join(canonical_pieces({"rows": Rows(lambda: rows, is_sorted=True)}))
    assert pieces == canonical_json({"rows": rows})


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2000])
def test_rows_are_written_as_a_list(count: int) -> None:
    rows = list(range(count))
    value = {"a": Rows(lambda: rows), "b": {"c": 1}}
    plain = canonical_json({"a": rows, "b": {"c": 1}})
    assert b"".join(canonical_pieces(value)) == plain
    assert digest_of(value) == digest({"a": rows, "b": {"c": 1}})
