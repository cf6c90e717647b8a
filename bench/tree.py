"""What a command costs: wall, CPU and peak memory of its whole process tree.

A contestant that prints ``@begin`` and ``@end`` lines bounds what is counted: then its start-up and
imports stand apart (``whole_s``). CPU is the tree's user and system time, children that were
reaped included; resident memory is summed over the tree's processes, so pages that forks share
count once for each of them.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
SAMPLE_S: Final = 0.05
_PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h


class ContestantError(Exception):
    """A command that failed or ran out of time: the last of what it said."""


@dataclass(frozen=True, slots=True)
class Measured:
    """``wall_s`` and ``cpu_s`` between the marks, or of the whole command when it sets none.
    ``said``: the JSON object after ``@end``."""

    wall_s: float
    cpu_s: float
    peak_rss_mb: int
    whole_s: float
    whole_cpu_s: float
    said: Mapping[str, Any]
    output: str


@dataclass(slots=True)
class _Watch:
    """The children of this process that were there before belong to somebody else."""

    before: frozenset[int]
    peak_pages: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def tree(self) -> list[int]:
        found = [pid for pid in _children(os.getpid()) if pid not in self.before]
        for pid in found:
            found += _children(pid)
        return found

    def cpu_s(self) -> float:
        reaped = os.times()
        spent = sum(map(_ticks, self.tree())) / TICKS
        return spent + reaped.children_user + reaped.children_system

    def sample(self) -> None:
        while not self.ended.wait(SAMPLE_S):
            self.peak_pages = max(self.peak_pages, sum(map(_pages, self.tree())))


@dataclass(slots=True)
class _Heard:
    """A contestant's output, with its marks taken out as they come."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=10_000))
    marks: list[tuple[float, float]] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)

    def listen(self, stream: Iterable[str] | None, watch: _Watch) -> None:
        """Until the last process that holds the pipe has gone."""
        for line in stream or ():
            self.add(line, watch)

    def add(self, line: str, watch: _Watch) -> None:
        if not line.startswith(("@begin", "@end")):
            self.lines.append(line)
            return
        self.marks.append((time.perf_counter(), watch.cpu_s()))
        if line.startswith("@end "):
            self.said |= json.loads(line.removeprefix("@end "))

    def between(self) -> tuple[float, float] | None:
        """Wall and CPU seconds from mark to mark, None without both."""
        if len(self.marks) != 2:
            return None
        (began, before), (ended, after) = self.marks
        return ended - began, after - before


def measure(
    command: Sequence[str | Path],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Measured:
    """Run a command to its end; whatever it leaves behind is ended and counted.

    Raises ``ContestantError`` when it exits other than 0 or runs for longer than ``timeout_s``.
    """
    _adopt_orphans(True)  # what a command detaches comes to us, and its CPU time with it
    watch = _Watch(frozenset(_children(os.getpid())))
    spent_before, began = watch.cpu_s(), time.perf_counter()
    sampler = threading.Thread(target=watch.sample, daemon=True)
    sampler.start()
    child = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    heard = _Heard()
    listener = threading.Thread(target=heard.listen, args=(child.stdout, watch), daemon=True)
    listener.start()
    ended = False
    try:
        ended = _ends(child.pid, timeout_s)
    finally:
        whole_s = time.perf_counter() - began
        if ended:
            child.wait()
        _end_tree(watch)  # or what was left behind would keep the pipe open
        child.wait()
        listener.join(5)
        watch.ended.set()
        sampler.join()
        if child.stdout is not None:
            child.stdout.close()
        _adopt_orphans(False)
    whole_cpu_s = watch.cpu_s() - spent_before
    if not ended or child.returncode:
        why = f"exit {child.returncode}" if ended else f"no end within {timeout_s:.0f} s"
        raise ContestantError(f"{why}: {''.join(heard.lines)[-1500:]}")
    wall_s, cpu_s = heard.between() or (whole_s, whole_cpu_s)
    peak_mb = watch.peak_pages * PAGE >> 20
    output = "".join(heard.lines)
    return Measured(wall_s, cpu_s, peak_mb, whole_s, whole_cpu_s, heard.said, output)


def _ends(pid: int, timeout_s: float) -> bool:
    """To the millisecond, which ``Popen.wait`` with a limit is not."""
    process = os.pidfd_open(pid)
    try:
        return bool(select.select([process], [], [], timeout_s)[0])
    finally:
        os.close(process)


def _adopt_orphans(wanted: bool) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


@contextlib.contextmanager
def counted(**about: object) -> Iterator[dict[str, object]]:
    """In a contestant: what is inside counts. What is put into the dict joins ``said``."""
    said = dict(about)
    print("@begin", flush=True)
    yield said
    print("@end", json.dumps(said), flush=True)


def _end_tree(watch: _Watch) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        for _ in range(40):
            left = watch.tree()
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, how)
            _reap(left)
            if not watch.tree():
                return
            time.sleep(0.05)


def _reap(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))  # proc(5): utime, stime, cutime, cstime


def _pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
