"""Which run holds which machine, and what that does to the machine's state.

A run holds all of its machines or none; only a run that holds a machine may change it.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, insert

from rackwright.inventory import machines
from rackwright.inventory.errors import ConflictError, ReservedError
from rackwright.inventory.lifecycle import State
from rackwright.inventory.machines import ENGINE
from rackwright.inventory.tables import RESERVATION
from rackwright.inventory.values import MachineView

REFUSED = (State.QUARANTINED, State.RETIRED, State.MAINTENANCE, State.RELEASING)
_DISCOVERABLE = (
    State.ENROLLED,
    State.DISCOVERED,
    State.AVAILABLE,
    State.FAILED,
)
_CLUSTERABLE = (State.AVAILABLE, State.ALLOCATED, State.ACTIVE, State.DEPLOYING, State.FAILED)


def reserve(
    connection: Connection,
    run_no: int,
    views: Sequence[MachineView],
    kind: str,
    actor: str,
    now: float,
) -> None:
    """The machines must be free: ask ``refuse_held`` first."""
    if not views:
        return
    rows = [{"machine_id": view.id, "run_no": run_no, "reserved_at": now} for view in views]
    connection.execute(insert(RESERVATION), rows)
    allocate(connection, views, kind, actor, now)


def allocate(
    connection: Connection, views: Sequence[MachineView], kind: str, actor: str, now: float
) -> None:
    """A cluster's run takes available machines; failed ones only because a person began it."""
    if kind != "cluster":
        return
    for view in views:
        if view.state in (State.AVAILABLE, State.FAILED):
            machines.set_state(
                connection,
                view.id,
                State.ALLOCATED,
                actor=ENGINE if view.state == State.AVAILABLE else actor,
                reason="reserved by a run",
                now=now,
            )


def refuse_held(views: Sequence[MachineView]) -> None:
    """Raises ReservedError, naming the run that holds a machine."""
    for view in views:
        if view.run:
            raise ReservedError(
                f"machine {view.name} is reserved by run {view.run}",
                machine=view.id,
                run=view.run,
                hint=f"wait for it, or cancel it: rackwright run cancel {view.run}",
            )


def refuse_states(views: Sequence[MachineView], kind: str) -> None:
    """Raises ConflictError for a machine whose state forbids a run of this kind."""
    allowed = _DISCOVERABLE if kind == "discover" else _CLUSTERABLE
    for view in views:
        if view.state in REFUSED or view.state not in allowed:
            raise ConflictError(
                f"machine {view.name} is {view.state}: a {kind} run may not take it",
                machine=view.id,
                hint=f"allowed are {', '.join(state.value for state in allowed)}",
            )


def settle(
    connection: Connection,
    view: MachineView,
    run_id: str,
    succeeded: Collection[str],
    failed: Collection[str],
    now: float,
) -> None:
    state = State(view.state)
    target: State | None = None
    if view.id in failed and state in (State.ALLOCATED, State.DEPLOYING, State.ACTIVE):
        target = State.FAILED
    elif view.id in succeeded and state in (State.ALLOCATED, State.DEPLOYING):
        target = State.ACTIVE
    elif view.id not in succeeded and state is State.ALLOCATED:
        target = State.AVAILABLE
    elif view.id not in succeeded and state is State.DEPLOYING:
        target = State.FAILED  # its disk was touched, and nobody proved what is on it
    if target is not None:
        machines.set_state(
            connection, view.id, target, actor=ENGINE, reason=f"run {run_id} ended", now=now
        )
