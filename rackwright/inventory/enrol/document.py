"""Reads an enrolment file into plain values that remember where they stood.

Scalars stay texts ("0123" keeps its zero); the input models give them types. Hostile YAML is
bounded: size, depth and count of nodes, no tags, no cycles.
"""

import csv
import difflib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rackwright.inventory.errors import EnrolError, Problem

SIZE_MAX_BYTES = 16 * 1024 * 1024
DEPTH_MAX = 12
ALIASED_MAX = 20_000  # nodes reached again through aliases: a bomb reaches billions
BRACKETS_MAX = 64
_BRACKET = re.compile(r"[\[\]{}]")
Path = tuple[str | int, ...]
_CORE_TAG = "tag:yaml.org,2002:"
_CORE_TAGS = frozenset(
    _CORE_TAG + name
    for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge")
)


@dataclass(frozen=True, slots=True)
class Located:
    """``value`` is dicts, lists, texts and None; ``positions`` gives line and column by path."""

    file: str
    value: Any
    positions: Mapping[Path, tuple[int, int]]

    def problem(self, path: Path, message: str, hint: str = "") -> Problem:
        """At the place of ``path``, or of the nearest thing around it that has one."""
        while path and path not in self.positions:
            path = path[:-1]
        line, column = self.positions.get(path, (1, 1))
        return Problem(self.file, line, column, message, hint)


def read_yaml(text: str, file: str) -> Located:
    """Raises EnrolError."""
    _bound_size(text, file)
    _bound_brackets(text, file)
    try:
        node = YAML(typ="safe", pure=True).compose(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = f"not YAML: {error.problem or error.context}"
        raise EnrolError([Problem(file, line, column, message)]) from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise EnrolError([Problem(file, 1, 1, "not YAML that can be read")]) from error
    if node is None:
        return Located(file, {}, {(): (1, 1)})
    positions: dict[Path, tuple[int, int]] = {}
    value = _Plain(file, positions).convert(node, (), 0)
    return Located(file, value, positions)


class _Plain:
    def __init__(self, file: str, positions: dict[Path, tuple[int, int]]) -> None:
        self._file = file
        self._positions = positions
        self._seen: set[int] = set()
        self._aliased = 0

    def convert(self, node: Node, path: Path, depth: int) -> Any:
        self._aliased += id(node) in self._seen
        self._seen.add(id(node))
        if depth > DEPTH_MAX or self._aliased > ALIASED_MAX:
            raise self._error(node, "the document is nested too deep, or repeats too much")
        if str(node.tag) not in _CORE_TAGS:
            raise self._error(node, f"the tag {str(node.tag)[:60]} is not allowed")
        self._positions.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, ScalarNode):
            return None if node.tag == _CORE_TAG + "null" else str(node.value)
        if isinstance(node, SequenceNode):
            return [
                self.convert(item, (*path, at), depth + 1) for at, item in enumerate(node.value)
            ]
        if isinstance(node, MappingNode):
            return dict(self._pairs(node, path, depth))
        raise self._error(node, "this is neither a value, a list nor a mapping")

    def _pairs(self, node: MappingNode, path: Path, depth: int) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise self._error(key, "a key must be a plain word")
            name = str(key.value)
            if name in seen:
                raise self._error(key, f"the key {name!r} stands here twice")
            seen.add(name)
            self._positions[(*path, name)] = (key.start_mark.line + 1, key.start_mark.column + 1)
            yield name, self.convert(value, (*path, name), depth + 1)

    def _error(self, node: Node, message: str) -> EnrolError:
        mark = node.start_mark
        return EnrolError([Problem(self._file, mark.line + 1, mark.column + 1, message)])


# column -> path within a machine; lists are split at ";"
_COLUMNS: dict[str, Path] = {
    **{
        name: (name,)
        for name in (
            "name", "site", "rack", "class", "segment", "address", "cluster_address", "uuid",
            "serial", "protected", "console", "firmware", "boot_method", "boot_deadline_s",
            "leave_netboot", "bios_disk",
        )
    },
    **{
        f"bmc_{name}": ("bmc", name)
        for name in ("protocol", "address", "username", "password", "system", "cipher_suite")
    },
    **{f"ssh_{name}": ("ssh", name) for name in ("address", "port", "user", "host_key")},
}  # fmt: skip
_LISTS = ("labels", "macs", "pxe_mac")


