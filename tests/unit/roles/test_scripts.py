"""Every script of every role renders, and is bash."""

import subprocess
from typing import Any

import pytest

from rackwright.engine.content.library import Library
from tests.unit.roles.bench import CLUSTER, NODE, PRELUDE, ROLES, context, render

SCRIPTS = sorted(
    (role, path.relative_to(ROLES / role).as_posix())
    for role in Library.over_packaged().role_names()
    for path in (ROLES / role).rglob("*.sh")
)
MEMBER = {
    "cluster_id": CLUSTER,
    "manager_addr": "10.77.0.11:2377",
    "node_id": NODE,
    "role": "manager",
    "machine": "n1",
    "hostname": "n1",
    "boot_id": "b",
}
DRIVE = {
    "serial": "S1",
    "wwn": "",
    "path": "/dev/vda",
    "model": "disk; reboot",
    "size_bytes": 1 << 33,
    "sector_bytes": 512,
    "transport": "virtio",
    "rotational": False,
    "removable": False,
    "has_data": True,
    "signatures": ["dos"],
}
ERASURE = {
    "machine_id": "m-1",
    "drive_serial": "S1",
    "drive_wwn": "",
    "drive_model": "disk; reboot",
    "size_bytes": 1 << 33,
    "sector_bytes": 512,
    "signatures": ["dos"],
    "install_id": "i-1",
    "image_digest": "ab" * 32,
    "generation": 1,
    "attempts": 3,
    "reason": "not installed",
}
INSTALLED = {
    "install_id": "i-1",
    "image_digest": "ab" * 32,
    "drive_serial": "S1",
    "generation": 1,
    "os": "debian 12",
}
SSH = {"authorized_key": "ssh-ed25519 AAAA", "host_certificate": "cert AAAA"}
LATE = {
    "prepare": {"by_machine": {"m-2": {"hostname": "n2", "node_state": "inactive"}}},
    "init": {"by_machine": {"m-1": MEMBER}, **MEMBER},
    "proof": {"by_machine": {"m-1": {"nonce": "f00", "cluster_id": CLUSTER}}, "nonce": "f00"},
    "identify": {"by_machine": {"m-3": {"leaving_hostname": "n3", "leaving_node_id": "l" * 25}}},
}
CONTEXTS: dict[str, dict[str, Any]] = {
    "first": context(erase=ERASURE, ssh=SSH),
    "later": context(
        installed=INSTALLED, outputs=LATE, cluster={"name": "demo", "id": CLUSTER}, ssh=SSH
    ),
}


def test_there_are_scripts() -> None:
    assert ("orchestrator/swarm", "join/apply.sh") in SCRIPTS
    assert ("runtime/docker", "install/check.sh") in SCRIPTS


@pytest.mark.parametrize("moment", sorted(CONTEXTS))
@pytest.mark.parametrize(("role", "script"), SCRIPTS)
def test_script_is_bash_once_rendered(role: str, script: str, moment: str) -> None:
    values = CONTEXTS[moment]
    if role == "os/image" and moment == "later" and script.endswith("apply.sh"):
        values = values | {"erase": ERASURE}  # a reinstall: it never applies without an erasure
    values = values | {"machine": {**values["machine"], "drives": [DRIVE]}}
    rendered = PRELUDE.read_text() + render(role, script, values)
    checked = subprocess.run(
        ["bash", "-n"], input=rendered, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "{%" not in rendered


@pytest.mark.parametrize(("role", "script"), SCRIPTS)
def test_hostile_values_stay_words(role: str, script: str) -> None:
    """A name that a shell would act on stands quoted wherever it is rendered."""
    hostile = "x;touch /pwned $(reboot) `id` \"'"
    values = CONTEXTS["later"]
    machine = {**values["machine"], "name": hostile, "product": hostile, "drives": [DRIVE]}
    rendered = render(role, script, values | {"machine": machine, "erase": ERASURE})
    checked = subprocess.run(
        ["bash", "-n"], input=rendered, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    bare = [line for line in rendered.splitlines() if "touch /pwned" in line]
    assert all("'x;touch /pwned" in line for line in bare)


@pytest.mark.parametrize("role", ["runtime/docker", "orchestrator/swarm"])
def test_borrowed_machines_need_no_jq(role: str) -> None:
    for path in (ROLES / role).rglob("*.sh"):
        assert "jq " not in path.read_text()
