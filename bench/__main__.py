"""``make bench``: every measurement beside its peers; JSON, and a table of Markdown.

Usage: python -m bench [--quick] [--rounds N] [--only TOPIC,...] [--write-docs] [--strict].
Writes var/bench/<moment>.json and .md, and prints the table; ``--write-docs`` puts it into
docs/benchmarks.md too, which is what ``make bench`` does. ``--quick``: small sizes, one round. What
cannot be installed or measured is a row that says why; ``--strict`` makes it an error too.
"""

import argparse
import sys
import traceback
from collections.abc import Callable
from typing import Final

from bench import engine_bench, ironic_bench, ssh_bench, workflow_bench
from bench.contest import ROOT, Row
from bench.tables import as_json, markdown, surroundings

TOPICS: Final[dict[str, Callable[..., list[Row]]]] = {
    "engine": engine_bench.measured,
    "ssh": ssh_bench.measured,
    "workflow": workflow_bench.measured,
    "ironic": ironic_bench.measured,
}


def measured(topic: str, *, quick: bool, rounds: int) -> list[Row]:
    """The topic's rows; a topic that breaks is one failed row."""
    try:
        return TOPICS[topic](quick=quick, rounds=rounds)
    except Exception as error:  # noqa: BLE001 - becomes a row
        traceback.print_exc()
        return [{"group": topic, "measure": topic, "failed": f"{type(error).__name__}: {error}"}]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(TOPICS), help=f"of {', '.join(TOPICS)}")
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--strict", action="store_true", help="exit 1 for a failed row")
    given = parser.parse_args()
    if unknown := set(given.only.split(",")) - TOPICS.keys():
        parser.error(f"no topic is called {', '.join(sorted(unknown))}")
    return given


def main() -> None:
    given = arguments()
    before = surroundings()
    rows: list[Row] = []
    for topic in given.only.split(","):
        rows += measured(topic, quick=given.quick, rounds=1 if given.quick else given.rounds)
    after = surroundings()
    folder = ROOT / "var" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    name = before["at"].replace(":", "").replace("+0000", "Z")
    (folder / f"{name}.json").write_text(as_json(before, after, rows))
    table = markdown(before, after, rows, " ".join(["python -m bench", *sys.argv[1:]]))
    (folder / f"{name}.md").write_text(table)
    if given.write_docs:
        (ROOT / "docs" / "benchmarks.md").write_text(table)
    print(table)
    if given.strict and any("failed" in row for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
