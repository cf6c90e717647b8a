"""SQLite's failures as the inventory's errors, with what to do next."""

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError

from rackwright.inventory.errors import (
    ConflictError,
    InventoryError,
    StorageBusyError,
    StorageError,
    StorageFullError,
)

# SQLite primary result codes, https://www.sqlite.org/rescode.html
_PRIMARY = 0xFF
_RESTART = (
    "check the disk (dmesg), then restart the controller; what was acknowledged before is safe, "
    "and reads go on until then"
)
_REFUSED = (
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_WRITE,
)


def primary_code(error: BaseException) -> int:
    """SQLite's primary result code of an error or of what it wraps, 0 if there is none."""
    return _extended_code(error) & _PRIMARY


def _extended_code(error: BaseException) -> int:
    origin = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(origin, "sqlite_errorcode", 0)
    return int(code) if isinstance(code, int) else 0


def is_fatal(error: BaseException) -> bool:
    """After these nothing that the process believes of the file may be trusted: fail stop.

    A read or a write that was refused has a known result, and its transaction was rolled back. A
    failed fsync has not: the kernel may have dropped the pages and call them clean.
    """
    code = primary_code(error)
    if code == sqlite3.SQLITE_IOERR:
        return _extended_code(error) not in _REFUSED
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def wrapped(error: Exception) -> Exception:
    """The inventory's error for a database error; any other error as it is."""
    if isinstance(error, IntegrityError):
        return ConflictError(f"the record contradicts another one: {_reason(error)}")
    if not isinstance(error, DBAPIError | sqlite3.Error):
        return error
    if primary_code(error) == sqlite3.SQLITE_IOERR:
        return _of_io(error)
    return _by_code(primary_code(error), _reason(error))


def _of_io(error: Exception) -> StorageError:
    origin = error.orig if isinstance(error, DBAPIError) else error
    reason = f"{_reason(error)} ({getattr(origin, 'sqlite_errorname', 'SQLITE_IOERR')})"
    if is_fatal(error):
        return StorageError(
            f"the database could not be read or written: {reason}; no write is taken any more, and "
            "whether this one was kept shows after a restart",
            hint=_RESTART,
        )
    return StorageError(
        f"the database could not be read or written: {reason}; nothing was written",
        hint="check the disk (dmesg); once it answers, writes work again without a restart",
    )


def refused_after(fatal: Exception) -> StorageError:
    """For every write after a fatal error."""
    return StorageError(
        f"nothing was written: the database could not be read or written before: {_reason(fatal)} "
        f"({getattr(getattr(fatal, 'orig', fatal), 'sqlite_errorname', 'unknown')})",
        hint=_RESTART,
    )


def _by_code(code: int, reason: str) -> InventoryError:
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError(
            "the disk of the data directory is full; nothing was written",
            hint="free some space there; reads go on, and writes work again without a restart",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageBusyError(
            "the database is locked by another process",
            hint="end whatever else has it open (a backup, a sqlite3 shell), then try again",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StorageError(
            f"the database is damaged: {reason}",
            hint="restore the last backup of the data directory",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StorageError(
            f"the database cannot be opened for writing: {reason}",
            hint="check owner and mode of the data directory and its files",
        )
    return StorageError(f"the database refused: {reason}")


def _reason(error: Exception) -> str:
    """SQLite's own words: without the statement's parameters, which may hold secrets."""
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)
