"""Machines by the command line."""

import json
from collections.abc import Iterator

import pytest
from ruamel.yaml import YAML

from tests.integration.api.controller import HOST_KEY, MACHINES, Controller

CSV = """\
name,site,class,labels,macs,pxe_mac,bmc_protocol,bmc_address,bmc_username,bmc_password
c1,lab,big,role=db;tier=a,52:54:00:00:00:01;52:54:00:00:00:02,52:54:00:00:00:02,ipmi,10.9.0.1,admin,pw
c2,lab,big,,52:54:00:00:00:03,,redfish,bmc-c2.example.net:443,admin,pw
"""


@pytest.fixture
def rack(controller: Controller) -> Iterator[Controller]:
    with controller.owner():
        yield controller


def test_yaml_is_enrolled_and_twice_changes_nothing(rack: Controller) -> None:
    path = rack.file("m.yaml", MACHINES)
    first = rack.ok("machine", "enrol", path, "-o", "json").json
    assert first == [{"name": "a", "result": "created"}, {"name": "b", "result": "created"}]
    second = rack.ok("machine", "enrol", path, "-o", "json").json
    assert {row["result"] for row in second} == {"unchanged"}


def test_yaml_comes_from_stdin(rack: Controller) -> None:
    rack.ok("machine", "enrol", "-", stdin=MACHINES)
    assert [m["name"] for m in rack.ok("machine", "list", "-o", "json").json] == ["a", "b"]


def test_csv_is_enrolled(rack: Controller) -> None:
    rack.ok("machine", "enrol", rack.file("m.csv", CSV))
    rows = rack.ok("machine", "list", "-o", "json").json
    assert [(row["name"], row["bmc"]) for row in rows] == [
        ("c1", "ipmi:10.9.0.1"),
        ("c2", "redfish:bmc-c2.example.net:443"),
    ]


def test_a_machine_is_added_by_flags(rack: Controller) -> None:
    rack.ok(
        "machine", "add", "n1", "--bmc", "redfish:10.9.0.5", "--bmc-user", "admin",
        "--bmc-password-file", "-", "--mac", "52:54:00:00:00:09", "--label", "role=x",
        stdin="hunter2\n",
    )  # fmt: skip
    shown = rack.ok("machine", "show", "n1", "-o", "json").json
    assert shown["bmc"]["protocol"] == "redfish"
    assert shown["labels"] == {"role": "x"}
    assert shown["state"] == "enrolled"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--ssh", "root@10.0.0.1"], "host_key"),
        (["--ssh", "root@10.0.0.1:ssh", "--host-key", HOST_KEY], "port"),
        (["--label", "role", "--mac", "52:54:00:00:00:09"], "KEY=VALUE"),
        (["--bmc", "10.0.0.1"], "PROTOCOL:ADDRESS"),
        (["--bmc", "redfish:10.0.0.1", "--bmc-password-file", "/nonexistent"], "/nonexistent"),
        ([], "ssh"),
    ],
)
def test_flags_that_make_no_machine_are_refused(
    rack: Controller, flags: list[str], said: str
) -> None:
    done = rack.run("machine", "add", "n1", *flags)
    assert done.code == 2, done.err
    assert said in done.err
    assert rack.ok("machine", "list", "-o", "json").json == []


def test_a_mistake_in_a_document_is_told_with_its_place(rack: Controller) -> None:
    path = rack.file("m.yaml", MACHINES.replace("labels:", "lables:"))
    done = rack.run("machine", "enrol", path)
    assert done.code == 2
    assert f"{path}:2:13:" in done.err
    assert "hint:" in done.err
    assert rack.ok("machine", "list", "-o", "json").json == []


@pytest.mark.parametrize("args", [("show", "n9"), ("forget", "n9", "--yes"), ("protect", "n9")])
def test_an_unknown_machine_is_told_with_a_hint(rack: Controller, args: tuple[str, ...]) -> None:
    done = rack.run("machine", *args)
    assert done.code == 2
    assert "n9" in done.err
    assert "rackwright machine list" in done.err


def test_machines_are_selected_by_label_and_state(rack: Controller) -> None:
    rack.ok("machine", "enrol", rack.file("m.yaml", MACHINES))
    rack.ok("machine", "enrol", rack.file("m.csv", CSV))
    assert len(rack.ok("machine", "list", "-l", "role=x", "-o", "json").json) == 2
    assert len(rack.ok("machine", "list", "--state", "enrolled", "-o", "json").json) == 2
    wrong = rack.run("machine", "list", "-l", "role=(")
    assert wrong.code == 2
    assert "selector" in wrong.err


