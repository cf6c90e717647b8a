"""What the CLI prints: data on stdout as table, JSON or YAML; commentary on stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from io import StringIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from ruamel.yaml import YAML

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def emit(fmt: Format, data: object, columns: Sequence[str] = ()) -> None:
    """Print ``data``: rows (a sequence of mappings) or one mapping.

    ``columns`` picks and orders the table's columns; JSON and YAML always carry everything.
    """
    match fmt:
        case Format.JSON:
            sys.stdout.write(json.dumps(data, indent=2, sort_keys=False, default=str) + "\n")
        case Format.YAML:
            stream = StringIO()
            yaml = YAML(typ="safe")
            yaml.default_flow_style = False
            yaml.dump(json.loads(json.dumps(data, default=str)), stream)
            sys.stdout.write(stream.getvalue())
        case Format.TABLE:
            if isinstance(data, Mapping):
                print_fields(data, columns)
            elif isinstance(data, Sequence):
                print_rows(data, columns)
            else:
                out.print(escape(str(data)))


def print_rows(rows: Sequence[object], columns: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = list(columns) or _keys(rows)
    for name in names:
        table.add_column(name.upper().replace("_", " "), overflow="fold")
    for row in rows:
        if isinstance(row, Mapping):
            table.add_row(*(escape(cell(row.get(name))) for name in names))
    out.print(table)


def print_fields(data: Mapping[str, object], columns: Sequence[str] = ()) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name in columns or data:
        table.add_row(name.replace("_", " "), escape(cell(data.get(name))))
    out.print(table)


def cell(value: object) -> str:
    """One value as a table cell."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return ", ".join(f"{k}={cell(v)}" for k, v in value.items()) or "-"
        case list() | tuple():
            return ", ".join(cell(item) for item in value) or "-"
        case _:
            return str(value)


def size(size_bytes: int) -> str:
    """Bytes in binary units: ``6.0 GiB``."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError


def duration(seconds: float) -> str:
    """Seconds as ``1h02m``, ``3m05s`` or ``12s``."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    if whole >= 60:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole}s"


def note(message: str) -> None:
    """Commentary, on stderr."""
    err.print(escape(message))


def fail(message: str, hint: str = "") -> None:
    err.print(f"[bold red]error:[/] {escape(message)}")
    if hint:
        err.print(f"[bold]hint:[/] {escape(hint)}")


def _keys(rows: Sequence[object]) -> list[str]:
    first = rows[0] if rows else {}
    return list(first) if isinstance(first, Mapping) else []
