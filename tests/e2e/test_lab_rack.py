"""The virtual rack itself, on real QEMU: its BMCs by ipmitool and sushy, its life and its end.

The tests share one rack of two machines and follow one another in this file's order.
"""

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rackwright.lab import processes, rack
from rackwright.lab.errors import HardwareError, HostError
from rackwright.lab.spec import RackSpec
from rackwright.lab.state import RackState

pytestmark = pytest.mark.rack

BANNER = b"Old OS 7.3 (warehouse-db)"
PROMPT = b"old login: "
BOOT_S = 90.0
REPOSITORY = Path(__file__).parents[2]
# Waits for a DHCP request of one MAC; prints the architecture option's number (RFC 4578 2.1)
WAIT_FOR_DHCP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"rw0")
s.bind(("0.0.0.0", 67))
s.settimeout(float(sys.argv[2]))
print("listening", flush=True)
while True:
    data = s.recv(2048)
    if data[28:34].hex(":") == sys.argv[1]:
        i = 240
        while data[i] != 255:
            if data[i] == 93:
                print(int.from_bytes(data[i + 2 : i + 4], "big"))
            i += 2 + data[i + 1]
        break
"""


@pytest.fixture(scope="module")
def spec() -> RackSpec:
    built_in = rack.load_rack(None)
    return replace(built_in, name=f"t{os.getpid()}", machines=built_in.machines[:2])


@pytest.fixture(scope="module")
def lab(spec: RackSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RackState]:
    directory = tmp_path_factory.mktemp("rack") / "state"
    state = rack.up(spec, directory)
    yield state
    rack.down(directory)


def in_rack(lab: RackState, *argv: str) -> list[str]:
    return ["ip", "netns", "exec", lab.spec.namespace, *argv]


def ipmitool(lab: RackState, *arguments: str, machine: str = "n1") -> list[str]:
    """The argument vector of ipmitool; the password comes from a file, never from argv."""
    address = next(m.bmc.address for m in lab.spec.machines if m.name == machine)
    password = lab.directory.parent / f"{machine}.password"
    password.write_text(lab.passwords[machine])
    password.chmod(0o600)
    access = ["-I", "lanplus", "-C", "17", "-H", address, "-U", "admin", "-f", str(password)]
    return in_rack(lab, "ipmitool", *access, *arguments)


def ipmi(lab: RackState, *arguments: str, machine: str = "n1") -> str:
    argv = ipmitool(lab, *arguments, machine=machine)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def power(lab: RackState, machine: str = "n1") -> str:
    return ipmi(lab, "chassis", "power", "status", machine=machine).split()[-1]


def machine_status(lab: RackState, name: str = "n1") -> dict[str, Any]:
    return next(entry for entry in rack.status(lab.directory) if entry["name"] == name)


def wait_until(claim: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, "deadline passed"
        time.sleep(0.05)


class Sol:
    """``ipmitool sol activate`` on a terminal of its own."""

    def __init__(self, lab: RackState, machine: str = "n1") -> None:
        self._terminal, other = pty.openpty()
        self._client = subprocess.Popen(
            ipmitool(lab, "sol", "activate", machine=machine),
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)
        self._seen = b""
        self.expect(b"SOL Session operational", 15.0)

    def expect(self, wanted: bytes, timeout_s: float = BOOT_S) -> None:
        """Read until ``wanted``, and forget all up to it."""
        deadline = time.monotonic() + timeout_s
        while wanted not in self._seen:
            left = deadline - time.monotonic()
            ready = select.select([self._terminal], [], [], max(left, 0))[0]
            assert ready, f"no {wanted!r} in {self._seen[-300:]!r}"
            self._seen += os.read(self._terminal, 4096)
        self._seen = self._seen.partition(wanted)[2]

    def type(self, text: bytes) -> None:
        os.write(self._terminal, text)

    def close(self) -> None:
        self._client.terminate()
        self._client.wait()
        os.close(self._terminal)


@pytest.fixture
def sol(lab: RackState) -> Iterator[Sol]:
    console = Sol(lab)
    yield console
    console.close()
    subprocess.run(ipmitool(lab, "sol", "deactivate"), capture_output=True, check=False)


@contextlib.contextmanager
def dhcp_request(lab: RackState, mac: str) -> Iterator[list[str]]:
    """Wait, at the end of the block, for a DHCP request of ``mac``; the list gets its options."""
    argv = in_rack(lab, sys.executable, "-c", WAIT_FOR_DHCP, mac, str(BOOT_S))
    seen: list[str] = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listening\n"
        yield seen
        seen += listener.stdout.read().split()
    assert listener.returncode == 0, f"no DHCP request of {mac}"


def test_enrolment_is_private_and_tells_nothing_of_disks(lab: RackState) -> None:
    path = lab.directory / "enrolment.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    enrolled = YAML(typ="safe").load(text)
    assert [machine["name"] for machine in enrolled["machines"]] == ["n1", "n2"]
    assert enrolled["machines"][1]["bmc"]["certificate_pem"].startswith("-----BEGIN CERT")
    assert not re.search("RW-N1-A|firmware|disk|drive", text)


def test_name_that_is_taken_is_refused_and_nothing_is_left(lab: RackState, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with pytest.raises(HostError, match="exists already"):
        rack.up(lab.spec, other)
    assert not other.exists()
    assert machine_status(lab)["power"] == "on"


def test_old_system_is_seen_over_sol_across_a_power_cycle_and_unchanged(
    lab: RackState, sol: Sol
) -> None:
    before = rack.disk_digest(lab.directory, "n1", "RW-N1-A")
    ipmi(lab, "chassis", "power", "cycle")
    sol.expect(BANNER)
    sol.expect(PROMPT)
    sol.type(b"hello\r")
    sol.expect(b"Login incorrect: hello", 15.0)
    ipmi(lab, "chassis", "power", "cycle")
    sol.expect(BANNER)
    assert rack.disk_digest(lab.directory, "n1", "RW-N1-A") == before


def test_guest_reset_is_a_fresh_boot_and_guest_shutdown_stays_off(lab: RackState, sol: Sol) -> None:
    sol.type(b"\r")
    sol.expect(PROMPT, 15.0)
    first = machine_status(lab)["qemu_pid"]
    sol.type(b"reboot\r")
    sol.expect(BANNER)
    assert machine_status(lab)["qemu_pid"] not in (None, first)
    sol.expect(PROMPT)
    sol.type(b"poweroff\r")
    wait_until(lambda: power(lab) == "off")


def test_sensors_answer(lab: RackState) -> None:
    assert "CPU Temp" in ipmi(lab, "sensor")
    assert "4 " in ipmi(lab, "sdr", "info") or "Record Count" in ipmi(lab, "sdr", "info")


def test_pxe_once_asks_the_network_from_the_second_nic_and_is_spent(lab: RackState) -> None:
    ipmi(lab, "chassis", "bootdev", "pxe")
    assert "Force PXE" in ipmi(lab, "chassis", "bootparam", "get", "5")
    with dhcp_request(lab, "52:54:00:77:01:02"):
        ipmi(lab, "chassis", "power", "on")
    assert "No override" in ipmi(lab, "chassis", "bootparam", "get", "5")


def test_killed_qemu_is_reported_off_and_comes_back(lab: RackState) -> None:
    os.kill(machine_status(lab)["qemu_pid"], signal.SIGKILL)
    wait_until(lambda: power(lab) == "off")
    console = Sol(lab)
    try:
        ipmi(lab, "chassis", "power", "on")
        console.expect(BANNER)
    finally:
        console.close()
    ipmi(lab, "chassis", "power", "off")
    assert power(lab) == "off"


def test_wrong_password_is_refused_at_once(lab: RackState) -> None:
    argv = ipmitool(lab, "chassis", "power", "status")
    wrong = lab.directory.parent / "wrong"
    wrong.write_text("wrong")
    argv[argv.index("-f") + 1] = str(wrong)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0


def test_redfish_serves_sushy(lab: RackState) -> None:
    machine = lab.spec.machines[1]
    given = {
        "address": machine.bmc.address,
        "username": "admin",
        "password": lab.passwords["n2"],
        "certificate_pem": lab.certificates["n2"],
    }
    script = str(REPOSITORY / "tests/conformance/lab_redfish.py")
    done = subprocess.run(
        in_rack(lab, sys.executable, script),
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "power_before": "Off",
        "uuid": machine.uuid,
        "boot_set": ["Pxe", "Once", "UEFI"],
        "power_on": "On",
        "boot_after": "Disabled",
        "power_restarted": "On",
        "temperatures": [23, 51],
        "managers": 1,
        "power_off": "Off",
        "sessions": 1,
        "sessions_after": 0,
    }


def test_redfish_machine_has_its_console_over_ipmi_and_pxe_boots_with_nvram_wiped(
    lab: RackState,
) -> None:
    rack.wipe_nvram(lab.directory, "n2", pxe_first=True)
    with dhcp_request(lab, "52:54:00:77:02:01") as architecture:
        console = Sol(lab, "n2")
        try:
            ipmi(lab, "chassis", "power", "on", machine="n2")
            console.expect(b"PXE over IPv4")
        finally:
            console.close()
    assert architecture == ["7"]  # x64 UEFI
    with pytest.raises(HardwareError, match="n2 is on"):
        rack.wipe_nvram(lab.directory, "n2")
    ipmi(lab, "chassis", "power", "off", machine="n2")


def test_down_after_a_crash_leaves_nothing(lab: RackState) -> None:
    ipmi(lab, "chassis", "power", "on")
    for entry in rack.status(lab.directory):
        os.kill(entry["chassis_pid"], signal.SIGKILL)
    wait_until(lambda: not machine_status(lab)["chassis_pid"])
    assert machine_status(lab)["power"] == "on"  # an orphan QEMU
    rack.down(lab.directory)
    assert not lab.directory.exists()
    assert not Path("/run/netns", lab.spec.namespace).exists()
    assert list(processes.owned(lab.machines)) == []
    assert lab.spec.namespace not in Path("/proc/mounts").read_text()
    rack.down(lab.directory)  # again: nothing to do


def test_failed_up_leaves_nothing(spec: RackSpec, tmp_path: Path) -> None:
    broken = replace(spec.machines[0], vcpus=100_000, disks=(), disk_order=())
    rack_of_one = replace(spec, accel="tcg", name=f"f{os.getpid()}", machines=(broken,))
    directory = tmp_path / "state"
    with pytest.raises(HardwareError, match="n1"):
        rack.up(rack_of_one, directory)
    assert not directory.exists()
    assert not Path("/run/netns", rack_of_one.namespace).exists()


def test_other_addresses_of_the_host_are_untouched(spec: RackSpec) -> None:
    names = {name for _, name in socket.if_nameindex()}
    assert names.isdisjoint(nic.tap for machine in spec.machines for nic in machine.nics)
    assert names.isdisjoint(network.bridge for network in spec.networks)
