"""The role os/baseline on a machine of its own: this host, with another /etc and fake services."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwright.engine.content.library import Library
from rackwright.engine.schedule.events import Mode, Result
from tests.conformance.executors.ansible_bench import AnsibleBench, stage
from tests.conformance.executors.sshd import Keys, Sshd

# Services and kernel settings are files; nothing of this host's own is touched.
FAKE = r"""#!/bin/bash
state=@STATE@
name=${0##*/}
echo "$name $*" >>"$state/calls"
case $name in
  sysctl)
    if [ "$1" = -n ]; then cat "$state/sysctl-$2"; exit; fi
    file=${*: -1}; file=${file#--load=}
    while read -r key _ value; do
      [ "${key:0:1}" = '#' ] || echo "$value" >"$state/sysctl-$key"
    done <"$file" ;;
  systemctl)
    case $1 in
      is-enabled|is-active) [ -e "$state/running" ] ;;
      show) echo "Id=$2"; echo "LoadState=loaded"
        [ ! -e "$state/running" ] || word=active
        echo "ActiveState=${word:-inactive}" ;;
      start|enable|restart) touch "$state/running" ;;
    esac ;;
esac
"""
HAS_SUDO = shutil.which("visudo") is not None
PARAMS = {
    "time_service": "timesyncd",
    "ntp_servers": ["ntp1.example.org", "192.0.2.7"],
    "sysctl": {"vm.swappiness": 10, "net.ipv4.ip_local_port_range": "20000 60000"},
    "journal_size": "500M",
    "journal_age": "2week",
    "users": [
        {
            "name": "rwtester",
            "shell": "/bin/bash",
            "sudo": HAS_SUDO,
            "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 ada@example.org"],
        },
    ],
}


@pytest.fixture
def machine(tmp_path: Path, keys: Keys) -> Iterator[Sshd]:
    """An sshd in a mount namespace: its /etc, /home and /run are copies."""
    state = tmp_path / "state"
    state.mkdir()
    fake = tmp_path / "fake"
    fake.write_text(FAKE.replace("@STATE@", str(state)))
    fake.chmod(0o755)
    for name in ("etc", "home", "run"):
        (tmp_path / name).mkdir()
    subprocess.run(["cp", "-a", "/etc/.", str(tmp_path / "etc")], check=True)
    (tmp_path / "run/sshd").mkdir()
    binds = [f"mount --bind {tmp_path}/{name} /{name}" for name in ("etc", "home", "run")]
    for program in ("/usr/bin/systemctl", "/usr/sbin/sysctl"):
        binds.append(f"[ ! -e {program} ] || mount --bind {fake} {program}")
    sshd = Sshd.start(tmp_path / "m-1", keys, "m-1", inside=" && ".join(binds))
    yield sshd
    sshd.stop()


def test_baseline_is_applied_once_and_then_holds(machine: Sshd, keys: Keys, tmp_path: Path) -> None:
    library = Library.over_packaged()
    files = {
        f.path.removeprefix("roles/os/baseline/"): f.data.decode()
        for f in library.role_files("os/baseline")
    }
    one = stage(params=PARAMS, outputs=("time_service", "machine_id"), role="os/baseline")
    bench = AnsibleBench({"m-1": machine}, keys, files, stages=[one])
    etc, state = tmp_path / "etc", tmp_path / "state"
    try:
        (first,) = asyncio.run(bench.outcomes(timeout_s=150.0))
        assert first.error == "", first.error
        assert first.result is Result.CHANGED
        calls = (state / "calls").read_text()
        (second,) = asyncio.run(bench.outcomes(number=2, timeout_s=150.0))
        assert (second.result, second.error) == (Result.SATISFIED, "")
        after = (state / "calls").read_text().removeprefix(calls)
        assert "start" not in after
        evidence = json.loads(second.evidence)
        assert evidence["users"] == ["rwtester"]
        assert evidence["time_service"] == "timesyncd"
        assert (
            "NTP=ntp1.example.org 192.0.2.7\n"
            in (etc / "systemd/timesyncd.conf.d/90-rackwright.conf").read_text()
        )
        assert (etc / "sudoers.d/90-rackwright-rwtester").exists() is HAS_SUDO
        assert (state / "sysctl-vm.swappiness").read_text() == "10\n"
        assert "rwtester:*:" in (etc / "shadow").read_text()
        assert not (Path("/etc/sudoers.d/90-rackwright-rwtester")).exists()
        # whoever changes it behind our back is found out
        (state / "sysctl-vm.swappiness").write_text("60\n")
        with (tmp_path / "home/rwtester/.ssh/authorized_keys").open("a") as stream:
            stream.write("ssh-ed25519 AAAA stranger\n")
        (third,) = asyncio.run(bench.outcomes(number=3, timeout_s=150.0, mode=Mode.PROBE))
        assert third.result is Result.UNSATISFIED
        why = json.loads(third.evidence)["why"]
        assert "vm.swappiness is 60" in why
        assert "/home/rwtester/.ssh/authorized_keys" in why
    finally:
        bench.remove()
