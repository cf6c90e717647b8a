"""``Inventory``: what ``api`` wires. It owns the database, the lock, the clock and the secrets.

Reads are synchronous (a snapshot on a read-only connection; under a few ms) and safe in any thread.
Writes are coroutines: they resolve after the commit they were part of. All raise InventoryError
leaves (errors.py). Machine arguments called ``reference`` take a name or an id, ``machine_id`` an
id.

  opening     ``Inventory.open(data_dir)`` -> owner of the directory; ``close()``; ``epoch``;
  ``feed`` enrolment   enrol(text, file, actor=) -> EnrolReport machines    machine(ref)
  machines(selector=, states=, after=, limit=)  machines_by_id(ids) count_by_state()  set_state(ref,
  state, actor=, reason=)  release(ref, actor=) protect(ref, True|False, actor=)  label(ref, key,
  value|None, actor=) forget(ref, actor=)  ssh_binding(id)  contact(id) BMC
  set_credentials(ref, username=, password=, actor=)  credentials(id) (drivers only) facts
  record_discovered(id, facts)  record_erasing(id, install_id, drive_serial) record_installed(id,
  evidence) network     segments()  segment(name) boot        arm(id, run_id=, stage=, ttl_s=)
  disarm(id)  armed_macs() mint(mac, address=) -> Minted | None spend(token, Contact) -> Accepted;
  raises TokenRefusedError, HostKeyConflictError wait_for_contact(id, run_id) -> ContactView
  (bound it with your own timeout) plans       save_plan(PlanRecord)  plan(digest)  plans() runs
  begin_run(NewRun) -> RunView  resume_run(id, actor=)  finish_run(id, status=, succeeded=, failed=)
  run(id)  runs()  unfinished_runs()  tasks(id, ...)  task_states(id)
  attempts(id, stage=, machine=)  delete_run(id, actor=)
  journal(run_id, fact=ports.Fact) -> RunJournal (the engine's Journal Protocol) feed
  feed.last_seq  feed.events_after(seq, run=, limit=)  await feed.wait_for_new(seq) clusters
  save_cluster(name, workflow=, spec=)  cluster(name)  clusters()  cluster_id(name)
  record_cluster(name, cluster_id)  join_cluster(name, id, pool=) leave_cluster(name, id)
  remove_cluster(name, actor=) secrets     rotate_key() -> how many were re-encrypted audit
  audit(before=, subject=, limit=)  record_audit(actor=, action=, subject=, detail=) anything
  ``read()`` and ``write(fn)``: a connection, for the modules' functions
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

from rackwright.inventory import (
    audit,
    boot_tokens,
    clusters,
    credentials,
    enrol,
    installations,
    machines,
    plans,
    run_views,
    runs,
    segments,
)
from rackwright.inventory import journal as journals
from rackwright.inventory.boot_tokens import Accepted, Contact, Minted
from rackwright.inventory.database import Database, open_database, private_directory
from rackwright.inventory.doorbell import Allowance, Doorbell
from rackwright.inventory.errors import (
    ConflictError,
    HostKeyConflictError,
    TokenRefusedError,
)
from rackwright.inventory.journal import Event, Feed, RunJournal
from rackwright.inventory.lease import LEASE_S
from rackwright.inventory.lifecycle import State
from rackwright.inventory.owner import DirectoryLock
from rackwright.inventory.plans import PlanRecord
from rackwright.inventory.projection import LastWord, Projections, Summary, TaskState
from rackwright.inventory.runs import NewRun
from rackwright.inventory.secrets import KEY_PATH, SecretBox
from rackwright.inventory.values import (
    BmcCredentials,
    ClusterView,
    ContactView,
    MachineView,
    RunView,
    SegmentView,
    SshBindingView,
    TaskView,
)

T = TypeVar("T")
F = TypeVar("F", bound=tuple[object, ...])


class Inventory:
    """See the module's docstring. Made by ``open``."""

    def __init__(
        self, database: Database, box: SecretBox, lock: DirectoryLock, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._box = box
        self._lock = lock
        self._clock = clock
        self.feed = Feed(database)
        self._projections = Projections()
        self._contacts = Doorbell()
        self._strangers = Allowance(60, period_s=60.0)

    @classmethod
    def open(
        cls,
        data_dir: Path,
        *,
        database_url: str = "",
        key_file: Path | None = None,
        clock: Callable[[], float] = time.time,
        lease_s: float = LEASE_S,
    ) -> Self:
        """Own the data directory, made where missing; migrate the database; raise the epoch.

        Raises OwnedElsewhereError (its ``pid`` is the holder's), StorageError, SecretKeyError.
        """
        private_directory(data_dir)
        lock = DirectoryLock(data_dir)
        try:
            box = SecretBox(key_file or data_dir / KEY_PATH)
            database = open_database(
                database_url or data_dir, now=clock(), clock=clock, lease_s=lease_s
            )
        except BaseException:
            lock.release()
            raise
        return cls(database, box, lock, clock)

    def close(self) -> None:
        """Commits what is queued, then gives the directory up. Idempotent."""
        self._database.close()
        self._lock.release()

    def may_act(self) -> bool:
        """Whether this owner's lease still lives: ask just before anything is sent."""
        return self._database.may_act()

    def on_replaced(self, listener: Callable[[], None]) -> None:
        """Call it, in a thread of ours, when a newer owner turns out to exist; maybe often."""
        self._database.on_replaced(listener)

    async def renew(self) -> None:
        """Commit, and with it renew the lease. Raises StaleOwnerError when a newer owner exists."""
        await self._database.write(lambda _: None)

    @property
    def epoch(self) -> int:
        """This owner's; every journal append carries it."""
        return self._database.epoch

    @property
    def others_until(self) -> float | None:
        """Until when an earlier owner may have acted: see ``owner.Takeover``."""
        return self._database.others_until

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._database.read() as connection:
            yield connection

    async def write(self, function: Callable[[Connection], T]) -> T:
        return await self._database.write(function)

    # enrolment ----------------------------------------------------------------------------------

    async def enrol(self, text: str, file: str, *, actor: str) -> enrol.EnrolReport:
        """All or nothing; ``file`` names the text in errors and tells CSV (.csv) from YAML."""
        parsed = await asyncio.to_thread(enrol.parse, text, file)
        now = self._clock()
        return await self.write(lambda c: enrol.apply(c, self._box, parsed, actor=actor, now=now))

    # machines -----------------------------------------------------------------------------------

    def machine(self, reference: str) -> MachineView:
        with self.read() as connection:
            return machines.get(connection, reference)

    def machines(
        self,
        *,
        selector: str = "",
        states: Sequence[str] = (),
        after: str = "",
        limit: int | None = 100,
    ) -> list[MachineView]:
        with self.read() as connection:
            return machines.page(
                connection, selector=selector, states=states, after=after, limit=limit
            )

    def machines_by_id(self, ids: Sequence[str]) -> list[MachineView]:
        with self.read() as connection:
            return machines.by_ids(connection, ids)

    def count_by_state(self) -> dict[str, int]:
        with self.read() as connection:
            return machines.count_by_state(connection)

    async def set_state(self, reference: str, state: str, *, actor: str, reason: str) -> None:
        now = self._clock()
        if state not in set(State):
            hint = ", ".join(known.value for known in State)
            raise ConflictError(f"{state!r} is not a state of a machine", hint=hint)

        def change(c: Connection) -> None:
            machine_id = machines.id_of(c, reference)
            machines.set_state(c, machine_id, State(state), actor=actor, reason=reason, now=now)

        await self.write(change)

    async def release(self, reference: str, *, actor: str) -> None:
        """An operator accepts that the machine's disks hold data."""
        now = self._clock()
        await self.write(
            lambda c: machines.release(c, machines.id_of(c, reference), actor=actor, now=now)
        )

    async def protect(self, reference: str, protected: bool, *, actor: str) -> None:
        now = self._clock()
        await self.write(
            lambda c: machines.protect(
                c, machines.id_of(c, reference), protected=protected, actor=actor, now=now
            )
        )

    async def label(self, reference: str, key: str, value: str | None, *, actor: str) -> None:
        now = self._clock()
        await self.write(
            lambda c: machines.set_label(
                c, machines.id_of(c, reference), key, value, actor=actor, now=now
            )
        )

    async def forget(self, reference: str, *, actor: str) -> None:
        now = self._clock()
        await self.write(
            lambda c: machines.forget(c, machines.id_of(c, reference), actor=actor, now=now)
        )

    def ssh_binding(self, machine_id: str) -> SshBindingView | None:
        with self.read() as connection:
            return machines.ssh_binding(connection, machine_id)

    def contact(self, machine_id: str) -> ContactView | None:
        with self.read() as connection:
            return machines.contact(connection, machine_id)

    # BMC ----------------------------------------------------------------------------------------

    async def set_credentials(
        self, reference: str, *, username: str, password: str, actor: str
    ) -> None:
        now = self._clock()
        await self.write(
            lambda c: credentials.put(
                c,
                self._box,
                machines.id_of(c, reference),
                username=username,
                password=password,
                actor=actor,
                now=now,
            )
        )

    def credentials(self, machine_id: str) -> BmcCredentials:
        """For power drivers alone; never in an answer of the API."""
        with self.read() as connection:
            return credentials.get(connection, self._box, machine_id)

    # facts --------------------------------------------------------------------------------------

    async def record_discovered(self, machine_id: str, facts: Mapping[str, object]) -> None:
        now = self._clock()
        await self.write(lambda c: installations.record_discovered(c, machine_id, facts, now))

    async def record_erasing(self, machine_id: str, install_id: str, drive_serial: str) -> None:
        now = self._clock()
        await self.write(
            lambda c: installations.record_erasing(c, machine_id, install_id, drive_serial, now)
        )

    async def record_installed(self, machine_id: str, evidence: Mapping[str, object]) -> None:
        now = self._clock()
        await self.write(lambda c: installations.record_installed(c, machine_id, evidence, now))

    # network ------------------------------------------------------------------------------------

    def segments(self) -> list[SegmentView]:
        with self.read() as connection:
            return segments.every(connection)

    def segment(self, name: str) -> SegmentView:
        with self.read() as connection:
            return segments.get(connection, name)

    # boot ---------------------------------------------------------------------------------------

    async def arm(self, machine_id: str, *, run_id: str, stage: str, ttl_s: float) -> None:
        now = self._clock()
        await self.write(
            lambda c: boot_tokens.arm(
                c, machine_id, run_id=run_id, stage=stage, ttl_s=ttl_s, now=now
            )
        )
        self._contacts.ring(machine_id)

    async def disarm(self, machine_id: str) -> None:
        now = self._clock()
        await self.write(lambda c: boot_tokens.disarm(c, machine_id, now=now))
        self._contacts.ring(machine_id)

    def armed_macs(self) -> list[tuple[str, str]]:
        with self.read() as connection:
            return boot_tokens.armed_macs(connection, self._clock())

    async def mint(self, mac: str, *, address: str) -> Minted | None:
        """None for a MAC that is unknown (audited, within bounds) or not armed (writes nothing)."""
        now = self._clock()
        with self.read() as connection:
            armed = boot_tokens.is_armed(connection, mac, now)
        if armed is False or (armed is None and not self._strangers.take(now)):
            return None
        return await self.write(lambda c: boot_tokens.mint(c, mac, address=address, now=now))

    async def spend(self, token: str, contact: Contact) -> Accepted:
        """Raises TokenRefusedError (403), HostKeyConflictError (409; now quarantined)."""
        now = self._clock()
        with self.read() as connection:
            known = boot_tokens.is_known(connection, token)
        if not known and not self._strangers.take(now):
            raise TokenRefusedError("refused: unknown token")
        decided = await self.write(lambda c: boot_tokens.spend(c, token, contact, now=now))
        self._contacts.ring(decided.machine_id)
        if isinstance(decided, Accepted):
            return decided
        if decided.kind == "host_key":
            raise HostKeyConflictError(
                f"machine {decided.machine_id} is quarantined: {decided.reason}",
                machine=decided.machine_id,
                hint="find out which host answered in its place, then clear it",
            )
        raise TokenRefusedError(f"refused: {decided.reason}", machine=decided.machine_id)

    async def wait_for_contact(self, machine_id: str, run_id: str) -> ContactView:
        """Resolves when the last window's contact was accepted; bound it with your own timeout.

        Raises ConflictError when the window closed without one, or the machine is quarantined.
        """
        while True:
            rung = self._contacts.wait(machine_id)
            try:
                with self.read() as connection:
                    contact = boot_tokens.contact_in_window(connection, machine_id, run_id)
                if contact is not None:
                    return contact
                await rung
            finally:
                self._contacts.leave(machine_id, rung)

    # plans --------------------------------------------------------------------------------------

    async def save_plan(self, plan: PlanRecord) -> None:
        await self.write(lambda c: plans.put(c, plan))

    def plan(self, digest: str) -> PlanRecord:
        with self.read() as connection:
            return plans.get(connection, digest)

    def plans(self, limit: int = 50) -> list[PlanRecord]:
        with self.read() as connection:
            return plans.newest(connection, limit)

    # runs ---------------------------------------------------------------------------------------

    async def begin_run(self, new: NewRun) -> RunView:
        """Compare the fingerprint, reserve all machines and create the run, in one transaction."""
        now = self._clock()
        return await self.write(lambda c: runs.begin(c, new, epoch=self.epoch, now=now))

    async def resume_run(self, run_id: str, *, actor: str) -> RunView:
        now = self._clock()
        return await self.write(
            lambda c: runs.resume(c, run_id, actor=actor, epoch=self.epoch, now=now)
        )

    async def finish_run(
        self,
        run_id: str,
        *,
        status: int,
        succeeded: Collection[str] = (),
        failed: Collection[str] = (),
    ) -> None:
        """``status`` is the engine's RunStatus; the others are machine ids."""
        now = self._clock()
        await self.write(
            lambda c: runs.finish(
                c, run_id, status=status, now=now, succeeded=succeeded, failed=failed
            )
        )

    def run(self, run_id: str) -> RunView:
        with self.read() as connection:
            return run_views.get(connection, run_id)

    def runs(self, *, limit: int = 50, before: int | None = None) -> list[RunView]:
        with self.read() as connection:
            return run_views.newest(connection, limit=limit, before=before)

    def unfinished_runs(self) -> list[RunView]:
        with self.read() as connection:
            return run_views.unfinished(connection)

    def tasks(
        self,
        run_id: str,
        *,
        stage: int | None = None,
        machine: int | None = None,
        states: Sequence[int] = (),
        limit: int = 10_000,
    ) -> list[TaskView]:
        with self.read() as connection:
            return run_views.tasks(
                connection,
                self._projections,
                run_id,
                stage=stage,
                machine=machine,
                states=states,
                limit=limit,
            )

    def task_states(self, run_id: str) -> list[TaskState]:
        """Every task that anything was journaled of, by stage and machine, without its words."""
        with self.read() as connection:
            return run_views.task_states(connection, self._projections, run_id)

    def run_head(self, run_id: str) -> RunView:
        """A run without its stages and machines: cheap for any size."""
        with self.read() as connection:
            return run_views.head(connection, run_id)

    def run_summary(
        self, run_id: str, *, oldest: int, newest: Sequence[int], top: int
    ) -> tuple[Summary, dict[int, LastWord]]:
        """In bounded size: tasks by stage and state, attempts' durations, the ``top`` tasks longest
        in the state ``oldest`` and last come to one of ``newest``, with the words of the latter."""
        with self.read() as connection:
            return run_views.summary(
                connection, self._projections, run_id, oldest=oldest, newest=newest, top=top
            )

    def attempts(self, run_id: str, *, stage: int, machine: int) -> list[Event]:
        """What was journaled of one task, oldest first."""
        with self.read() as connection:
            run = run_views.get(connection, run_id)
            place = {"id": run.id, "no": run.no, "first_seq": run.first_seq}
            return journals.attempts_of(connection, place, stage, machine)

    async def delete_run(self, run_id: str, *, actor: str) -> None:
        now = self._clock()
        await self.write(lambda c: runs.delete_history(c, run_id, actor=actor, now=now))

    def journal(self, run_id: str, *, fact: type[F]) -> RunJournal[F]:
        """Pass the engine's ``Fact``; ``append`` takes ``epoch``."""
        return RunJournal(self._database, run_id, fact=fact, clock=self._clock)

    # clusters -----------------------------------------------------------------------------------

    async def save_cluster(self, name: str, *, workflow: str, spec: Mapping[str, Any]) -> None:
        now = self._clock()
        await self.write(lambda c: clusters.put(c, name, workflow=workflow, spec=spec, now=now))

    def cluster(self, name: str) -> ClusterView:
        with self.read() as connection:
            return clusters.get(connection, name)

    def clusters(self) -> list[ClusterView]:
        with self.read() as connection:
            return clusters.every(connection)

    def cluster_id(self, name: str) -> str:
        """ "" if it was never formed."""
        with self.read() as connection:
            return clusters.id_of(connection, name)

    async def record_cluster(self, name: str, cluster_id: str) -> None:
        now = self._clock()
        await self.write(lambda c: clusters.record_id(c, name, cluster_id, now))

    async def join_cluster(self, name: str, machine_id: str, *, pool: str) -> None:
        now = self._clock()
        await self.write(lambda c: clusters.join(c, name, machine_id, pool=pool, now=now))

    async def leave_cluster(self, name: str, machine_id: str) -> None:
        now = self._clock()
        await self.write(lambda c: clusters.leave(c, name, machine_id, now))

    async def remove_cluster(self, name: str, *, actor: str) -> None:
        now = self._clock()
        await self.write(lambda c: clusters.remove(c, name, actor=actor, now=now))

    # secrets and audit --------------------------------------------------------------------------

    async def rotate_key(self) -> int:
        """Re-encrypt every secret under a new key; returns how many there are."""
        now = self._clock()
        return await self.write(lambda c: self._box.rotate(c, now))

    def machine_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Id -> name of those that are machines."""
        with self.read() as connection:
            return machines.names(connection, ids)

    def audit(
        self, *, before: int | None = None, subject: str = "", limit: int = 100
    ) -> list[dict[str, Any]]:
        with self.read() as connection:
            return audit.page(connection, before=before, subject=subject, limit=limit)

    async def record_audit(
        self, *, actor: str, action: str, subject: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        now = self._clock()
        await self.write(
            lambda c: audit.record(
                c, actor=actor, action=action, subject=subject, now=now, detail=detail
            )
        )
