"""How long a run will still take."""

from dataclasses import replace

from rackwright.engine.plan.model import Need, Plan, Waves
from rackwright.engine.run.eta import Remaining, StageStanding, remaining
from tests.unit.engine.run.plans import plan, stage

NOW = 1000.0
UNTOUCHED = StageStanding(left=10, ended=0, mean_s=0.0, started_at=0.0)
OVER = StageStanding(left=0, ended=10, mean_s=20.0, started_at=900.0)


def chain() -> Plan:
    made = plan([stage("a"), stage("b", "a"), stage("c", Need("b", "all"))], machines=10)
    return replace(made, estimate_s=300.0)


def test_before_the_start_the_plans_estimate_holds() -> None:
    assert remaining(chain(), [UNTOUCHED] * 3, NOW) == Remaining(300.0, ("a", "b", "c"))


def test_a_stage_goes_on_at_its_own_pace() -> None:
    half = StageStanding(left=5, ended=5, mean_s=20.0, started_at=NOW - 60.0)
    assert remaining(chain(), [OVER, OVER, half], NOW) == Remaining(60.0, ("c",))


def test_the_first_of_many_at_once_say_little_of_the_pace() -> None:
    begun = StageStanding(left=99, ended=1, mean_s=2.0, started_at=NOW - 2.0, running=99)
    assert remaining(chain(), [OVER, OVER, begun], NOW).left_s == 2.0


def test_what_is_left_is_added_along_the_chain() -> None:
    half = StageStanding(left=5, ended=5, mean_s=20.0, started_at=NOW - 60.0)
    found = remaining(chain(), [OVER, half, UNTOUCHED], NOW)
    assert found == Remaining(60.0 + 100.0, ("b", "c"))


def test_waves_take_as_many_rounds_as_they_need() -> None:
    braked = stage("a", waves=Waves(canary=1, max_parallel=2))
    made = replace(plan([braked], machines=10), estimate_s=30.0)
    assert remaining(made, [UNTOUCHED], NOW).left_s == 30.0 * (1 + 5)


def test_a_run_that_is_over_takes_no_longer() -> None:
    assert remaining(chain(), [OVER] * 3, NOW) == Remaining(0.0, ())
