"""Errors in content and in operators' documents: always with file, line, column and a hint.

Positions are counted from 1. Nothing here holds a secret: messages name keys, never secret values.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from rackwright.engine.errors import OperatorError


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ContentError(OperatorError):
    """One mistake in a file; ``str`` gives ``file:line:column: message (hint)``."""

    def __init__(self, mark: Mark, message: str, *, hint: str = "", stage: str = "") -> None:
        super().__init__(message, hint=hint, stage=stage)
        self.mark = mark

    @property
    def file(self) -> str:
        return self.mark.file

    @property
    def line(self) -> int:
        return self.mark.line

    @property
    def column(self) -> int:
        return self.mark.column

    def __str__(self) -> str:
        return f"{self.mark}: {super().__str__()}"


class ContentErrors(OperatorError):  # noqa: N818  several, each an error
    """Several mistakes, in file order; ``str`` gives one line each."""

    def __init__(self, errors: Iterable[ContentError]) -> None:
        self.errors = tuple(errors)
        super().__init__(f"{len(self.errors)} errors in content")

    def __str__(self) -> str:
        return "\n".join(str(e) for e in self.errors)


class Problems:
    """Collects mistakes, so that an operator sees them all at once (at most ``most``)."""

    def __init__(self, most: int = 100) -> None:
        self._errors: dict[tuple[Mark, str], ContentError] = {}
        self._most = most

    def add(self, mark: Mark, message: str, hint: str = "") -> None:
        self.take(ContentError(mark, message, hint=hint))

    def take(self, error: ContentError) -> None:
        """Equal mistakes count once: a role used by ten stages is wrong once."""
        if len(self._errors) < self._most:
            self._errors.setdefault((error.mark, error.message), error)

    def extend(self, other: "Problems") -> None:
        for error in other._errors.values():
            self.take(error)

    @property
    def found(self) -> int:
        """How many so far."""
        return len(self._errors)

    def check(self) -> None:
        """Raise ContentErrors if anything was added."""
        if self._errors:
            raise ContentErrors(sorted(self._errors.values(), key=_place))


def _place(error: ContentError) -> tuple[str, int, int, str]:
    return (error.file, error.line, error.column, error.message)


def near(word: str, known: Iterable[str]) -> str:
    """A hint: the nearest known word, else the list of them (at most ten)."""
    names = list(known)
    close = difflib.get_close_matches(word[:100], names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    if not names:
        return ""
    more = ", ..." if len(names) > 10 else ""
    return f"known: {', '.join(sorted(names)[:10])}{more}"
