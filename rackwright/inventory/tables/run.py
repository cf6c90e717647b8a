"""Plans, reservations, runs and what became of their tasks; the journal.

The hot table (``journal``) carries no foreign keys and no secondary index: it takes facts by the
hundred thousand a second, packed, and a run knows the range of the journal that is its own. Tasks
and attempts are folded from the facts; tables of their own would only repeat them.
"""

from sqlalchemy import Column, Index, LargeBinary
from sqlmodel import Field

from rackwright.inventory.tables.base import Row


class Plan(Row, table=True):
    __tablename__ = "plan"

    digest: str = Field(primary_key=True)
    kind: str
    workflow: str
    cluster: str = ""
    fingerprint: str
    document: bytes = Field(sa_column=Column(LargeBinary, nullable=False))  # canonical JSON
    created_at: float


class Run(Row, table=True):
    """``status`` is the engine's RunStatus; it is read here only for "has it ended"."""

    __tablename__ = "run"
    __table_args__ = ({"sqlite_autoincrement": True},)

    no: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    plan_digest: str = Field(foreign_key="plan.digest", index=True)
    status: int
    actor: str = ""
    created_at: float
    ended_at: float | None = None
    first_seq: int  # journal rows of this run have a higher seq
    owner_epoch: int


class RunStage(Row, table=True):
    __tablename__ = "run_stage"

    run_no: int = Field(primary_key=True, foreign_key="run.no")
    stage: int = Field(primary_key=True)
    name: str


class RunMachine(Row, table=True):
    __tablename__ = "run_machine"

    run_no: int = Field(primary_key=True, foreign_key="run.no")
    machine: int = Field(primary_key=True)
    machine_id: str = Field(index=True)
    name: str


class Reservation(Row, table=True):
    """One run per machine."""

    __tablename__ = "reservation"

    machine_id: str = Field(primary_key=True, foreign_key="machine.id")
    run_no: int = Field(foreign_key="run.no", index=True)
    reserved_at: float


class Snapshot(Row, table=True):
    """Where a restart of a run begins to read: the engine's own bytes, at a sequence number."""

    __tablename__ = "snapshot"

    run_no: int = Field(primary_key=True)
    seq: int
    payload: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class Journal(Row, table=True):
    """Commits of runs, and the inventory's own changes (``run_no`` 0). ``seq`` is never reused.

    ``facts``: how many the payload packs, whose numbers end at ``seq``; the other columns are then
    empty. 0: the row itself is one event.
    """

    __tablename__ = "journal"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int | None = Field(default=None, primary_key=True)
    run_no: int
    kind: str
    stage: int
    machine: int
    attempt: int
    status: int
    at: float
    facts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    payload: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class BootWindow(Row, table=True):
    """The time in which one machine, for one run and stage, may boot our ramdisk."""

    __tablename__ = "boot_window"
    __table_args__ = (Index(None, "machine_id", "state"),)

    id: int | None = Field(default=None, primary_key=True)
    machine_id: str = Field(foreign_key="machine.id")
    run_id: str
    stage: str
    state: str  # armed, closed, quarantined
    opened_at: float
    expires_at: float
    host_key: str = ""  # the first accepted key; spends the window's tokens for any other


class BootToken(Row, table=True):
    __tablename__ = "boot_token"

    id: int | None = Field(default=None, primary_key=True)
    sha256: str = Field(unique=True)  # of the token, hex; the token itself is stored nowhere
    window_id: int = Field(foreign_key="boot_window.id", index=True)
    minted_at: float
    superseded: bool = False


class RamdiskContact(Row, table=True):
    """The last accepted contact of a machine's ramdisk."""

    __tablename__ = "ramdisk_contact"

    machine_id: str = Field(primary_key=True, foreign_key="machine.id")
    window_id: int
    run_id: str
    stage: str
    address: str
    boot_id: str
    host_key: str
    ramdisk_machine_id: str = ""
    ramdisk_digest: str = ""
    firmware: str = ""
    at: float
