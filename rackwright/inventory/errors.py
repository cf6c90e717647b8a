"""The inventory's errors: one root, and whose fault each is.

Errors carry data and a hint; a message never holds a secret. HTTP codes live in ``api`` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Whose fault an error is."""

    OURS = "ours"
    OPERATOR = "operator"
    MACHINE = "machine"


class InventoryError(Exception):
    """Root. ``hint`` says what to do next; ``retryable`` whether the same call may work later."""

    fault = Fault.OURS
    retryable = False

    def __init__(self, message: str, *, hint: str = "", machine: str = "", run: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.machine = machine
        self.run = run

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class StorageError(InventoryError):
    """The database cannot be read or written as it should be."""


class StorageFullError(StorageError):
    """The disk is full: nothing was written, reads still work."""

    retryable = True


class StorageBusyError(StorageError):
    """Another process holds the database's write lock."""

    retryable = True


class NewerSchemaError(StorageError):
    """A newer version of Rackwright made this database."""

    fault = Fault.OPERATOR


class OwnedElsewhereError(InventoryError):
    """Another live process owns the data directory. ``pid`` is the holder's, 0 if unknown."""

    fault = Fault.OPERATOR
    retryable = True

    def __init__(self, message: str, *, pid: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.pid = pid


class StaleOwnerError(InventoryError):
    """A newer owner has taken the database over: this process may write nothing more."""


class OperatorError(InventoryError):
    """The request is wrong; the same request will fail again."""

    fault = Fault.OPERATOR


class NotFoundError(OperatorError):
    """Nothing has that name or id."""


class AmbiguousError(OperatorError):
    """More than one thing answers to that name."""


class ConflictError(OperatorError):
    """The request contradicts what is recorded."""


class TransitionError(ConflictError):
    """The lifecycle's table has no such transition."""


class ReservedError(ConflictError):
    """A machine is reserved by another run: ``run`` and ``machine`` say which."""

    retryable = True


class StalePlanError(ConflictError):
    """What the plan was decided from has changed since."""


class SelectorError(OperatorError):
    """A selector does not parse. ``column`` counts from 1."""

    def __init__(self, message: str, *, selector: str, column: int, hint: str = "") -> None:
        super().__init__(f"selector {selector!r}, column {column}: {message}", hint=hint)
        self.selector = selector
        self.column = column


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a submitted document. ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class EnrolError(OperatorError):
    """An enrolment document was refused; nothing of it was recorded."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class SecretKeyError(InventoryError):
    """The key file is missing, too open, or does not open what is stored."""

    fault = Fault.OPERATOR


class TokenRefusedError(InventoryError):
    """A boot token is unknown, spent, superseded, expired, or another machine's."""

    fault = Fault.MACHINE


class HostKeyConflictError(InventoryError):
    """A second, different host key came within one armed window; the machine is quarantined."""

    fault = Fault.MACHINE
