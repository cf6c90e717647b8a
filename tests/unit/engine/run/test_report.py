import pytest

from rackwright.engine.executors.simulated import Faults
from rackwright.engine.run.memory_journal import MemoryJournal
from rackwright.engine.run.report import report
from rackwright.engine.schedule.events import RunStatus
from tests.unit.engine.run.plans import swarm
from tests.unit.engine.run.rigs import Rig


def test_a_clean_run_counts_its_changes_and_its_time() -> None:
    rig = Rig(swarm(4))
    rig.run()
    made = report(rig.plan, rig.journal.facts)
    assert made.status == RunStatus.SUCCEEDED
    assert made.changed == 4 * 3 + 1 + 3 + 1
    assert made.wall_s == rig.clock.monotonic()
    install = made.stages[1]
    assert (install.machines, install.changed, install.attempts) == (4, 4, 8)
    assert 0 < install.median_s <= install.p99_s <= install.longest_s <= install.total_s
    assert made.failures == ()


def test_a_second_run_changes_nothing() -> None:
    rig = Rig(swarm(4))
    rig.run()
    again = Rig(rig.plan, world=rig.world)
    again.run()
    assert report(again.plan, again.journal.facts).changed == 0


def test_a_failure_says_where_why_and_what_the_console_said() -> None:
    rig = Rig(swarm(4), Faults(broken=frozenset({("runtime", "m-2")})))
    rig.run()
    made = report(rig.plan, rig.journal.facts)
    assert made.status == RunStatus.DEGRADED
    failure = made.failures[0]
    assert (failure.machine_name, failure.stage, failure.attempt) == ("n2", "runtime", 3)
    assert failure.error == "simulated: failed"
    assert failure.console == "simulated console"
    assert made.blocked == ("runtime did not succeed on this machine",)


def test_an_unfinished_run_is_running() -> None:
    rig = Rig(swarm(4))
    rig.run()
    made = report(rig.plan, rig.journal.facts[:5])
    assert made.status == RunStatus.RUNNING
    assert sum(stage.under_way for stage in made.stages) > 0


def test_nothing_happened_yet() -> None:
    made = report(swarm(2), [])
    assert (made.status, made.wall_s, made.changed) == (RunStatus.RUNNING, 0.0, 0)


def test_the_critical_path_adds_up_to_the_run() -> None:
    rig = Rig(swarm(4))
    rig.run()
    made = report(rig.plan, iter(rig.journal.facts))
    assert [step.stage for step in made.critical_path][-1] == "proof"
    assert sum(step.added_s for step in made.critical_path) == pytest.approx(made.wall_s)


def test_failures_are_counted_by_cause() -> None:
    broken = frozenset({("runtime", "m-1"), ("runtime", "m-2")})
    rig = Rig(swarm(4), Faults(broken=broken))
    rig.run()
    assert report(rig.plan, rig.journal.facts).causes == (("runtime", "simulated: failed", 2),)


def test_from_a_snapshot_it_is_the_same() -> None:
    rig = Rig(swarm(4), Faults(fail=0.2, unknown=0.1), seed=3)
    stood: list[tuple[bytes, int]] = []
    rig.journal = MemoryJournal(observe=lambda _: stood.append(rig.journal.standing()))
    rig.run()
    facts = rig.journal.facts
    whole = report(rig.plan, facts)
    assert len({covered for _, covered in stood}) > 5
    assert all(report(rig.plan, facts, *standing) == whole for standing in stood)
