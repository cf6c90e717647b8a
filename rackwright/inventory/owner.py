"""One process owns a data directory: a file lock while it lives, an epoch in the database.

The lock keeps a second process out; lease and epoch fence a process whose lock was lost without its
noticing (a database shared by two data directories, a network filesystem): nobody takes over before
the lease has run out, and each write transaction checks the epoch inside itself.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, insert, select, update

from rackwright.inventory.errors import OwnedElsewhereError, StaleOwnerError
from rackwright.inventory.lease import Holder, this_process
from rackwright.inventory.tables import OWNER

LOCK_NAME = "owner.lock"


class DirectoryLock:
    """An exclusive flock on ``<data_dir>/owner.lock``, which holds the owner's pid."""

    def __init__(self, data_dir: Path) -> None:
        """Takes the lock at once. Raises OwnedElsewhereError naming the holder's pid."""
        self._path = data_dir / LOCK_NAME
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = holder(data_dir)
            os.close(self._fd)
            self._fd = -1
            raise OwnedElsewhereError(
                f"process {pid or '(unknown)'} owns {data_dir}",
                pid=pid,
                hint="use it through its socket, or end that process first",
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Idempotent. The file stays: removing it would let two processes lock two files."""
        if self._fd < 0:
            return
        os.ftruncate(self._fd, 0)
        os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.release()


def holder(data_dir: Path) -> int:
    """The pid that the lock file names, 0 if it names none."""
    try:
        text = (data_dir / LOCK_NAME).read_text().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Takeover:
    """``others_until``: the latest moment (unix seconds, maybe in the past or in the future) at
    which an earlier owner may have sent anything; None if it left in order, or there was none. One
    that is not known to be dead may have gone on until now, in the middle of sending: it is given
    one lease from now."""

    epoch: int
    others_until: float | None


def take_over(connection: Connection, *, pid: int, now: float, lease_s: float) -> Takeover:
    """Become the owner: raises the epoch.

    Raises OwnedElsewhereError while another owner's lease runs and its process may live.
    """
    found = connection.execute(select(OWNER)).first()
    others_until = None
    if found is not None and found.lease_until:
        is_dead = Holder(found.pid, found.boot_id, found.started).is_dead()
        others_until = min(now, found.lease_until) if is_dead else now + lease_s
        if found.lease_until > now and not is_dead:
            left_s = found.lease_until - now
            raise OwnedElsewhereError(
                f"process {found.pid} owns the database for another {left_s:.0f} s",
                pid=found.pid,
                hint="end that process, or try again when its lease has run out",
            )
    mine = this_process(pid)
    values = {
        "epoch": found.epoch + 1 if found is not None else 1,
        "pid": pid,
        "taken_at": now,
        "lease_until": now + lease_s,
        "boot_id": mine.boot_id,
        "started": mine.started,
    }
    if found is None:
        connection.execute(insert(OWNER).values(id=1, **values))
    else:
        connection.execute(update(OWNER).values(values))
    return Takeover(int(values["epoch"]), others_until)


def renew(connection: Connection, *, until: float) -> None:
    """In a transaction that has checked the epoch. 0: the owner leaves in order."""
    connection.execute(update(OWNER).values(lease_until=until))


def check_epoch(connection: Connection, epoch: int) -> None:
    """Raises StaleOwnerError unless ``epoch`` is the current owner's."""
    current = connection.scalar(select(OWNER.c.epoch))
    if current != epoch:
        raise StaleOwnerError(
            f"owner epoch {epoch} is over, the database is at {current}",
            hint="another process took the data directory over; this one must stop",
        )
