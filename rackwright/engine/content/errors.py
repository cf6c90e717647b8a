"""Errors in content and in operators' documents: always with file, line, column and a hint.

Positions are counted from 1. Nothing here holds a secret: messages name keys, never secret values.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rackwright.engine.errors import OperatorError

_LONGEST = 40  # letters of a word that are compared
_MOST_NAMES = 300


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
    """Collects mistakes, so that an operator sees them together. The ``most``-th is the last: it
    raises, so that a hostile document is not searched for hints without end."""

    def __init__(self, most: int = 50) -> None:
        self._errors: dict[tuple[Mark, str], ContentError] = {}
        self._most = most

    def add(self, mark: Mark, message: str, hint: str = "") -> None:
        self.take(ContentError(mark, message, hint=hint))

    def take(self, error: ContentError) -> None:
        """Equal mistakes count once: a role used by ten stages is wrong once."""
        self._errors.setdefault((error.mark, error.message), error)
        if len(self._errors) >= self._most:
            self.check()

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
    """A hint: the nearest known word, else the list of them (at most ten).

    Costs under 5 ms for any input: similar letters first, edit distance for the best three.
    """
    names = sorted(set(known))
    letters = Counter(word[:_LONGEST])
    alike = sorted(
        (-sum((letters & Counter(name[:_LONGEST])).values()) / max(len(name), len(word), 1), name)
        for name in names[:_MOST_NAMES]
    )
    close = [(_distance(word[:_LONGEST], name[:_LONGEST]), name) for _, name in alike[:3]]
    if close and min(close)[0] <= max(1, len(word[:_LONGEST]) * 2 // 5):
        return f"did you mean '{min(close)[1]}'?"
    if not names:
        return ""
    more = ", ..." if len(names) > 10 else ""
    return f"known: {', '.join(names[:10])}{more}"


def _distance(a: str, b: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours; the rest of a word is one."""
    if len(a) >= 3 and b.startswith(a):
        return 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                row[j] = min(row[j], before[j - 2] + 1)
        before = last
    return row[-1]
