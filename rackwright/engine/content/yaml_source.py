"""YAML text -> a tree of plain values in which every key and value knows its line and column.

The parser of ruamel.yaml gives events; the tree is built here, so that a hostile document is
refused while it is read: anchors, aliases, tags, duplicate keys, nesting, node count and size are
bounded before anything is expanded. Scalars follow the core schema of YAML 1.2 (section 10.3):
``on``, ``yes`` and dates are strings. Keys are always strings.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from rackwright.engine.content.errors import ContentError, Mark

Scalar = str | int | float | bool | None

_NO_KEYS: Mapping[str, Mark] = {}
_INT = re.compile(r"[-+]?[0-9]{1,18}\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,15}\Z|0o[0-7]{1,20}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONSTANTS: Mapping[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a document may be at most. The defaults keep refusal under a second."""

    size_bytes: int = 256 << 10  # a megabyte of plain words takes the parser two seconds
    depth: int = 25
    nodes: int = 20_000
    silent_chars: int = 128 << 10  # read without one node coming out: one scalar, or comments


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place. A mapping also knows where its keys stand."""

    mark: Mark
    value: "Scalar | tuple[Node, ...] | Mapping[str, Node]"
    keys: Mapping[str, Mark] = field(default_factory=dict)
    quote: int = 0  # columns from the mark to the first character of a quoted text

    @property
    def text_mark(self) -> Mark:
        """Where a scalar's text begins, behind its quote."""
        return Mark(self.mark.file, self.mark.line, self.mark.column + self.quote)

    @property
    def mapping(self) -> "Mapping[str, Node] | None":
        return self.value if isinstance(self.value, Mapping) else None

    @property
    def items(self) -> "tuple[Node, ...] | None":
        return self.value if isinstance(self.value, tuple) else None

    @property
    def kind(self) -> str:
        """The word for error messages."""
        match self.value:
            case None:
                return "nothing"
            case bool():
                return "a boolean"
            case int() | float():
                return "a number"
            case str():
                return "a string"
            case tuple():
                return "a list"
            case _:
                return "a mapping"


def parse(text: str | bytes, file: str, bounds: Bounds | None = None) -> Node:
    """One document as a tree. Raises ContentError, also for an empty document."""
    bounds = bounds or Bounds()
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > bounds.size_bytes:
        raise ContentError(
            Mark(file, 1, 1),
            f"the file has {size} bytes; at most {bounds.size_bytes} are read",
            hint="split it",
        )
    source = _decode(text, file) if isinstance(text, bytes) else text
    feed = _Feed(source.removeprefix("\ufeff"), file, bounds.silent_chars)
    builder = _Builder(file, bounds)
    try:
        for event in YAML(typ="safe", pure=True).parse(feed):
            feed.heard(event.start_mark.line)
            builder.take(event)
    except MarkedYAMLError as error:
        raise _syntax_error(error, file) from error
    except ReaderError as error:
        mark = _mark_at(source, int(error.position), file)
        raise ContentError(
            mark, "a control character stands here", hint="remove it, or escape it in double quotes"
        ) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise ContentError(Mark(file, 1, 1), "this is not YAML that we read") from error
    return builder.document()


def plain(node: Node) -> Any:
    """The tree as dicts, lists and scalars, without places."""
    if isinstance(node.value, tuple):
        return [plain(item) for item in node.value]
    if isinstance(node.value, Mapping):
        return {key: plain(item) for key, item in node.value.items()}
    return node.value


def locate(node: Node, path: Sequence[str | int]) -> Mark:
    """Where the value at ``path`` stands; the nearest enclosing value if it is not there."""
    mark = node.mark
    for step in path:
        if node.mapping is not None and step in node.mapping:
            mark = node.keys.get(str(step), node.mark)
            node = node.mapping[str(step)]
        elif node.items is not None and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            mark = node.mark
        else:
            return mark
    return node.mark if node.mapping is None else mark


def overlay(base: Node | None, over: Node | None) -> Node | None:
    """``over`` laid on ``base``: mappings merge, everything else is replaced; places are kept."""
    if base is None or over is None:
        return over if base is None else base
    if base.mapping is None or over.mapping is None:
        return over
    merged = dict(base.mapping)
    for key, node in over.mapping.items():
        merged[key] = overlay(merged.get(key), node) or node
    return Node(over.mark, merged, {**base.keys, **over.keys})


class _Feed:
    """Gives the parser its text in pieces, and stops it when it reads on without a result."""

    def __init__(self, text: str, file: str, silent_chars: int) -> None:
        self._text = text
        self._file = file
        self._at = 0
        self._heard_at = 0
        self._line = 0
        self._silent_chars = silent_chars

    def read(self, size: int = 4096) -> str:
        if self._at - self._heard_at > self._silent_chars:
            raise ContentError(
                Mark(self._file, self._line + 1, 1),
                f"a value or comment longer than {self._silent_chars} characters follows",
                hint="keep large data out of YAML",
            )
        piece = self._text[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def heard(self, line: int) -> None:
        self._heard_at = self._at
        self._line = line


@dataclass(slots=True)
class _Open:
    """A collection being read; ``key`` is the mapping key whose value comes next."""

    mark: Mark
    is_mapping: bool
    children: list[Node] = field(default_factory=list)
    named: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Mark] = field(default_factory=dict)
    key: str | None = None


