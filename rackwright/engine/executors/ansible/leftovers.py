"""Ends what a play left running: on the controller, and on the machines.

A play's processes are known by a random mark in their environment, which children inherit and a
reused pid does not have. One variable marks those on the controller, another those on machines.
"""

import asyncio
import os
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rackwright.engine.errors import MachineError, UnreachableError
from rackwright.engine.executors.ansible.child import VARIABLE
from rackwright.engine.executors.ansible.directory import mark
from rackwright.engine.executors.reach import Reach
from rackwright.engine.executors.scope import JournaledPlay, Scope
from rackwright.engine.executors.shell.base import script

INTENT = "ansible"
STOP_TIMEOUT_S = 30.0
PATIENCE_S = 5.0
_LOCAL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class PlayId:
    """What is journaled of a play before it begins. ``started``: the kernel's clock ticks between
    boot and the process's start, which with pid and boot id name one process."""

    marker: str
    pid: int
    started: int
    boot_id: str
    cgroup: str
    phase: str

    def detail(self) -> dict[str, object]:
        return asdict(self)


def play_id(marker: str, pid: int, phase: str) -> PlayId:
    """Of a process that runs now. Raises ``ProcessLookupError`` when it does not."""
    started = start_ticks(pid)
    if started is None:
        raise ProcessLookupError(pid)
    try:
        cgroup = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").split("::", 1)[-1].strip()
    except OSError:
        cgroup = ""
    return PlayId(marker, pid, started, boot_id(), cgroup[:200], phase)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_ticks(pid: int) -> int | None:
    """Field 22 of proc(5) stat; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def marked(markers: Collection[str]) -> list[int]:
    """The processes on this host with one of the marks, ourselves never."""
    wanted = {f"{VARIABLE}={marker}".encode() for marker in markers}
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if not wanted.isdisjoint(path.read_bytes().split(b"\0")):
                found.append(int(path.parent.name))
        except OSError:  # ended meanwhile, or another user's
            continue
    return [pid for pid in found if pid != os.getpid()]


def end_marked(markers: Collection[str]) -> bool:
    """Kill them until none is found twice in a row. False when some survive. Blocks."""
    deadline = time.monotonic() + _LOCAL_TIMEOUT_S
    clean = 0
    while clean < 2:
        pids = marked(markers) if markers else []
        clean = 0 if pids else clean + 1
        for pid in pids:
            _kill(pid)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def end_orphans(plays: Iterable[JournaledPlay], root: Path) -> bool:
    """End what dead controllers' plays left on this host, and their directories. Blocks."""
    here = boot_id()
    mine = [play for play in plays if play.boot_id == here]
    for play in mine:
        # the mark may be gone from a process that rewrote its environment: its start is not
        if play.pid > 1 and start_ticks(play.pid) == play.started:
            _kill(play.pid)
    ended = end_marked({play.marker for play in mine})
    for play in mine:
        if play.marker.isalnum():
            shutil.rmtree(root / play.marker, ignore_errors=True)
    return ended


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


class Leftovers:
    """Which plays may still have processes on which machine."""

    def __init__(self, scope: Scope, reach: Reach, root: Path) -> None:
        self._reach = reach
        self._root = root
        self._plays = tuple(play for plays in scope.journaled.plays.values() for play in plays)
        self._open: defaultdict[str, set[str]] = defaultdict(set)
        for task, plays in scope.journaled.plays.items():
            machine_id = scope.subject(task).planned.id
            self._open[machine_id].update(play.marker for play in plays)
        self._lock = asyncio.Lock()
        self._is_swept = not self._plays

    def begun(self, machine_id: str, marker: str) -> None:
        self._open[machine_id].add(marker)

    def over(self, machine_id: str, marker: str) -> None:
        """The play ended by itself, and told how the machine fared."""
        self._open[machine_id].discard(marker)

    async def sweep(self) -> None:
        """Before anything is issued: the plays of dead controllers end on this host."""
        async with self._lock:
            if self._is_swept:
                return
            if not await asyncio.to_thread(end_orphans, self._plays, self._root):
                raise UnreachableError("a dead controller's playbook could not be ended")
            self._is_swept = True

    async def settle(self, machine_id: str) -> None:
        """End on the machine what earlier plays left. Raises ``UnreachableError``,
        ``MachineError``: then nothing may be begun there."""
        markers = sorted(self._open.get(machine_id, ()))
        if not markers:
            return
        host = await self._reach.host(machine_id, "os", patience_s=PATIENCE_S)
        marks = (mark(marker, machine_id) for marker in markers)
        done = await host.shell.run(script("play_stop"), *marks, timeout_s=STOP_TIMEOUT_S)
        if done.status != 0:
            raise MachineError(f"what Ansible started could not be ended: {done.complaint()}")
        self._open[machine_id].difference_update(markers)
