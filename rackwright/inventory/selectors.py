"""Label selectors, in kubectl's language: ``a=b,c!=d,e in (x,y),f notin (z),g,!h``.

As in Kubernetes, ``!=`` and ``notin`` also match what lacks the label. Besides labels a selector
may ask for the pseudo-labels name, class, rack, site, state and pool. The empty selector matches
all. Grammar:
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Table, and_, exists, not_, select, true

from rackwright.inventory.errors import SelectorError
from rackwright.inventory.tables import CLUSTER_MEMBER, LABEL, MACHINE

PSEUDO_LABELS = ("name", "class", "rack", "site", "state", "pool")
LABEL_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._:/+-]{0,61}[A-Za-z0-9])?)?")
_TOKEN = re.compile(r"\s*(?:(!=|==|=|!|,|\(|\))|([A-Za-z0-9][A-Za-z0-9._:/+-]*))")
_COLUMNS = {
    "name": MACHINE.c.name,
    "class": MACHINE.c.machine_class,
    "rack": MACHINE.c.rack,
    "site": MACHINE.c.site,
    "state": MACHINE.c.state,
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term. ``in`` holds one value for ``a=b``; ``exists`` and ``absent`` hold none."""

    key: str
    operator: Literal["in", "notin", "exists", "absent"]
    values: tuple[str, ...] = ()


Selector = tuple[Requirement, ...]


def parse(text: str) -> Selector:
    """Raises SelectorError with the column of what it did not understand."""
    return _Parser(text).selector()


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether labels (pseudo-labels among them) satisfy every term."""
    return all(_holds(term, labels.get(term.key)) for term in selector)


def clause(selector: Selector) -> ColumnElement[bool]:
    """The same, as a condition on the machine table."""
    return and_(true(), *(_term(requirement) for requirement in selector))


def _holds(term: Requirement, value: str | None) -> bool:
    match term.operator:
        case "exists":
            return value is not None
        case "absent":
            return value is None
        case "in":
            return value in term.values
        case "notin":
            return value not in term.values


def _term(term: Requirement) -> ColumnElement[bool]:
    negative = term.operator in ("notin", "absent")
    values = term.values if term.operator in ("in", "notin") else None
    if term.key == "pool":
        found = _exists_row(CLUSTER_MEMBER, CLUSTER_MEMBER.c.pool, values)
    elif term.key in _COLUMNS:
        column = _COLUMNS[term.key]
        found = and_(column.is_not(None), column != "")
        if values is not None:
            found = and_(found, column.in_(values))
    else:
        found = _exists_row(LABEL, LABEL.c.value, values, LABEL.c.key == term.key)
    return not_(found) if negative else found


def _exists_row(
    owner: Table,
    column: ColumnElement[str],
    values: Collection[str] | None,
    *conditions: ColumnElement[bool],
) -> ColumnElement[bool]:
    query = select(1).where(owner.c.machine_id == MACHINE.c.id, *conditions)
    if values is not None:
        query = query.where(column.in_(values))
    return exists(query.correlate(MACHINE))


class _Parser:
    """Recursive descent over tokens of (text, column, is_word)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._at = 0

    def _split(self) -> list[tuple[str, int, bool]]:
        found: list[tuple[str, int, bool]] = []
        position = 0
        end = len(self._text.rstrip())
        while position < end:
            match = _TOKEN.match(self._text, position)
            if match is None:
                skipped = len(self._text[position:]) - len(self._text[position:].lstrip())
                column = position + skipped
                raise self._error(
                    f"unexpected {self._text[column]!r}",
                    column + 1,
                    "write terms like a=b, a!=b, a in (b,c), a, !a, joined by commas",
                )
            group = 1 if match.group(1) else 2
            found.append((match.group(group), match.start(group) + 1, group == 2))
            position = match.end()
        return found

    def selector(self) -> Selector:
        if not self._tokens:
            return ()
        terms = [self._requirement()]
        while self._at < len(self._tokens):
            self._expect(",", "between two terms")
            terms.append(self._requirement())
        return tuple(terms)

    def _requirement(self) -> Requirement:
        if self._take("!"):
            return Requirement(self._key(), "absent")
        key = self._key()
        if self._take("=") or self._take("=="):
            return Requirement(key, "in", (self._value(),))
        if self._take("!="):
            return Requirement(key, "notin", (self._value(),))
        if self._take("in"):
            return Requirement(key, "in", self._values())
        if self._take("notin"):
            return Requirement(key, "notin", self._values())
        if self._at < len(self._tokens) and self._tokens[self._at][2]:
            word, column, _ = self._tokens[self._at]
            near = difflib.get_close_matches(word, ["in", "notin"], 1, 0.5)
            raise self._error(
                f"unexpected {word!r} after {key!r}",
                column,
                f"did you mean {near[0]!r}?" if near else "join terms by commas",
            )
        return Requirement(key, "exists")

    def _values(self) -> tuple[str, ...]:
        self._expect("(", "before the list of values")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._expect(")", "after the list of values")
        return tuple(values)

    def _key(self) -> str:
        word = self._word("a label")
        if not LABEL_KEY.fullmatch(word):
            raise self._error(f"{word!r} is not a label", self._tokens[self._at - 1][1])
        return word

    def _value(self) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] in (",", ")"):
            return ""  # a= : the empty value, as kubectl has it
        return self._word("a value")

    def _word(self, what: str) -> str:
        if self._at >= len(self._tokens):
            raise self._error(f"{what} is missing", len(self._text) + 1)
        word, column, is_word = self._tokens[self._at]
        if not is_word:
            raise self._error(f"{what} is missing before {word!r}", column)
        self._at += 1
        return word

    def _take(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at][0] == token:
            self._at += 1
            return True
        return False

    def _expect(self, token: str, where: str) -> None:
        if self._take(token):
            return
        column = self._tokens[self._at][1] if self._at < len(self._tokens) else len(self._text) + 1
        raise self._error(f"{token!r} is missing {where}", column)

    def _error(self, message: str, column: int, hint: str = "") -> SelectorError:
        return SelectorError(message, selector=self._text, column=column, hint=hint)
