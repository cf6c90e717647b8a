"""Gathers machines that ask for the same phase of the same stage into plays.

A plan freezes a stage's params, so that a stage names a params digest too. Who asks within a short
window shares a play; while all plays are taken, those that wait gather into larger ones.
"""

import asyncio
import traceback
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from rackwright.engine.errors import EngineError, MachineError
from rackwright.engine.executors.ansible.directory import Contents, Member
from rackwright.engine.executors.ansible.leftovers import Leftovers, PlayId
from rackwright.engine.executors.ansible.play import Play
from rackwright.engine.executors.ansible.redact import Redactor
from rackwright.engine.executors.ansible.report import Ending, HostReport

WINDOW_S = 0.25
BATCH = 100
"""Machines in one play: many share its second of start-up, few wait for its slowest machine."""
PLAYS = 2
"""Plays at a time: each is a process of 60 MB, and its forks."""


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Course:
    """What machines must have in common to share a play."""

    stage_index: int
    phase: str


@dataclass(slots=True, eq=False)
class Seat:
    """One attempt's place in a play."""

    task: int
    attempt: int
    member: Member
    answer: "asyncio.Future[HostReport]"
    play: Play | None = None


Load = Callable[[Course], tuple[Contents, Redactor]]
Journal = Callable[[Seat, PlayId], Coroutine[Any, Any, None]]
Start = Callable[[], Play]


@dataclass(slots=True)
class Gathering:
    """``make``: a play for a phase. ``load``: what it runs. ``run`` waits for its part's report."""

    make: Callable[[str], Play]
    load: Load
    journal: Journal
    client_key: Callable[[], Any]
    leftovers: Leftovers
    window_s: float = WINDOW_S
    batch: int = BATCH
    plays: int = PLAYS
    _waiting: dict[Course, list[Seat]] = field(default_factory=lambda: defaultdict(list))
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _slots: asyncio.Semaphore | None = None

    async def run(self, course: Course, seat: Seat) -> HostReport:
        """Raises ``EngineError`` when the play could not be run. Cancelled, the seat is left: a
        play without anybody in it ends."""
        queue = self._waiting.setdefault(course, [])
        queue.append(seat)
        if len(queue) == 1:
            self._begin(self._launch(course))
        try:
            return await seat.answer
        finally:
            if seat in queue:
                queue.remove(seat)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _launch(self, course: Course) -> None:
        """Plays of a course, until nobody waits for one."""
        await asyncio.sleep(self.window_s)
        if self._slots is None:
            self._slots = asyncio.Semaphore(self.plays)
        async with self._slots:
            queue = self._waiting[course]
            seats = queue[: self.batch]
            del queue[: self.batch]
            if queue:
                self._begin(self._launch(course))
            if seats:
                await self._play(course, seats)

    async def _play(self, course: Course, seats: Sequence[Seat]) -> None:
        running = asyncio.create_task(self._carry(course, seats))

        def left(_: object) -> None:
            if all(seat.answer.done() for seat in seats):
                running.cancel()

        for seat in seats:
            seat.answer.add_done_callback(left)
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.wait([running])
            raise
        finally:
            self._answer(seats, running)

    def _answer(
        self, seats: Sequence[Seat], running: "asyncio.Task[dict[str, HostReport]]"
    ) -> None:
        """A report for everybody who still waits, or the reason why there is none."""
        error: BaseException | None = None
        reports: dict[str, HostReport] = {}
        if running.cancelled():
            error = MachineError("the play was ended")
        elif (error := running.exception()) is None:
            reports = running.result()
        if error is not None and not isinstance(error, EngineError):
            # where it broke, without values, which may be secret
            trace = "".join(traceback.format_tb(error.__traceback__))
            log.error("play broke", kind=type(error).__name__, trace=trace)
        for seat in seats:
            if seat.answer.done():
                continue
            if error is None:
                absent = HostReport(Ending.ABSENT, "the play said nothing of this machine")
                seat.answer.set_result(reports.get(seat.member.machine_id, absent))
            elif isinstance(error, EngineError):
                seat.answer.set_exception(error)
            else:
                seat.answer.set_exception(MachineError(f"the play broke: {type(error).__name__}"))

    async def _carry(self, course: Course, seats: Sequence[Seat]) -> dict[str, HostReport]:
        contents, redactor = self.load(course)
        play = self.make(course.phase)
        for seat in seats:
            seat.play = play

        async def journal(about: PlayId) -> None:
            await self._journaled(seats, about)

        def members() -> Sequence[Member]:
            chosen = [seat.member for seat in seats if not seat.answer.done()]
            for member in chosen:
                self.leftovers.begun(member.machine_id, play.marker)
            return chosen

        reports = await play.run(members, contents, self.client_key(), redactor, journal=journal)
        for machine_id, report in reports.items():
            if report.ending in (Ending.DONE, Ending.FAILED):
                self.leftovers.over(machine_id, play.marker)
        return reports

    async def _journaled(self, seats: Sequence[Seat], about: PlayId) -> None:
        """Who cannot be journaled takes no part; if nobody can, the play is not released."""
        waiting = [seat for seat in seats if not seat.answer.done()]
        ends = await asyncio.gather(
            *(self.journal(seat, about) for seat in waiting), return_exceptions=True
        )
        for seat, end in zip(waiting, ends, strict=True):
            if isinstance(end, BaseException) and not seat.answer.done():
                seat.answer.set_exception(end)
