"""Enrolment as data: each file in tests/cases/enrol is a document and what becomes of it."""

import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from sqlalchemy import func, select

from rackwright.inventory import credentials, enrol, machines
from rackwright.inventory.errors import EnrolError
from rackwright.inventory.tables import AUDIT, MACHINE
from tests.unit.inventory.conftest import NOW, RACK, Store

CASES = sorted((Path(__file__).parents[3] / "cases" / "enrol").glob("*.yaml"))


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text())
    return found


def count(store: Store) -> int:
    return store.read(lambda c: c.scalar(select(func.count()).select_from(MACHINE))) or 0


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(store: Store, path: Path) -> None:
    case = load(path)
    if case.get("before"):
        store.enrol(RACK)
    before = count(store)
    if "errors" in case:
        with pytest.raises(EnrolError) as caught:
            store.enrol(case["text"], case["file"])
        found = [str(problem) for problem in caught.value.problems]
        assert len(found) == len(case["errors"]), found
        for text, expected in zip(found, case["errors"], strict=True):
            assert text.startswith(expected), text
        assert count(store) == before
        return
    report = store.enrol(case["text"], case["file"])
    outcomes: dict[str, list[str]] = {}
    for machine in sorted(report.machines, key=lambda machine: machine.name):
        outcomes.setdefault(machine.outcome, []).append(machine.name)
    assert outcomes == case["outcome"]


def test_cases_are_found() -> None:
    assert len(CASES) > 40


def test_an_enrolled_rack_reads_as_it_was_written(rack: tuple[Store, dict[str, str]]) -> None:
    store, ids = rack
    n1 = store.read(lambda c: machines.get(c, "n1"))
    assert n1.id == ids["n1"]
    assert n1.id.startswith("m-")
    assert len(n1.id) == 14
    assert (n1.site, n1.rack, n1.machine_class, n1.labels) == (
        "lab",
        "r1",
        "small",
        {"role": "manager"},
    )
    assert n1.pxe_mac == "52:54:00:77:01:02"
    assert [nic.mac for nic in n1.nics] == ["52:54:00:77:01:01", "52:54:00:77:01:02"]
    assert (n1.management_address, n1.cluster_address) == ("10.77.0.11/24", "10.77.0.11")
    assert (n1.gateway, n1.origin, n1.state, n1.drives) == (
        "10.77.0.1",
        "netboot",
        "enrolled",
        None,
    )
    assert n1.bmc is not None
    assert (n1.bmc.protocol, n1.bmc.address) == ("ipmi", "10.77.1.11")
    found = store.read(lambda c: credentials.get(c, store.box, n1.id))
    assert (found.username, found.password, found.cipher_suite) == ("admin", "hunter2", 3)


def test_a_machine_with_an_os_is_available_at_once(rack: tuple[Store, dict[str, str]]) -> None:
    store, ids = rack
    view = store.read(lambda c: machines.get(c, "borrowed"))
    binding = store.read(lambda c: machines.ssh_binding(c, ids["borrowed"]))
    assert (view.state, view.origin, view.bmc) == ("available", "existing", None)
    assert view.cluster_address == "10.0.0.5"
    assert binding is not None
    assert (binding.user, binding.port) == ("root", 22)
    assert binding.host_key.startswith("ssh-ed25519 AAAA")


def test_ids_survive_a_second_enrolment_and_nothing_is_written(
    rack: tuple[Store, dict[str, str]],
) -> None:
    store, ids = rack
    audited = store.read(lambda c: c.scalar(select(func.count()).select_from(AUDIT)))
    again = store.enrol()
    assert {machine.name: machine.id for machine in again.machines} == ids
    assert again.count("unchanged") == 3
    assert again.segments_changed == ()
    assert store.read(lambda c: c.scalar(select(func.count()).select_from(AUDIT))) == audited


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("password: hunter2, cipher_suite: 3", "password: other, cipher_suite: 3", ("bmc",)),
        ("address: 10.77.1.11", "address: 10.77.1.99", ("bmc",)),
        ("labels: {role: manager}", "labels: {role: worker}", ("labels",)),
        ('{mac: "52:54:00:77:01:01"}, ', "", ("nics",)),
        ("address: 10.77.0.11/24", "address: 10.77.0.13/24", ("address", "segment")),
        ("uuid: 4c4c4544-0042", "uuid: 4c4c4544-0043", ("uuid",)),
    ],
)
def test_an_update_writes_what_changed(
    rack: tuple[Store, dict[str, str]], old: str, new: str, changed: tuple[str, ...]
) -> None:
    store, _ = rack
    assert old in RACK
    report = store.enrol(RACK.replace(old, new, 1))
    found = {machine.name: machine.changed for machine in report.machines}
    assert found == {"n1": changed, "n2": (), "borrowed": ()}
    assert store.enrol(RACK.replace(old, new, 1)).count("unchanged") == 3


def test_keys_left_out_keep_what_is_recorded(rack: tuple[Store, dict[str, str]]) -> None:
    store, ids = rack
    store.write(lambda c: machines.protect(c, ids["n2"], protected=True, actor="t", now=NOW))
    text = 'machines:\n- {name: n2, site: lab, nics: [{mac: "52:54:00:77:02:01"}]}'
    assert store.enrol(text).count("unchanged") == 1
    view = store.read(lambda c: machines.get(c, "n2"))
    assert (view.protected, view.labels, view.serial) == (True, {"role": "worker"}, "RW-N2")
    assert view.management_address == "10.77.0.12/24"


def test_a_failure_at_the_last_machine_leaves_nothing(store: Store) -> None:
    text = RACK + '- {name: last, site: lab, nics: [{mac: "52:54:00:77:09:01"}],\n'
    text += "   segment: provisioning, address: 10.77.0.150/24}\n"
    with pytest.raises(EnrolError):
        store.enrol(text)
    assert count(store) == 0


def test_an_alias_bomb_is_refused_in_no_time() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    began = time.thread_time()
    with pytest.raises(EnrolError):
        enrol.parse("\n".join(lines), "bomb.yaml")
    assert time.thread_time() - began < 1


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(EnrolError):
        enrol.parse("machines: " + "[" * 5000 + "]" * 5000, "deep.yaml")


def test_no_password_stands_in_an_error(store: Store) -> None:
    text = RACK.replace("cipher_suite: 3", "cipher_suite: 99").replace("hunter2", "canary-pw")
    with pytest.raises(EnrolError) as caught:
        store.enrol(text)
    assert "canary-pw" not in str(caught.value)
    assert "canary-pw" not in repr(enrol.parse(RACK.replace("hunter2", "canary-pw"), "f").input)
