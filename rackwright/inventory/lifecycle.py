"""The machine lifecycle: a table. What is not in it raises.

A disk that holds data keeps its machine ``discovered`` until an operator releases it; a failed
machine never returns by itself; release cleans before a machine is available again.
"""

from enum import StrEnum
from typing import NamedTuple

from rackwright.inventory.errors import TransitionError


class State(StrEnum):
    ENROLLED = "enrolled"  # known by its BMC, MACs and labels alone
    DISCOVERED = "discovered"  # a ramdisk reported its hardware; a disk may hold data
    AVAILABLE = "available"  # may be chosen
    ALLOCATED = "allocated"  # a run holds it, nothing was erased yet
    DEPLOYING = "deploying"  # its disk is being written, or its cluster joined
    ACTIVE = "active"  # in use
    FAILED = "failed"  # a person must look
    RELEASING = "releasing"  # leaving its cluster; its disk is being cleaned
    MAINTENANCE = "maintenance"  # taken out by a person
    QUARANTINED = "quarantined"  # its identity is in doubt
    RETIRED = "retired"


class Transition(NamedTuple):
    """``is_operators``: only a person may ask for it."""

    action: str
    is_operators: bool


_S = State
TRANSITIONS: dict[tuple[State, State], Transition] = {
    (_S.ENROLLED, _S.DISCOVERED): Transition("discover", False),
    (_S.ENROLLED, _S.AVAILABLE): Transition("adopt", False),  # came with an OS
    (_S.DISCOVERED, _S.AVAILABLE): Transition("offer", False),  # blank, or data accepted
    (_S.AVAILABLE, _S.DISCOVERED): Transition("withhold", False),  # data was found since
    (_S.AVAILABLE, _S.ALLOCATED): Transition("allocate", False),
    (_S.ALLOCATED, _S.AVAILABLE): Transition("free", False),
    (_S.ALLOCATED, _S.DEPLOYING): Transition("deploy", False),
    (_S.ALLOCATED, _S.ACTIVE): Transition("activate", False),  # nothing had to be erased
    (_S.ALLOCATED, _S.FAILED): Transition("fail", False),
    (_S.DEPLOYING, _S.ACTIVE): Transition("activate", False),
    (_S.DEPLOYING, _S.FAILED): Transition("fail", False),
    (_S.ACTIVE, _S.DEPLOYING): Transition("redeploy", False),
    (_S.ACTIVE, _S.FAILED): Transition("fail", False),
    (_S.ACTIVE, _S.RELEASING): Transition("release", True),
    (_S.FAILED, _S.RELEASING): Transition("release", True),
    (_S.FAILED, _S.DEPLOYING): Transition("retry", True),
    (_S.FAILED, _S.ALLOCATED): Transition("retry", True),
    (_S.FAILED, _S.ACTIVE): Transition("repair", True),
    (_S.RELEASING, _S.DISCOVERED): Transition("clean", False),
    (_S.RELEASING, _S.FAILED): Transition("fail", False),
    (_S.ENROLLED, _S.MAINTENANCE): Transition("maintain", True),
    (_S.DISCOVERED, _S.MAINTENANCE): Transition("maintain", True),
    (_S.AVAILABLE, _S.MAINTENANCE): Transition("maintain", True),
    (_S.ACTIVE, _S.MAINTENANCE): Transition("maintain", True),
    (_S.FAILED, _S.MAINTENANCE): Transition("maintain", True),
    (_S.MAINTENANCE, _S.ENROLLED): Transition("return", True),
    (_S.MAINTENANCE, _S.DISCOVERED): Transition("return", True),
    (_S.MAINTENANCE, _S.ACTIVE): Transition("return", True),
    (_S.MAINTENANCE, _S.FAILED): Transition("return", True),
    (_S.QUARANTINED, _S.ENROLLED): Transition("clear", True),
    (_S.ENROLLED, _S.RETIRED): Transition("retire", True),
    (_S.DISCOVERED, _S.RETIRED): Transition("retire", True),
    (_S.AVAILABLE, _S.RETIRED): Transition("retire", True),
    (_S.FAILED, _S.RETIRED): Transition("retire", True),
    (_S.MAINTENANCE, _S.RETIRED): Transition("retire", True),
    (_S.QUARANTINED, _S.RETIRED): Transition("retire", True),
    (_S.RETIRED, _S.ENROLLED): Transition("enrol", True),
    **{
        (state, _S.QUARANTINED): Transition("quarantine", False)
        for state in State
        if state not in (_S.QUARANTINED, _S.RETIRED)
    },
}


def transition(machine: str, source: State, target: State, *, by_operator: bool) -> Transition:
    """The transition between two states. Raises TransitionError when the table has none."""
    found = TRANSITIONS.get((source, target))
    if found is None:
        possible = sorted({end.value for start, end in TRANSITIONS if start is source})
        raise TransitionError(
            f"machine {machine} is {source} and cannot become {target}",
            machine=machine,
            hint=f"from {source} it can become {', '.join(possible)}" if possible else "",
        )
    if found.is_operators and not by_operator:
        raise TransitionError(
            f"machine {machine} is {source}; only an operator may make it {target}", machine=machine
        )
    return found


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.ENROLLED}: enrol"]
    for (source, target), change in TRANSITIONS.items():
        mark = " (operator)" if change.is_operators else ""
        lines.append(f"    {source} --> {target}: {change.action}{mark}")
    lines.append(f"    {State.RETIRED} --> [*]: forget")
    return "\n".join(lines) + "\n"