def test_an_unknown_state_is_refused(rack: Controller) -> None:
    done = rack.run("machine", "list", "--state", "enroled")
    assert done.code == 2
    assert "enrolled" in done.err


def test_protect_blocks_power_until_it_is_lifted(rack: Controller) -> None:
    rack.ok("machine", "enrol", rack.file("m.csv", CSV))
    rack.ok("machine", "protect", "c1")
    refused = rack.run("machine", "power", "off", "c1", "--yes")
    assert refused.code == 2
    assert "protected" in refused.err
    rack.ok("machine", "protect", "c1", "--off")
    assert rack.ok("machine", "show", "c1", "-o", "json").json["protected"] is False


def test_forget_needs_acceptance(rack: Controller) -> None:
    rack.ok("machine", "enrol", rack.file("m.yaml", MACHINES))
    assert rack.run("machine", "forget", "a").code == 2
    still_there = rack.run("machine", "forget", "a", "--yes")
    assert still_there.code == 2
    assert "rackwright machine state" in still_there.err
    rack.ok("machine", "state", "a", "retired", "--reason", "sold")
    rack.ok("machine", "forget", "a", "--yes")
    assert [m["name"] for m in rack.ok("machine", "list", "-o", "json").json] == ["b"]


def test_a_machine_that_holds_no_data_back_has_nothing_to_release(rack: Controller) -> None:
    rack.ok("machine", "enrol", rack.file("m.yaml", MACHINES))
    done = rack.run("machine", "release", "a", "--yes")
    assert done.code == 2
    assert "Traceback" not in done.err


@pytest.mark.parametrize("state", ["active", "allocated", "nonsense", "discovered"])
def test_a_state_that_is_not_an_operators_is_refused(rack: Controller, state: str) -> None:
    rack.ok("machine", "enrol", rack.file("m.yaml", MACHINES))
    done = rack.run("machine", "state", "a", state, "--reason", "because")
    assert done.code == 2
    assert "maintenance or retired" in done.err
    assert rack.ok("machine", "show", "a", "-o", "json").json["state"] == "available"


def test_power_of_a_machine_without_bmc_is_refused(rack: Controller) -> None:
    rack.ok("machine", "enrol", rack.file("m.yaml", MACHINES))
    done = rack.run("machine", "power", "status", "a")
    assert done.code == 2
    assert "no BMC" in done.err
    assert rack.run("machine", "power", "explode", "a").code == 2
    assert rack.run("machine", "sensors", "a").code == 2


def test_every_list_and_show_is_valid_json_and_yaml(rack: Controller) -> None:
    rack.ok("machine", "enrol", rack.file("m.yaml", MACHINES))
    rack.ok("cluster", "apply", rack.spec(), "--yes")
    for command in (
        ("machine", "list"),
        ("machine", "show", "a"),
        ("cluster", "list"),
        ("cluster", "show", "c"),
        ("cluster", "plan", str(rack.spec())),
        ("plan", "list"),
        ("run", "list"),
        ("run", "show"),
        ("run", "tasks"),
        ("workflow", "list"),
        ("workflow", "check", "steps"),
        ("image", "list"),
        ("events",),
    ):
        as_json = rack.ok(*command, "-o", "json")
        as_yaml = rack.ok(*command, "--output", "yaml")
        assert YAML(typ="safe").load(as_yaml.out) == as_json.json, command
        table = rack.ok(*command)
        assert all(line == line.rstrip() for line in table.out.splitlines()), command
        assert "\x1b" not in table.out + table.err


def test_an_empty_list_says_so_on_stderr_alone(rack: Controller) -> None:
    done = rack.ok("machine", "list")
    assert (done.out, done.err) == ("", "none\n")
    assert json.loads(rack.ok("machine", "list", "-o", "json").out) == []


def test_colour_is_left_out_where_it_is_not_wanted(
    rack: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    done = rack.run("machine", "show", "n9")
    assert "\x1b[3" not in done.err


def test_the_audit_tells_who_changed_a_machine_and_why(controller: Controller) -> None:
    controller.enrol()
    controller.ok("machine", "state", "a", "maintenance", "--reason", "a new fan")
    rows = controller.ok("audit", "a", "-o", "json").json
    assert {row["name"] for row in rows} == {"a"}
    assert (rows[0]["action"], rows[0]["actor"]) == ("machine.maintain", "operator")
    assert rows[0]["detail"]["reason"] == "a new fan"
    older = controller.ok("audit", "--before", str(rows[0]["id"]), "-o", "json").json
    assert rows[0]["id"] not in {row["id"] for row in older}
    assert "new fan" in controller.ok("audit").out.replace("\n", " ")
