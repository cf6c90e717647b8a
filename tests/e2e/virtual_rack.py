"""A virtual rack and its operator, as the end-to-end story needs them.

The operator types commands (``rackwright ...``, in the rack's network) and logs in to machines with
the host CA that the controller keeps. The lab's own functions are only hands at the hardware.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rackwright.lab import rack, rackfile

ROOT = Path(__file__).parents[2]
STORE = Path(os.environ.get("RACKWRIGHT_TEST_STORE", ROOT / "var" / "test-store"))
COMMAND_S = 120.0
START_S = 90.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def words(self) -> str:
        """Both streams without line breaks, for looking for phrases."""
        return " ".join((self.out + " " + self.err).split())


@dataclass(frozen=True, slots=True)
class Background:
    """A command that goes on while the story does."""

    process: subprocess.Popen[str]

    def ends(self, timeout_s: float) -> Said:
        out, err = self.process.communicate(timeout=timeout_s)
        return Said(self.process.returncode, out, err)


@dataclass
class VirtualRack:
    """One rack below ``home``. Killing is done by pid, and only of what it started."""

    home: Path
    namespace: str
    _controller: subprocess.Popen[bytes] | None = None
    _places: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Machine -> its id, by which its host key is certified, and its address."""
    _commands: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def lab(self) -> Path:
        return self.data / "lab"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def marks(self) -> tuple[str, ...]:
        """What everything of this rack bears in its name or command line."""
        key = hashlib.sha256(str(self.data).encode()).hexdigest()[:12]
        return (str(self.home), self.namespace, key)

    # what an operator types -----------------------------------------------------------------------

    def begin(self, *words: str, data: Path | None = None) -> Background:
        """A command that runs beside us."""
        process = subprocess.Popen(
            self._argv(*words, data=data),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(),
        )
        self._commands.append(process)
        return Background(process)

    def ask(self, *words: str, timeout_s: float = COMMAND_S, data: Path | None = None) -> Said:
        return self.begin(*words, data=data).ends(timeout_s)

    def run(self, *words: str, timeout_s: float = COMMAND_S, data: Path | None = None) -> Said:
        """A command that must succeed."""
        said = self.ask(*words, timeout_s=timeout_s, data=data)
        assert said.code == 0, f"rackwright {' '.join(words)}: {said.code}\n{said.out}\n{said.err}"
        return said

    def json(self, *words: str, timeout_s: float = COMMAND_S, data: Path | None = None) -> Any:
        return self.run(*words, "-o", "json", timeout_s=timeout_s, data=data).json()

    def events(self, after: int = 0, run: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("events", "--after", str(after), "--run", run)
        return found

    def machine(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.json("machine", "show", name)
        return found

    def ssh(self, name: str, command: str, *, timeout_s: float = COMMAND_S) -> str:
        """Run a command in a machine's OS; the host key must be certified for that machine."""
        if name not in self._places:
            machine = self.machine(name)
            self._places[name] = machine["id"], machine["management_address"].partition("/")[0]
        machine_id, address = self._places[name]
        known = self.home / "known_hosts"
        if not known.exists():
            ca = subprocess.run(
                ["ssh-keygen", "-y", "-f", self.data / "keys" / "ssh_ca"],
                capture_output=True,
                text=True,
                check=True,
            )
            known.write_text(f"@cert-authority * {ca.stdout}")
        options = {
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": known,
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": machine_id,
            "HostKeyAlgorithms": "ssh-ed25519-cert-v01@openssh.com",
            "IdentityFile": self.data / "keys" / "ssh_client",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "BatchMode": "yes",
            "ConnectTimeout": "10",
        }
        argv = ["ip", "netns", "exec", self.namespace, "ssh", "-F", "none"]
        argv += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        done = subprocess.run(
            [*argv, f"root@{address}", command],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise ConnectionError(f"{name}: {command}: {done.returncode} {done.stderr}")
        return done.stdout.strip()

    def boot_id(self, name: str) -> str:
        return self.ssh(name, "cat /proc/sys/kernel/random/boot_id")

    def nodes(self, asked: str) -> dict[str, list[str]]:
        """Host name -> node ids, as a manager's Docker tells it."""
        found: dict[str, list[str]] = {}
        for line in self.ssh(asked, "docker node ls --format '{{.Hostname}} {{.ID}}'").splitlines():
            name, node = line.split()
            found.setdefault(name, []).append(node)
        return found

    # the controller -------------------------------------------------------------------------------

    def start_controller(self) -> None:
        with (self.home / "controller.log").open("ab") as log:
            self._controller = subprocess.Popen(
                self._argv("serve"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
            )
        wait_until(self._controller_answers, START_S, "the controller's socket answers")

    def kill_controller(self) -> None:
        """SIGKILL: it gets no chance to say or tidy anything."""
        assert self._controller is not None
        self._controller.kill()
        self._controller.wait()

    def stop_controller(self) -> None:
        if self._controller is not None and self._controller.poll() is None:
            self._controller.terminate()
            self._controller.wait(timeout=COMMAND_S)

    def replace_controller(self) -> None:
        self.kill_controller()
        self.start_controller()

    def _controller_answers(self) -> bool:
        assert self._controller is not None
        log = (self.home / "controller.log").read_text(errors="replace")
        assert self._controller.poll() is None, f"the controller ended:\n{log[-2000:]}"
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.data / "rackwright.sock"))
            except OSError:
                return False
        return True

    def processes(self, name: str) -> list[int]:
        """Processes of that name in the rack's network."""
        found = subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=True
        )
        pids = [int(pid) for pid in found.stdout.split()]
        return [pid for pid in pids if _text(Path(f"/proc/{pid}/comm")).strip() == name]

    # hands at the hardware ------------------------------------------------------------------------

    def kill_qemu(self, name: str) -> None:
        """The machine dies as if its power supply did."""
        pid = next(m["qemu_pid"] for m in rack.status(self.lab) if m["name"] == name)
        os.kill(pid, signal.SIGKILL)

    def written_bytes(self, machine: str, serial: str) -> int:
        """How much of a disk holds anything."""
        return (self.lab / f"machines/{machine}/disks/{serial}.raw").stat().st_blocks * 512

    def close(self) -> None:
        """Whatever the story came to: nothing of it stays."""
        for process in self._commands:
            if process.poll() is None:
                process.kill()
            process.communicate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop_controller()
        if self._controller is not None and self._controller.poll() is None:
            self._controller.kill()
            self._controller.wait()
        for pid in self.processes("dnsmasq") if Path("/run/netns", self.namespace).exists() else ():
            os.kill(pid, signal.SIGTERM)
        rack.down(self.lab, report=lambda line: None)
        shutil.rmtree(self.home, ignore_errors=True)

    # inside ---------------------------------------------------------------------------------------

    def _argv(self, *words: str, data: Path | None = None) -> list[str]:
        ours = [sys.executable, "-m", "rackwright", "--data-dir", str(data or self.data), *words]
        if words[0] in ("lab", "image"):
            return ours
        return ["ip", "netns", "exec", self.namespace, *ours]

    def _environment(self) -> Mapping[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RACKWRIGHT_")}
        return {
            **kept,
            "RACKWRIGHT_ARTIFACTS_DIR": str(STORE),
            "RACKWRIGHT_IMAGE_VARIANT": "virtual",
            "NO_COLOR": "1",
            "COLUMNS": "400",
        }


def rack_file(path: Path, name: str) -> Path:
    """The rack that ships with the product, under another name."""
    text, count = re.subn(r"(?m)^name: .*$", f"name: {name}", rackfile.DEFAULT_RACK.read_text())
    assert count == 1
    path.write_text(text)
    return path


def wait_until(
    claim: Callable[[], bool], timeout_s: float, what: str, *, every_s: float = 0.5
) -> None:
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, f"after {timeout_s:.0f} s it is not so that {what}"
        time.sleep(every_s)


def traces(*marks: str) -> set[str]:
    """What on this host bears one of the marks, and every network link."""
    found = {f"process {command}" for command in _commands()}
    for place in ("/run/netns", "/run/rackwright", "/dev/shm"):
        with contextlib.suppress(FileNotFoundError):
            found |= {str(path) for path in Path(place).iterdir()}
    found |= {f"mount {line}" for line in _text(Path("/proc/mounts")).splitlines()}
    links = {f"link {name}" for _, name in socket.if_nameindex()}
    return links | {trace for trace in found if any(mark in trace for mark in marks)}


def _commands() -> Iterator[str]:
    for directory in Path("/proc").glob("[0-9]*"):
        if int(directory.name) != os.getpid():
            yield _text(directory / "cmdline").replace("\0", " ")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
