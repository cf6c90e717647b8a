"""One process owns a data directory: a file lock while it lives, an epoch in the database.

The lock keeps a second process out; the epoch fences a process whose lock was lost without its
noticing (a copied directory, a network filesystem): each write transaction checks it inside itself.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, insert, select, update

from rackwright.inventory.errors import OwnedElsewhereError, StaleOwnerError
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


def take_over(connection: Connection, *, pid: int, now: float) -> int:
    """Become the owner: raises the epoch and returns it."""
    epoch = connection.scalar(select(OWNER.c.epoch))
    if epoch is None:
        connection.execute(insert(OWNER).values(id=1, epoch=1, pid=pid, taken_at=now))
        return 1
    connection.execute(update(OWNER).values(epoch=epoch + 1, pid=pid, taken_at=now))
    return int(epoch) + 1


def check_epoch(connection: Connection, epoch: int) -> None:
    """Raises StaleOwnerError unless ``epoch`` is the current owner's."""
    current = connection.scalar(select(OWNER.c.epoch))
    if current != epoch:
        raise StaleOwnerError(
            f"owner epoch {epoch} is over, the database is at {current}",
            hint="another process took the data directory over; this one must stop",
        )
