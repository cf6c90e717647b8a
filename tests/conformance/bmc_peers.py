"""The BMCs that the conformance suite runs drivers against, started and stopped by the tests.

Some were not written here (ipmi_sim, sushy-emulator); some are ours to misbehave; and a lab that is
up is found through RACKWRIGHT_LAB_BMCS: a JSON file, a list of objects with name, protocol,
address, username, password and where they apply certificate_pem, cipher_suite, system, firmware.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest

from rackwright.engine.drivers.power.base import Credentials
from rackwright.engine.drivers.timing import Timing
from rackwright.engine.machine import Firmware
from tests.conformance.certificates import Identity, make_identity
from tests.conformance.hostile_redfish import HostileRedfish

# Figures for peers on loopback; the product's own defaults are for machines far away.
QUICK = Timing(
    connect_timeout_s=5.0,
    request_timeout_s=10.0,
    action_answer_s=3.0,
    read_deadline_s=25.0,
    action_deadline_s=40.0,
    unanswered_s=4.0,
    lag_s=0.5,
    transition_s=10.0,
    poll_s=0.2,
    poll_max_s=1.0,
    grace_s=5.0,
    min_interval_s=0.0,
    busy_s=0.3,
    busy_max_s=2.0,
)


@dataclass(frozen=True, slots=True)
class Peer:
    """One BMC to drive. ``actions`` and ``sessions`` say what it saw, None where it cannot."""

    name: str
    protocol: str
    credentials: Credentials
    firmware: Firmware = Firmware.UEFI
    log: Path | None = None

    def actions(self) -> int | None:
        """How many power actions arrived."""
        if self.log is None:
            return None
        text = self.log.read_text(encoding="utf-8")
        if self.protocol == "ipmi":
            lines = text.splitlines()
            return sum(" set power " in line or " set reset " in line for line in lines)
        return text.count("/Actions/ComputerSystem.Reset HTTP/1.1")


class Daemon:
    """A child of the tests, ended by its pid."""

    def __init__(self, argv: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def is_running(self) -> bool:
        return self._process.poll() is None


class Console:
    """The serial port behind an emulated BMC: whoever connects is shown the given lines."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._server.settimeout(10)
        self._connection: socket.socket | None = None

    def write(self, text: str) -> None:
        if self._connection is None:
            self._connection, _ = self._server.accept()
        self._connection.sendall(text.encode())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._server.close()


_CHASSIS = """#!/bin/sh
# ipmi_sim's chassis control: the power and boot device of a machine that is two files
here=$(dirname "$0")
echo "$@" >> "$here/chassis.log"
shift
operation=$1; shift
while [ $# -gt 0 ]; do
  case $operation,$1 in
    get,power) echo "power:$(cat "$here/power")" ;;
    get,boot) echo "boot:$(cat "$here/boot")" ;;
    set,power) echo "$2" > "$here/power"; shift ;;
    set,boot) echo "$2" > "$here/boot"; shift ;;
    set,reset) shift ;;
  esac
  shift
done
"""