def read_csv(text: str, file: str) -> Located:
    """A machine a row, columns by the header's names. The column of a problem counts fields."""
    _bound_size(text, file)
    reader = csv.reader(io.StringIO(text), strict=True)
    positions: dict[Path, tuple[int, int]] = {(): (1, 1), ("machines",): (1, 1)}
    machines: list[dict[str, Any]] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, file)
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                message = f"{len(row)} fields, but the header has {len(header)}"
                raise EnrolError([Problem(file, reader.line_num, 1, message)])
            path: Path = ("machines", len(machines))
            positions[path] = (reader.line_num, 1)
            machines.append(_row(header, row, path, reader.line_num, positions, file))
    except csv.Error as error:
        message = f"not CSV: {error}"
        raise EnrolError([Problem(file, reader.line_num, 1, message)]) from error
    return Located(file, {"machines": machines}, positions)


def _row(
    header: list[str],
    row: list[str],
    path: Path,
    line: int,
    positions: dict[Path, tuple[int, int]],
    file: str,
) -> dict[str, Any]:
    machine: dict[str, Any] = {}
    pxe = ""
    for at, (column, cell) in enumerate(zip(header, (cell.strip() for cell in row), strict=True)):
        if not cell:
            continue
        where = _COLUMNS.get(column, (column if column == "labels" else "nics",))
        positions[(*path, *where)] = (line, at + 1)
        if column == "labels":
            machine["labels"] = dict(_label(item, file, line, at + 1) for item in cell.split(";"))
        elif column == "macs":
            nics = [{"mac": mac.strip()} for mac in cell.split(";")]
            machine["nics"] = [*machine.get("nics", []), *nics]
        elif column == "pxe_mac":
            pxe = cell
        elif len(where) == 1:
            machine[str(where[0])] = cell
        else:
            machine.setdefault(str(where[0]), {})[str(where[1])] = cell
    if pxe:
        nics = [nic for nic in machine.get("nics", []) if nic["mac"].lower() != pxe.lower()]
        machine["nics"] = [{"mac": pxe, "pxe": "true"}, *nics]
    return machine


def _label(item: str, file: str, line: int, column: int) -> tuple[str, str]:
    key, equals, value = item.strip().partition("=")
    if not equals:
        message = f"{item.strip()!r} is not a label"
        raise EnrolError([Problem(file, line, column, message, "write labels as a=b;c=d")])
    return key.strip(), value.strip()


def _check_header(header: list[str], file: str) -> None:
    known = [*_COLUMNS, *_LISTS]
    if "name" not in header:
        # What stands there may be a machine with its password: it is not repeated.
        hint = "the first line names the columns: name,site,rack,..."
        raise EnrolError([Problem(file, 1, 1, "there is no column 'name'", hint)])
    problems = [
        Problem(file, 1, at + 1, f"unknown column {name!r}", unknown_hint(name, known))
        for at, name in enumerate(header)
        if name not in known
    ]
    problems += [
        Problem(file, 1, at + 1, f"the column {name!r} stands here twice")
        for at, name in enumerate(header)
        if name in header[:at]
    ]
    if problems:
        raise EnrolError(problems)


_DISK_WORDS = ("disk", "drive", "storage", "volume", "wwn", "controller")


def unknown_hint(name: str, known: list[str]) -> str:
    """What to do about a key that does not exist."""
    if any(word in name.lower() for word in _DISK_WORDS):
        return "disk facts come from a ramdisk, never from an operator: run a discovery"
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else "known are " + ", ".join(sorted(known))


def _bound_size(text: str, file: str) -> None:
    if len(text) > SIZE_MAX_BYTES:
        raise EnrolError([Problem(file, 1, 1, f"larger than {SIZE_MAX_BYTES} bytes")])
    if "\0" in text:
        raise EnrolError([Problem(file, 1, 1, "this is no text file")])


def _bound_brackets(text: str, file: str) -> None:
    """Before the parser recurses; brackets inside quotes count too, which does no harm."""
    depth = 0
    for found in _BRACKET.finditer(text):
        depth += 1 if found.group() in "[{" else -1
        if depth > BRACKETS_MAX:
            line = text.count("\n", 0, found.start()) + 1
            raise EnrolError([Problem(file, line, 1, "the document is nested too deep")])
