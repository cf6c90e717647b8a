"""The bench's own arithmetic: what is counted, what a ratio means, and that nothing is dropped."""

import sys

import pytest

from bench.contest import Contestant, contest, rows
from bench.tables import markdown, surroundings, verdict
from bench.tree import ContestantError, measure

BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"
MARKED = (
    (
        "import subprocess, sys, time\n"
        "print('@begin', flush=True)\n"
        f"subprocess.run([sys.executable, '-c', {BURN.format(seconds=0.3)!r}], check=True)\n"
        "print('@end {{\"tasks\": 3}}', flush=True)\n" + BURN.format(seconds=0.4)
    )
    .replace("{{", "{")
    .replace("}}", "}")
)


def python(name: str, code: str, *, units: int = 1, whole: bool = False) -> Contestant:
    return Contestant(name, units, "v1", lambda: [sys.executable, "-c", code], whole=whole)


def test_a_grandchilds_cpu_counts_and_what_follows_the_end_does_not() -> None:
    found = measure([sys.executable, "-c", MARKED], timeout_s=60)
    assert found.said == {"tasks": 3}
    assert 0.25 <= found.cpu_s < 0.65
    assert found.whole_cpu_s >= found.cpu_s + 0.35
    assert found.peak_rss_mb >= 5


def test_what_a_command_leaves_behind_is_ended_and_counted() -> None:
    left = f"import time\n{BURN.format(seconds=0.3)}\nprint('burnt', flush=True)\ntime.sleep(60)"
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {left!r}], start_new_session=True,"
        " stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
    )
    found = measure([sys.executable, "-c", code], timeout_s=60)
    assert found.whole_cpu_s >= 0.3
    assert found.whole_s < 30


def test_a_command_that_fails_or_hangs_says_why() -> None:
    with pytest.raises(ContestantError, match="exit 3: broken"):
        measure([sys.executable, "-c", "print('broken'); raise SystemExit(3)"], timeout_s=60)
    with pytest.raises(ContestantError, match="no end within 1 s"):
        measure([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=1)


def test_ratios_are_per_unit_and_a_failed_peer_keeps_its_row() -> None:
    def missing() -> list[str]:
        raise ContestantError("no such package")

    burn = BURN.format(seconds=0.4)
    results = contest(
        [
            python("ours", burn, units=10, whole=True),
            python("peer", burn, units=5, whole=True),
            Contestant("absent", 1, "v2", missing),
        ],
        rounds=2,
    )
    ours, peer, absent = rows("group", results, "ours")
    assert ours["cpu_ratio"] == 1.0
    assert 1.5 < peer["cpu_ratio"] < 2.6
    assert peer["rounds"] == 2
    assert absent["failed"] == "no such package"
    table = markdown(surroundings(), surroundings(), [ours, peer, absent], "x")
    assert "**failed**: no such package" in table


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "said"),
    [
        (1.1, 1.15, False, "met"),
        (2.3, 1.15, False, "missed by 100%"),
        (30_000, 60_000, True, "missed by 100%"),
        (60_001, 60_000, True, "met"),
    ],
)
def test_a_budget_is_met_or_missed_by_so_much(
    value: float, limit: float, at_least: bool, said: str
) -> None:
    assert said in verdict({"text": "x", "value": value, "limit": limit, "at_least": at_least})


def test_no_budget_says_nothing() -> None:
    assert verdict(None) == ""
