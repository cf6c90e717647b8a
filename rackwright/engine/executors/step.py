"""The protocol of one applied step: started once, waited for, ended, also by another controller.

The machine is the judge: its ``mkdir`` refuses a duplicate, its epoch file refuses an older
controller, its lock says whether a step lives, and its boot id whether an answer still counts.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rackwright.engine.errors import EngineError, Fault, MachineError, UnreachableError
from rackwright.engine.executors.shell.base import TIMED_OUT, Shell, from_marker, last_lines, script

ROOT = "/run/rackwright"
START_GRACE_S = 60.0
STALE, CUT_OFF, NOT_STARTED, BUSY = 90, 92, 93, 96
SECRET_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


class StaleControllerError(EngineError):
    """The machine has seen a newer controller of ours: this one may do nothing any more."""

    fault = Fault.OURS


class BusyError(MachineError):
    """An earlier attempt of the stage is still alive on the machine."""

    def __init__(self, attempt: int) -> None:
        super().__init__(f"attempt {attempt} of the stage is still alive on the machine")
        self.attempt = attempt


@dataclass(frozen=True, slots=True)
class Step:
    """Names of one attempt on a machine."""

    root: str
    run: str
    stage: str
    attempt: int
    prefix: str = ""  # tells machines apart where several share one root's host

    @property
    def parent(self) -> str:
        return f"{self.root}/{plain(self.run)}/{plain(self.stage)}"

    @property
    def directory(self) -> str:
        return f"{self.parent}/{self.attempt}"

    @property
    def unit(self) -> str:
        words = ("rackwright", self.prefix, self.run, self.stage, str(self.attempt))
        return "-".join(plain(word) for word in words if word)


@dataclass(frozen=True, slots=True)
class Owner:
    """Which controller acts: one authority's epochs only ever grow."""

    authority: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Started:
    boot_id: str
    attached: bool  # it was already launched: nothing was started now


class End(StrEnum):
    EXITED = "exited"
    LOST = "lost"  # it was launched, is not alive and left no exit code
    ABSENT = "absent"  # never launched on this boot


@dataclass(frozen=True, slots=True)
class StepEnd:
    end: End
    boot_id: str
    status: int | None = None
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a machine knows of one stage's attempts: number -> alive, done, lost or claimed."""

    boot_id: str
    states: Mapping[int, str]

    def alive(self) -> int | None:
        return max((n for n, state in self.states.items() if state == "alive"), default=None)


def plain(word: str) -> str:
    """A word as a path part and in a unit's name: nothing but letters, digits, dot, dash."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", word).lstrip(".") or "_"


async def start(
    shell: Shell,
    step: Step,
    owner: Owner,
    *,
    text: str,
    secrets: Mapping[str, bytes],
    limit_s: float,
) -> Started:
    """Launch the step as a unit of its own, or find that it was. Never launches twice.

    Raises ``StaleControllerError``, ``MachineError`` when it cannot be started or an earlier
    attempt is alive, ``UnreachableError`` when it is not known whether it was started.
    """
    contents = {"wrapper": script("wrapper").encode(), "script": text.encode()}
    for name, value in secrets.items():
        if not SECRET_NAME.fullmatch(name):
            raise ValueError(f"not a name for a secret: {name!r}")
        contents[f"secrets/{name}"] = value
    sizes = [word for name, value in contents.items() for word in (name, str(len(value)))]
    done = await shell.run(
        script("step_start"),
        *(step.root, owner.authority, str(owner.epoch), step.directory, step.unit),
        str(max(1, round(limit_s))),
        *sizes,
        timeout_s=START_GRACE_S,
        payload=_chunks(tuple(contents.values())),
    )
    said = last_lines(done.stdout, 1).strip()
    match done.status:
        case 0:
            word, _, boot_id = said.partition(" ")
            return Started(boot_id, attached=word == "attached")
        case _ if done.status == STALE:
            raise StaleControllerError(
                f"the machine has seen epoch {said} of this controller, we are {owner.epoch}"
            )
        case _ if done.status == BUSY:
            raise BusyError(int(said))
        case _ if done.status in (CUT_OFF, TIMED_OUT, None):
            raise UnreachableError("the step did not arrive whole")
        case _:
            raise MachineError(f"the step could not be started: {done.complaint()}")


async def wait(
    shell: Shell,
    step: Step,
    *,
    timeout_s: float,
    on_output: Callable[[bytes], None] | None = None,
) -> StepEnd:
    """Block until the step has ended. Raises ``TimeoutError``, ``UnreachableError``."""
    done = await shell.run(
        script("step_wait"), step.directory, timeout_s=timeout_s, on_output=on_output
    )
    if done.status == TIMED_OUT:
        raise TimeoutError
    return read_end(done.stderr)


def read_end(protocol: bytes) -> StepEnd:
    """Parse what ``step_wait.sh`` says. Raises ``UnreachableError`` for anything else."""
    match [line.split() for line in from_marker(protocol, "boot ")[:2]]:
        case [["boot", boot_id], ["exit", code]] if code.isdigit():
            log = "\n".join(from_marker(protocol, "boot ")[2:])
            return StepEnd(End.EXITED, boot_id, int(code), last_lines(log.encode(), 8))
        case [["boot", boot_id], ["lost"]]:
            return StepEnd(End.LOST, boot_id)
        case [["boot", boot_id], ["absent"]]:
            return StepEnd(End.ABSENT, boot_id)
    raise UnreachableError("the machine did not say how the step ended")


async def stop(shell: Shell, step: Step) -> None:
    """End the step and everything it started. Idempotent."""
    done = await shell.run(script("step_stop"), step.directory, step.unit, timeout_s=60.0)
    if done.status != 0:
        raise MachineError(f"a step could not be ended: {done.complaint()}")


async def find(shell: Shell, step: Step) -> Found:
    """Which attempts of the step's stage this machine knows, on this boot."""
    done = await shell.run(script("step_list"), step.parent, timeout_s=30.0)
    lines = from_marker(done.stdout, "boot ")
    if done.status != 0 or not lines:
        raise UnreachableError("the machine did not list its steps")
    states = {}
    for line in lines[1:]:
        number, _, state = line.partition(" ")
        if number.isdigit():
            states[int(number)] = state.split()[0]
    return Found(lines[0].removeprefix("boot "), states)


async def _chunks(parts: tuple[bytes, ...]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