class IpmiSim:
    """OpenIPMI's ipmi_sim; its power follows an external program."""

    def __init__(self, directory: Path, password: str = "c4n4ry-p@ss") -> None:
        program = need("ipmi_sim", "openipmi")
        need("ipmitool", "ipmitool")
        self.directory = directory
        self.console = Console()
        self.port = free_udp_port()
        self.credentials = Credentials(f"127.0.0.1:{self.port}", "admin", password, cipher_suite=3)
        script = directory / "chassis"
        script.write_text(_CHASSIS, encoding="ascii")
        script.chmod(0o755)
        (directory / "power").write_text("0", encoding="ascii")
        (directory / "boot").write_text("none", encoding="ascii")
        (directory / "chassis.log").touch()
        (directory / "state").mkdir()
        self._write_configuration(script)
        self._daemon = Daemon(
            [
                *(program, "-n", "-c", str(directory / "lan.conf"), "-f", str(directory / "emu")),
                *("-s", str(directory / "state")),
            ],
            directory / "ipmi_sim.log",
        )
        try:
            _await(lambda: self.sessions() is not None, "ipmi_sim", self._daemon)
        except BaseException:
            self.stop()
            raise

    def _write_configuration(self, script: Path) -> None:
        levels = ("callback", "user", "operator", "admin")
        auths = "\n".join(f"    allowed_auths_{level} md5" for level in levels)
        password = self.credentials.password
        (self.directory / "lan.conf").write_text(
            f"""name "sim"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {self.port}
    priv_limit admin
    guid a123456789abcdefa123456789abcdef
{auths}
  endlan
  chassis_control "{script} 0x20"
  sol "tcp:127.0.0.1:{self.console.port}" 115200
  user 2 true "admin" "{password}" admin 10 md5
""",
            encoding="ascii",
        )
        (self.directory / "emu").write_text(
            """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
""",
            encoding="ascii",
        )

    @property
    def log(self) -> Path:
        return self.directory / "chassis.log"

    def sets(self) -> list[str]:
        """The power actions that reached the machine."""
        lines = self.log.read_text(encoding="ascii").splitlines()
        return [
            line.removeprefix("0x20 set ")
            for line in lines
            if " set power " in line or " set reset " in line
        ]

    def sessions(self) -> int | None:
        """Sessions open at the BMC beside the one that asks; None when it does not answer."""
        password_file = self.directory / "password"
        password_file.write_text(self.credentials.password, encoding="ascii")
        password_file.chmod(0o600)
        ran = subprocess.run(
            [
                *("ipmitool", "-I", "lanplus", "-H", "127.0.0.1", "-p", str(self.port)),
                *("-U", "admin", "-C", "3", "-N", "1", "-R", "1", "-f", str(password_file)),
                *("session", "info", "active"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        for line in ran.stdout.splitlines():
            if line.startswith("active sessions"):
                return int(line.split(":")[1]) - 1
        return None

    def stop(self) -> None:
        self._daemon.stop()
        self.console.close()


class HostileIpmi:
    """``hostile_ipmi`` as a process."""

    def __init__(self, directory: Path, *faults: str, password: str = "c4n4ry-p@ss") -> None:
        need("ipmitool", "ipmitool")
        self._log = directory / "actions.log"
        self._log.touch()
        port = free_udp_port()
        self.credentials = Credentials(f"127.0.0.1:{port}", "admin", password, cipher_suite=3)
        module = "tests.conformance.hostile_ipmi"
        self._daemon = Daemon(
            [sys.executable, "-m", module, str(port), str(self._log), password, *faults],
            directory / "hostile_ipmi.log",
        )
        try:
            _await(lambda: _has_udp(port), module, self._daemon)
        except BaseException:
            self.stop()
            raise

    @property
    def actions(self) -> list[str]:
        """The control commands that arrived, applied or not."""
        return self._log.read_text(encoding="ascii").split()

    def stop(self) -> None:
        self._daemon.stop()

    def __enter__(self) -> "HostileIpmi":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class SushyEmulator:
    """sushy-tools' emulator with its fake machines, over HTTPS with Basic authentication."""

    def __init__(self, directory: Path, identity: Identity, password: str = "c4n4ry-p@ss") -> None:
        self.port = free_tcp_port()
        self.log = directory / "sushy-emulator.log"
        users = directory / "htpasswd"
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        users.write_text(f"admin:{hashed}\n", encoding="ascii")
        configuration = directory / "sushy.conf"
        configuration.write_text(
            f"SUSHY_EMULATOR_AUTH_FILE = {str(users)!r}\n"
            f"SUSHY_EMULATOR_STATE_DIR = {str(directory)!r}\n",
            encoding="ascii",
        )
        script = Path(sys.executable).with_name("sushy-emulator")
        assert script.exists(), "sushy-tools is not installed: install the dev dependencies"
        self._daemon = Daemon(
            [
                *(str(script), "--fake", "-i", "127.0.0.1", "-p", str(self.port)),
                *("--config", str(configuration), "--ssl-key", str(identity.key)),
                *("--ssl-certificate", str(identity.certificate)),
            ],
            self.log,
        )
        try:
            _await(lambda: _is_listening(self.port), "sushy-emulator", self._daemon)
        except BaseException:
            self.stop()
            raise
        self.credentials = Credentials(
            f"127.0.0.1:{self.port}", "admin", password, certificate_pem=identity.pem
        )

    def stop(self) -> None:
        self._daemon.stop()


def lab_peers() -> list[Peer]:
    """What a lab that is up offers: BMCs on the virtual rack."""
    path = os.environ.get("RACKWRIGHT_LAB_BMCS", "")
    if not path:
        return []
    entries = json.loads(Path(path).read_text(encoding="utf-8"))
    return [
        Peer(
            name=f"lab-{entry['name']}",
            protocol=entry["protocol"],
            credentials=Credentials(
                address=entry["address"],
                username=entry["username"],
                password=entry["password"],
                system=entry.get("system", ""),
                certificate_pem=entry.get("certificate_pem", ""),
                cipher_suite=entry.get("cipher_suite", 17),
            ),
            firmware=Firmware(entry.get("firmware", "uefi")),
        )
        for entry in entries
    ]


def hostile(directory: Path, *faults: str) -> HostileRedfish:
    return HostileRedfish(make_identity(directory), frozenset(faults))


def need(program: str, package: str) -> str:
    """The program's path; its absence fails the test and names the Debian package."""
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"{program} is missing: install the Debian package {package}", pytrace=False)
    return found


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _has_udp(port: int) -> bool:
    """Whether something holds the UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _await(is_so: object, name: str, daemon: Daemon, duration_s: float = 15.0) -> None:
    assert callable(is_so)
    until = time.monotonic() + duration_s
    while not is_so():
        assert daemon.is_running(), f"{name} ended at once; see its log"
        assert time.monotonic() < until, f"{name} did not start within {duration_s:.0f} s"
        time.sleep(0.1)
