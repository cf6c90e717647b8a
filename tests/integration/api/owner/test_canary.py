"""A BMC password is written once and comes out nowhere: output, errors, events, audit, files."""

import pytest

from rackwright.api.cli.client import ApiError
from rackwright.inventory.facade import Inventory
from tests.integration.api.controller import Controller

CANARY = "CANARY-5e1d0c"
GOOD = f"""\
machines:
- name: m
  bmc: {{protocol: redfish, address: 192.0.2.11, username: root, password: {CANARY}}}
  nics: [{{mac: "52:54:00:00:00:01"}}]
"""
BAD = (
    GOOD.replace("password: ", "pasword: "),
    GOOD.replace("password: ", "password: [").replace("}\n  nics", "]}\n  nics"),
    GOOD.replace("name: m", f"name: {{m: {CANARY}}}"),
    GOOD + f"  bmc_password: {CANARY}\n",
    GOOD.replace("machines:", "machines: &"),
)
CSV = f"""\
name,macs,bmc_protocol,bmc_address,bmc_username,bmc_password
m,52:54:00:00:00:01,redfish,192.0.2.11,root,{CANARY}
"""


def test_a_password_comes_out_nowhere(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RACKWRIGHT_LOG_LEVEL", "debug")
    said = []
    with controller.owner() as client:
        said += [controller.run("machine", "enrol", "-", stdin=text) for text in BAD]
        said.append(controller.ok("machine", "enrol", "-", stdin=GOOD))
        said.append(controller.ok("machine", "enrol", "-", stdin=GOOD))
        said.append(controller.ok("machine", "enrol", controller.file("m.csv", CSV)))
        said.append(
            controller.ok(
                "machine", "add", "m2", "--bmc", "redfish:192.0.2.12", "--bmc-user", "root",
                "--bmc-password-file", "-", "--mac", "52:54:00:00:00:02", stdin=CANARY,
            )
        )  # fmt: skip
        for command in (
            ("machine", "list"),
            ("machine", "show", "m"),
            ("machine", "show", "m2"),
            ("events",),
        ):
            said += [controller.ok(*command, "-o", fmt) for fmt in ("table", "json", "yaml")]
        with pytest.raises(ApiError) as refused:
            client.post("/v1/machines/enrol", {"machines": {"password": CANARY}, "format": 7})
        assert CANARY not in str(refused.value.detail)
    for done in said:
        assert CANARY not in done.out + done.err
    assert CANARY not in caplog.text
    for path in controller.data.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_the_audit_tells_who_enrolled_and_no_password(controller: Controller) -> None:
    controller.ok("machine", "enrol", "-", stdin=GOOD)
    inventory = Inventory.open(controller.data)
    try:
        rows = inventory.audit()
        credentials = inventory.credentials(inventory.machine("m").id)
    finally:
        inventory.close()
    assert any("enrol" in str(row["action"]) for row in rows)
    assert CANARY not in repr(rows)
    assert credentials.password == CANARY  # drivers alone get it
    assert CANARY not in repr(credentials)
