"""The world outside a kill storm's controllers: machines that go on while no controller lives, and
a witness that writes down what controllers said was durable. A process of its own, on a Unix
socket.

One JSON object a line. From a controller: ``hello`` (epoch), ``start``, ``cancel``, ``elect``,
``erase`` (the intent is committed), ``acked`` (an append returned: last seq, how many facts, their
checksum), ``events`` (what the feed told a subscriber). From here: ``welcome`` (the last event
told, as Last-Event-ID), ``ended``, ``ask`` (may I erase?), ``elected``.

An attempt happens once, as on a real machine, where ``mkdir`` refuses the second: who starts it
again is attached to it. Attempts end at the pace that the storm sets, in an order that the seed
decides.
"""

import asyncio
import contextlib
import json
import mmap
import os
import random
import signal
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rackwright.engine.executors.simulated import dice
from rackwright.engine.plan.model import Plan
from rackwright.engine.schedule.events import Mode, Result

TICK_S: Final = 0.01
LINE_BYTES: Final = 1 << 26
SUCCEEDED: Final = (Result.SATISFIED, Result.CHANGED)
AIMS: Final = ("start", "acked", "events", "ask", "erase")
Key = tuple[int, int]  # task, attempt


class Shared:
    """What the storm and this process share: how many kills there were, and an aim: the controller
    that is killed here at once when it says a word of a kind (its place in ``AIMS``)."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 24)

    @property
    def killed(self) -> int:
        return int(struct.unpack("<q", self._memory[:8])[0])

    @killed.setter
    def killed(self, count: int) -> None:
        self._memory[:8] = struct.pack("<q", count)

    @property
    def aim(self) -> tuple[int, int]:
        """(process, kind); process 0 for none."""
        pid, kind = struct.unpack("<qq", self._memory[8:])
        return int(pid), int(kind)

    @aim.setter
    def aim(self, aim: tuple[int, int]) -> None:
        self._memory[8:] = struct.pack("<qq", *aim)


@dataclass(frozen=True, slots=True)
class Pace:
    """Each life may see so many ends; after the last kill there is no bound."""

    shared: Shared
    wanted: int
    ends_in_a_life: int

    def allowed(self, done: int) -> int:
        killed = self.shared.killed
        if killed >= self.wanted:
            return 1 << 30
        left = self.ends_in_a_life * (killed + 1) - done
        return max(0, min(left, 1 + self.ends_in_a_life // 10))


@dataclass(slots=True)
class Truth:
    """What happened, whatever the controllers believe."""

    applies: dict[int, int] = field(default_factory=dict)
    erasures: dict[int, int] = field(default_factory=dict)
    lives: int = 0
    attached: int = 0
    violations: list[str] = field(default_factory=list)
    acked: list[tuple[int, int, int]] = field(default_factory=list)
    events: list[list[Any]] = field(default_factory=list)


class Fleet:
    def __init__(self, plan: Plan, pace: Pace, seed: int) -> None:
        self._machines = len(plan.machines)
        self._destructive = [stage.destructive is not None for stage in plan.stages]
        self._is_means = [bool(stage.means_to) for stage in plan.stages]
        self._pace = pace
        self._seed = seed
        self._random = random.Random(seed)
        self._under_way: list[tuple[int, int, int]] = []
        self._asking: set[Key] = set()
        self._results: dict[Key, Result | None] = {}  # None: under way
        self._attempt_of: dict[int, int] = {}
        self._known_done: set[int] = set()  # tasks whose success a subscriber was told of
        self._leaders: dict[int, int] = {}
        self._epoch = 0
        self._ends = 0
        self._writer: asyncio.StreamWriter | None = None
        self._over = asyncio.Event()
        self.truth = Truth()

    async def serve(self, path: Path, ready: int, report: Path) -> None:
        """Until told to stop; then the truth is in ``report``. ``ready``: told once it listens."""
        server = await asyncio.start_unix_server(self._talk, path, limit=LINE_BYTES)
        os.write(ready, b"!")
        async with server:
            while not self._over.is_set():
                await asyncio.sleep(TICK_S)
                self._tick()
        await asyncio.to_thread(report.write_text, json.dumps(asdict(self.truth)))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while (line := await reader.readline()).endswith(b"\n"):  # else it was killed halfway
                self._take(json.loads(line), writer)
        if self._writer is writer:
            self._writer = None
        writer.close()

    def _take(self, said: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        for kind in said:
            self._shoot(kind)
        if "hello" in said:
            self._greet(said["hello"], writer)
        elif "stop" in said:
            self._over.set()
        elif "acked" in said:
            seq, count, checksum = said["acked"]
            self.truth.acked.append((seq, count, checksum))
        elif "events" in said:
            self._witness(said["events"])
        elif writer is not self._writer:
            self._violated(f"an older controller sent {sorted(said)}")
        elif "start" in said:
            for task, attempt, mode, resumed in said["start"]:
                self._start(task, attempt, mode, resumed=resumed)
        elif "cancel" in said:
            self._cancel(*said["cancel"])
        elif "elect" in said:
            group, candidates = said["elect"]
            leader = self._leaders.setdefault(group, candidates[0])
            self._send({"elected": [group, leader]})
        elif "erase" in said:
            self._erase(*said["erase"])

    def _shoot(self, kind: str) -> None:
        """The storm waits for the process that it aims at: its number is still its own."""
        pid, aim = self._pace.shared.aim
        if pid and kind == AIMS[aim]:
            self._pace.shared.aim = (0, 0)
            os.kill(pid, signal.SIGKILL)

    def _greet(self, epoch: int, writer: asyncio.StreamWriter) -> None:
        if epoch <= self._epoch:
            self._violated(f"epoch {epoch} came after epoch {self._epoch}")
        self._epoch = epoch
        self._writer = writer
        self.truth.lives += 1
        events = self.truth.events
        self._send({"welcome": events[-1][0] if events else 0})

    def _witness(self, events: Sequence[list[Any]]) -> None:
        told = self.truth.events
        for event in events:
            seq, kind, stage, machine, _, status = event
            if told and seq <= told[-1][0]:
                self._violated(f"event {seq} was told again")
            told.append(event)
            if kind == "ended" and status in SUCCEEDED:
                self._known_done.add(stage * self._machines + machine)

    # machines --------------------------------------------------------------------------------

    def _start(self, task: int, attempt: int, mode: int, *, resumed: bool) -> None:
        key = (task, attempt)
        if key in self._results:
            self.truth.attached += 1
            if not resumed:
                self._violated(f"attempt {key} was started twice")
            self._attach(key)
            return
        # a means runs again before a retry of its end; the journal says when, see ``storm``
        if task in self._known_done and not self._is_means[task // self._machines]:
            self._violated(f"task {task} was started again after its success was told")
        before = self._attempt_of.get(task)
        if before is not None and self._results[task, before] is None:
            self._violated(f"attempt {key} was started beside attempt {before}")
        self._attempt_of[task] = attempt
        self._results[key] = None
        self._under_way.append((task, attempt, mode))

    def _attach(self, key: Key) -> None:
        result = self._results[key]
        if result is not None:
            self._send({"ended": [[*key, int(result)]]})
        elif key in self._asking:
            self._send({"ask": list(key)})

    def _tick(self) -> None:
        ended = []
        for _ in range(min(self._pace.allowed(self._ends), len(self._under_way))):
            place = self._random.randrange(len(self._under_way))
            last = self._under_way.pop()
            if place < len(self._under_way):
                last, self._under_way[place] = self._under_way[place], last
            self._ends += 1
            task, attempt, mode = last
            result = self._fate(task, attempt, mode)
            if result is not None:
                self._results[task, attempt] = result
                ended.append([task, attempt, int(result)])
        if ended:
            self._send({"ended": ended})

    def _fate(self, task: int, attempt: int, mode: int) -> Result | None:
        """None: it asks for the word to erase first."""
        throw = dice(self._seed, task, attempt, 1)
        if throw < 0.01:
            return Result.UNKNOWN
        if throw < 0.02 and mode != Mode.PROBE:
            return Result.FAILED
        if task in self.truth.applies:
            return Result.SATISFIED
        if mode == Mode.PROBE:
            return Result.UNSATISFIED
        if self._destructive[task // self._machines]:
            self._asking.add((task, attempt))
            self._send({"ask": [task, attempt]})
            return None
        return self._apply(task)

    def _apply(self, task: int) -> Result:
        self.truth.applies[task] = self.truth.applies.get(task, 0) + 1
        return Result.CHANGED

    def _erase(self, task: int, attempt: int) -> None:
        key = (task, attempt)
        if key not in self._asking:
            return  # told again by the controller after the one that died
        self._asking.discard(key)
        self.truth.erasures[task] = self.truth.erasures.get(task, 0) + 1
        self._results[key] = self._apply(task)
        self._send({"ended": [[task, attempt, int(Result.CHANGED)]]})

    def _cancel(self, task: int, attempt: int) -> None:
        key = (task, attempt)
        if self._results.get(key, Result.CANCELLED) is None:
            self._results[key] = Result.CANCELLED
            self._asking.discard(key)
            self._under_way = [one for one in self._under_way if one[:2] != key]
        self._send({"ended": [[task, attempt, int(self._results.get(key) or Result.CANCELLED)]]})

    def _send(self, what: dict[str, Any]) -> None:
        for kind in what:
            self._shoot(kind)
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(what, separators=(",", ":")).encode() + b"\n")

    def _violated(self, what: str) -> None:
        self.truth.violations.append(what)
