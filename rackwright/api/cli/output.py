"""What the CLI prints: data on stdout as table, JSON or YAML; commentary on stderr.

On a terminal tables fit its width; elsewhere a row is a line, however long, without padding at its
end.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from io import StringIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)

UNFOLDED_COLUMNS = 100_000
# Shown as local time in tables; JSON and YAML carry ISO 8601 in UTC.
MOMENTS = frozenset({"at", "created", "ended", "updated", "enrolled_at", "discovered_at"})
# Shown by their beginning in rows; whoever takes a digest takes its beginning too.
DIGESTS = frozenset({"digest", "sha256"})
DIGEST_SHOWN = 12


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
            sys.stdout.write(_yaml(data))
        case Format.TABLE:
            if isinstance(data, Mapping):
                print_fields(data, columns)
            elif isinstance(data, Sequence):
                print_rows(data, columns)
            else:
                out.print(escape(str(data)))


def emit_one_of_many(fmt: Format, data: object) -> None:
    """One item of a stream: a line of JSON, or a YAML document. Flushed, since somebody waits."""
    if fmt is Format.JSON:
        sys.stdout.write(json.dumps(data, default=str) + "\n")
    else:
        sys.stdout.write("---\n" + _yaml(data))
    sys.stdout.flush()


def print_rows(rows: Sequence[object], columns: Sequence[str]) -> None:
    if not rows:
        note("none")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = list(columns) or _keys(rows)
    for name in names:
        table.add_column(name.upper().replace("_", " "), overflow="fold")
    for row in rows:
        if isinstance(row, Mapping):
            table.add_row(*(escape(_in_row(name, row.get(name))) for name in names))
    _print_table(table)


def print_fields(data: Mapping[str, object], columns: Sequence[str] = ()) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name in columns or data:
        table.add_row(name.replace("_", " "), escape(_field(name, data.get(name))))
    _print_table(table)


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


def local_time(moment: str) -> str:
    """ISO 8601 in UTC as ``2026-03-01 10:30:00`` where we are."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def elapsed(begin: object, end: object) -> str:
    """Between two ISO moments; "-" where one of them is not there."""
    if not isinstance(begin, str) or not isinstance(end, str):
        return "-"
    return duration((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())


def size(size_bytes: int) -> str:
    """Bytes in decimal units, as drives are sold and plans tell them: ``6.4 GB``."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"


def duration(seconds: float) -> str:
    """Seconds as ``1h02m``, ``3m05s``, ``12s`` or ``0.8s``."""
    if 0.05 <= seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    if whole >= 60:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole}s"


def note(message: str) -> None:
    """Commentary, on stderr."""
    _say(escape(message))


def fail(message: str, hint: str = "") -> None:
    _say(f"[bold red]error:[/] {escape(message)}")
    if hint:
        _say(f"[bold]hint:[/] {escape(hint)}")


def _say(markup: str) -> None:
    err.print(markup, soft_wrap=not err.is_terminal)


def _print_table(table: Table) -> None:
    if out.is_terminal:
        out.print(table)
        return
    text = StringIO()
    Console(file=text, width=UNFOLDED_COLUMNS, color_system=None).print(table)
    for line in text.getvalue().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def _in_row(name: str, value: object) -> str:
    shown = _field(name, value)
    return shown[:DIGEST_SHOWN] if name in DIGESTS else shown


def _field(name: str, value: object) -> str:
    if name in MOMENTS and isinstance(value, str) and value:
        return local_time(value)
    if name.endswith("size_bytes") and isinstance(value, int):
        return size(value)
    return cell(value)


def _yaml(data: object) -> str:
    # Here, since reading YAML is the owner's business and few commands write it.
    from ruamel.yaml import YAML

    stream = StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.dump(json.loads(json.dumps(data, default=str)), stream)
    return stream.getvalue()


def _keys(rows: Sequence[object]) -> list[str]:
    first = rows[0] if rows else {}
    return list(first) if isinstance(first, Mapping) else []
