"""Conditions: ``when:`` of a stage, an expression over what a machine is and what was asked for.

The language is a small part of Python's expressions, evaluated by simpleeval with everything else
taken out: names, attributes and indexes of plain values, comparisons, ``in``, ``and``, ``or``,
``not``, literals. No calls, no arithmetic, no comprehensions: cost is bounded by the text's length.
A name that cannot exist is found when content is read; what does not exist on one machine (a label
that it does not carry) is ``null``.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simpleeval import EvalWithCompoundTypes, InvalidExpression

from rackwright.engine.content.errors import ContentError, Mark, Problems, near

Path = tuple[str, ...]
MAX_LENGTH: Final = 1000
_CONSTANTS: Final[Mapping[str, object]] = {"true": True, "false": False, "null": None}
_TAKEN_OUT: Final = (
    *(ast.Assign, ast.AugAssign, ast.Import, ast.BinOp, ast.Call, ast.keyword, ast.IfExp),
    *(ast.Slice, ast.JoinedStr, ast.FormattedValue, ast.ListComp, ast.GeneratorExp, ast.Dict),
    *(ast.Set, ast.DictComp, ast.SetComp),
)
_SHAPES: Final = (
    *(ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.List, ast.Tuple, ast.Compare),
    *(ast.BoolOp, ast.UnaryOp, ast.Load, ast.And, ast.Or, ast.Not, ast.USub, ast.Eq, ast.NotEq),
    *(ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn),
)
_WORDS: Final[Mapping[type, str]] = {
    ast.Call: "a call",
    ast.BinOp: "arithmetic",
    ast.IfExp: "if ... else",
    ast.JoinedStr: "an f-string",
}
HINT: Final = "such as machine.labels.gpu == 'a100' and params.tune"


class UnknownFactError(Exception):
    """A fact that is not known yet. The one exception that a value may raise when it is read."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked expression. ``paths``: what it reads, such as ("machine", "labels", "gpu")."""

    text: str
    mark: Mark
    paths: tuple[Path, ...]
    tree: ast.expr = field(compare=False, repr=False)


def parse_condition(text: str, mark: Mark, what: str, problems: Problems) -> Condition | None:
    """None, and a mistake at its column, for what is no condition."""
    if not text.strip() or len(text) > MAX_LENGTH:
        said = "is empty" if not text.strip() else f"is longer than {MAX_LENGTH} characters"
        problems.add(mark, f"'when' of {what} {said}", HINT)
        return None
    try:
        tree = ast.parse(f"({text}\n)", mode="eval").body
        shapes = list(ast.walk(tree))
    except SyntaxError as error:
        at = _place(mark, text, error.lineno or 1, (error.offset or 2) - 1)
        problems.add(at, f"'when' of {what} is no condition: {error.msg}", HINT)
        return None
    except (ValueError, RecursionError, MemoryError):
        problems.add(mark, f"'when' of {what} cannot be read", HINT)
        return None
    wrong = next((n for n in shapes if not isinstance(n, _SHAPES)), None)
    if wrong is not None:
        word = _WORDS.get(type(wrong), type(wrong).__name__)
        at = _place(mark, text, getattr(wrong, "lineno", 1), getattr(wrong, "col_offset", 1))
        problems.add(
            at,
            f"'when' of {what} holds {word}",
            "names, comparisons, in, and, or, not; nothing is called or computed",
        )
        return None
    return Condition(text, mark, tuple(dict.fromkeys(_paths(tree))), tree)


def check_paths(
    condition: Condition, known: Mapping[str, frozenset[str] | None], what: str, problems: Problems
) -> None:
    """``known``: top-level name -> the names that may follow it; None: any."""
    for path in condition.paths:
        mark = _mark_of(condition, path)
        if path[0] not in known:
            problems.add(mark, f"'when' of {what} reads '{path[0]}'", near(path[0], known))
            continue
        fields = known[path[0]]
        if len(path) == 1:
            problems.add(mark, f"'when' of {what} reads all of '{path[0]}'", f"{path[0]}.NAME")
        elif fields is not None and path[1] not in fields:
            problems.add(
                mark, f"'when' of {what}: {path[0]} has no '{path[1]}'", near(path[1], fields)
            )


def is_met(condition: Condition, names: Mapping[str, object], what: str) -> bool:
    """``names``: plain values by top-level name. Raises UnknownFactError as soon as a value that is
    read does, and ContentError where the values cannot be compared."""
    try:
        return bool(_Evaluator(names).eval(condition.text, condition.tree))
    except (TypeError, ValueError, KeyError, IndexError, InvalidExpression) as error:
        raise ContentError(
            condition.mark,
            f"'when' cannot be decided for {what}: {str(error).replace('NoneType', 'null')}",
            hint="what a machine lacks is null: test it first, as in facts.x != null and ...",
        ) from error


def value_at(names: Mapping[str, object], path: Path) -> object:
    """The plain value; None where the machine has none. Raises UnknownFactError."""
    value: object = names
    for part in path:
        value = _child(value, part)
    return value


class _Evaluator(EvalWithCompoundTypes):  # type: ignore[misc]  # the library is untyped
    """simpleeval with a closed list of shapes; attributes and indexes read plain values alone."""

    def __init__(self, names: Mapping[str, object]) -> None:
        super().__init__(functions={}, names={**_CONSTANTS, **names})
        for shape in _TAKEN_OUT:
            self.nodes.pop(shape, None)
        self.nodes[ast.Attribute] = self._attribute
        self.nodes[ast.Subscript] = self._subscript

    def _attribute(self, node: ast.Attribute) -> object:
        return _child(self._eval(node.value), node.attr)

    def _subscript(self, node: ast.Subscript) -> object:
        return _child(self._eval(node.value), self._eval(node.slice))


def _child(value: object, key: Any) -> object:
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list | tuple) and isinstance(key, int) and not isinstance(key, bool):
        return value[key] if -len(value) <= key < len(value) else None
    return None


def _paths(node: ast.expr) -> list[Path]:
    """Longest chains from a name: constants after it, down to the first computed index."""
    found: list[Path] = []
    path = _chain(node)
    if path is not None:
        return [] if path[0] in _CONSTANTS else [path]
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            found += _paths(child)
    return found


def _chain(node: ast.expr) -> Path | None:
    match node:
        case ast.Name(id=name):
            return (name,)
        case ast.Attribute(value=value, attr=attr):
            before = _chain(value)
            return None if before is None else (*before, attr)
        case ast.Subscript(value=value, slice=ast.Constant(value=str() as key)):
            before = _chain(value)
            return None if before is None else (*before, key)
        case _:
            return None


def _mark_of(condition: Condition, path: Path) -> Mark:
    for node in ast.walk(condition.tree):
        if isinstance(node, ast.expr) and _chain(node) == path:
            return _place(condition.mark, condition.text, node.lineno, node.col_offset)
    return condition.mark


def _place(mark: Mark, text: str, line: int, column: int) -> Mark:
    """Of a place in the parenthesised text. A folded text keeps the place of its beginning."""
    if "\n" in text.strip() or line > 1:
        return mark
    return Mark(mark.file, mark.line, mark.column + max(0, column - 1))
