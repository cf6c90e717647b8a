"""One attempt under way: its subject, its deadline, and what would have to be ended."""

import asyncio
from dataclasses import dataclass, field

from rackwright.engine.errors import EngineError, Fault
from rackwright.engine.executors.pool import HostKeyError, Place
from rackwright.engine.executors.scope import Subject
from rackwright.engine.executors.step import StaleControllerError, Step
from rackwright.engine.executors.steps import Verdict
from rackwright.engine.run.ports import Attempt
from rackwright.engine.schedule.events import Mode, Result


@dataclass(slots=True)
class Job:
    attempt: Attempt
    subject: Subject
    deadline: float  # on the loop's clock
    phase: str = "check"
    began: bool = False  # an apply may have begun: from then on a failure is not "unknown"
    live: list[tuple[Place, Step]] = field(default_factory=list)

    @property
    def machine_id(self) -> str:
        return self.subject.planned.id

    @property
    def place_of_apply(self) -> Place:
        return "ramdisk" if self.subject.stage.apply_in == "ramdisk" else "os"

    def left_s(self) -> float:
        return max(1.0, self.deadline - asyncio.get_running_loop().time())

    def apply_begins(self) -> None:
        self.began = True
        self.phase = "apply"

    def failed(self, error: EngineError) -> Verdict:
        """What an error means for the attempt."""
        message = str(error)
        if isinstance(error, HostKeyError | StaleControllerError):
            return Verdict(Result.REFUSED, message)
        if error.fault is Fault.OPERATOR:
            return Verdict(Result.REFUSED, message)
        pressed = error.pressed
        if not self.began:
            return Verdict(Result.UNKNOWN, message, pressed=pressed)
        result = Result.FAILED if error.retryable else Result.REFUSED
        return Verdict(result, message, pressed=pressed)

    def broke(self, error: Exception) -> Verdict:
        """Our own fault. The error's text may hold anything, so only its kind is told."""
        result = Result.FAILED if self.began else Result.UNKNOWN
        return Verdict(result, f"internal error during {self.phase}: {type(error).__name__}")

    def timed_out(self) -> Verdict:
        result = Result.FAILED if self.began else Result.UNKNOWN
        error = f"{self.phase} did not end within {self.attempt.timeout_s:.0f} s"
        return Verdict(result, error, pressed=True)

    def is_probe(self) -> bool:
        return self.attempt.mode is Mode.PROBE