class _Builder:
    """Takes parser events; refuses as early as it can."""

    def __init__(self, file: str, bounds: Bounds) -> None:
        self._file = file
        self._bounds = bounds
        self._stack: list[_Open] = []
        self._root: Node | None = None
        self._nodes = 0

    def document(self) -> Node:
        if self._root is None:
            raise ContentError(Mark(self._file, 1, 1), "the file is empty")
        return self._root

    def take(self, event: Any) -> None:
        mark = Mark(self._file, event.start_mark.line + 1, event.start_mark.column + 1)
        match type(event).__name__:
            case "ScalarEvent":
                self._refuse_features(event, mark)
                self._scalar(event, mark)
            case "MappingStartEvent" | "SequenceStartEvent":
                self._refuse_features(event, mark)
                self._start(mark, is_mapping=type(event).__name__ == "MappingStartEvent")
            case "MappingEndEvent" | "SequenceEndEvent":
                self._end()
            case "AliasEvent":
                raise _anchor_error(mark)
            case "DocumentStartEvent":
                self._document_start(event, mark)

    def _document_start(self, event: Any, mark: Mark) -> None:
        if self._root is not None:
            raise ContentError(mark, "a second document starts here", hint="one file, one document")
        if event.tags or (event.version is not None and tuple(event.version) != (1, 2)):
            raise ContentError(mark, "YAML directives are not read", hint="remove the % line")

    def _refuse_features(self, event: Any, mark: Mark) -> None:
        if event.anchor is not None:
            raise _anchor_error(mark)
        if event.tag is not None:
            raise ContentError(
                mark, "YAML tags are not read", hint="remove the '!...'; quote text that must stay"
            )
        self._nodes += 1
        if self._nodes > self._bounds.nodes:
            raise ContentError(mark, f"more than {self._bounds.nodes} keys and values")

    def _start(self, mark: Mark, *, is_mapping: bool) -> None:
        if len(self._stack) >= self._bounds.depth:
            raise ContentError(mark, f"nested deeper than {self._bounds.depth} levels")
        top = self._stack[-1] if self._stack else None
        if top is not None and top.is_mapping and top.key is None:
            raise ContentError(mark, "a key must be plain text, not a list or mapping")
        self._stack.append(_Open(mark, is_mapping))

    def _end(self) -> None:
        done = self._stack.pop()
        if done.is_mapping:
            self._put(Node(done.mark, done.named, done.keys))
        else:
            self._put(Node(done.mark, tuple(done.children), _NO_KEYS))

    def _scalar(self, event: Any, mark: Mark) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and top.is_mapping and top.key is None:
            key = _joined(event.value, mark)
            if key in top.keys:
                raise ContentError(
                    mark,
                    f"key '{key[:60]}' stands here a second time",
                    hint=f"it was first set on line {top.keys[key].line}",
                )
            top.key = key
            top.keys[key] = mark
            return
        value = _joined(event.value, mark) if event.style else _resolve(event.value)
        self._put(Node(mark, value, _NO_KEYS, 1 if event.style in ("'", '"') else 0))

    def _put(self, node: Node) -> None:
        if not self._stack:
            self._root = node
            return
        top = self._stack[-1]
        if not top.is_mapping:
            top.children.append(node)
        elif top.key is not None:
            top.named[top.key] = node
            top.key = None


def _resolve(text: str) -> Scalar:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.match(text):
        return int(text)
    if _HEX.match(text):
        return int(text, 0)
    if len(text) <= 40 and _FLOAT.match(text):
        return float(text)
    return text


def _joined(text: str, mark: Mark) -> str:
    r"""Pairs of ``\ud83d\ude00`` escapes, as JSON writes them, become one character."""
    if not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise ContentError(mark, "half of a surrogate pair stands here") from error


def _anchor_error(mark: Mark) -> ContentError:
    return ContentError(
        mark, "anchors and aliases are not read", hint="write the value out where it is used"
    )


def _syntax_error(error: MarkedYAMLError, file: str) -> ContentError:
    mark = error.problem_mark or error.context_mark
    place = Mark(file, mark.line + 1, mark.column + 1) if mark else Mark(file, 1, 1)
    problem = " ".join(str(error.problem or error.context or "syntax error").split())[:200]
    context = " ".join(str(error.context or "").split())[:200]
    return ContentError(place, f"not valid YAML: {problem}", hint=context)


def _mark_at(text: str, position: int, file: str) -> Mark:
    before = text[:position]
    return Mark(file, before.count("\n") + 1, position - before.rfind("\n"))


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        lines = data[: error.start].split(b"\n")
        raise ContentError(
            Mark(file, len(lines), len(lines[-1]) + 1), "not UTF-8", hint="save the file as UTF-8"
        ) from error


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    children: Sequence[Node] = node.items or ()
    if node.mapping is not None:
        children = tuple(node.mapping.values())
    for child in children:
        yield from walk(child)
