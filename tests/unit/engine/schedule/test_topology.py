import pytest

from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.model import Need, Waves
from rackwright.engine.schedule.topology import Barrier, Edge, StageShape, Topology
from tests.unit.engine.run.plans import plan, stage


@pytest.mark.parametrize(
    ("wait", "amount", "participants", "required"),
    [
        ("all", 0, 7, 7),
        ("count", 3, 7, 3),
        ("percent", 25, 7, 2),
        ("percent", 1, 7, 1),
        ("percent", 100, 7, 7),
        ("percent", 50, 0, 0),
    ],
)
def test_required_successes(wait: str, amount: int, participants: int, required: int) -> None:
    edge = Edge(0, 1, wait, amount)  # type: ignore[arg-type]
    assert edge.required(participants) == required


def test_a_plan_becomes_numbers() -> None:
    made = Topology.from_plan(
        plan(
            [
                stage("boot", means_to=("install",), limits=("bmc",)),
                stage("install", "boot", waves=Waves(1, 2, 3), limits=("image_server",)),
                stage("init", Need("install", "percent", 50), group="managers", pick="one"),
            ],
            2,
            groups={"managers": [1]},
            limits={"bmc:1": 1, "image_server": 4},
            machine_limits={0: ("bmc:1", "image_server"), 1: ("image_server",)},
        )
    )
    boot, install, init = made.stages
    assert boot.limits == [(0,), ()]
    assert install.limits == [(1,), (1,)]
    assert init.limits is None
    assert init.participants == b"\x00\x01"
    assert (init.group, made.group_count) == (0, 2)
    assert made.ends == ((1,), (), ())
    assert (install.canary, install.max_parallel, install.halt_at_failures) == (1, 2, 3)
    assert made.edges == (Edge(1, 2, "percent", 50),)


def test_a_need_that_comes_later_is_refused() -> None:
    with pytest.raises(OperatorError, match="does not come before"):
        Topology(1, [StageShape("a", b"\1", needs=(1,)), StageShape("b", b"\1")])


def test_a_means_after_its_end_is_refused() -> None:
    with pytest.raises(OperatorError, match="earlier stage"):
        Topology(1, [StageShape("a", b"\1"), StageShape("b", b"\1", means_to=(0,))])


def test_a_means_to_an_elected_stage_is_refused() -> None:
    stages = [
        StageShape("a", b"\1", means_to=(1,)),
        StageShape("b", b"\1", group=0, pick="one"),
    ]
    with pytest.raises(OperatorError, match="election"):
        Topology(1, stages, group_count=1)


def test_elections_that_wait_for_each_other_are_refused() -> None:
    stages = [
        StageShape("a-rest", b"\1", group=0, pick="rest"),
        StageShape("b-rest", b"\1", group=1, pick="rest"),
        StageShape("a-one", b"\1", group=0, pick="one", barriers=(Barrier(1, "all"),)),
        StageShape("b-one", b"\1", group=1, pick="one", barriers=(Barrier(0, "all"),)),
    ]
    with pytest.raises(OperatorError, match="wait for each other"):
        Topology(1, stages, group_count=2)


def test_a_name_that_the_plan_does_not_have_is_refused() -> None:
    with pytest.raises(OperatorError, match="nowhere"):
        Topology.from_plan(plan([stage("a", "nowhere")]))
