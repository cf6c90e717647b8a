"""Machines that leave a cluster, and are given back."""

import pytest

from tests.integration.api.controller import Controller, Done


@pytest.fixture(autouse=True)
def _cluster_of_two(controller: Controller) -> None:
    controller.enrol()
    controller.ok("cluster", "apply", controller.spec(), "--yes")
    assert members(controller) == {"a", "b"}


def members(controller: Controller) -> set[str]:
    return set(controller.ok("cluster", "show", "c", "-o", "json").json["members"])


def shrink(controller: Controller, *args: str) -> Done:
    return controller.run("cluster", "shrink", "c", *args, "--yes", "-o", "json")


def state_of(controller: Controller, name: str) -> str:
    return str(controller.ok("machine", "show", name, "-o", "json").json["state"])


def test_a_member_leaves_and_is_given_back(controller: Controller) -> None:
    refused = controller.run("machine", "release", "a", "--yes")
    assert refused.code == 2
    assert "cluster shrink c a" in refused.err
    assert shrink(controller, "a").json["status"] == "succeeded"
    assert {path.name for path in controller.world.glob("*.gone")} == {"a.gone"}
    assert (controller.world / "b.told").exists()
    assert (members(controller), state_of(controller, "a")) == ({"b"}, "active")
    shown = controller.ok("cluster", "show", "c", "-o", "json").json
    assert shown["workflow"] == "steps"
    controller.ok("machine", "release", "a", "--yes")
    assert state_of(controller, "a") == "available"
    controller.ok("cluster", "apply", controller.spec(), "--yes")
    assert members(controller) == {"a", "b"}


def test_who_could_not_leave_is_a_member_still(controller: Controller) -> None:
    controller.fail("a")
    done = shrink(controller, "a")
    assert (done.code, done.json["status"]) == (3, "degraded")
    assert members(controller) == {"a", "b"}


def test_the_dead_are_forgotten_and_not_asked(controller: Controller) -> None:
    assert shrink(controller, "--dead", "a").json["status"] == "succeeded"
    assert not list(controller.world.glob("*.gone"))
    assert members(controller) == {"b"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("a", "b"), "no machine of workers would stay"),
        (("c",), "machine c is not a member of cluster c"),
        (("a", "--dead", "a"), "both to leave by itself and to be dead"),
        ((), "no machine is named"),
    ],
)
def test_what_makes_no_sense_is_refused(
    controller: Controller, args: tuple[str, ...], said: str
) -> None:
    done = shrink(controller, *args)
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert members(controller) == {"a", "b"}


def test_the_dead_are_not_dropped_where_no_role_forgets_them(controller: Controller) -> None:
    role = controller.content / "roles" / "test" / "steps" / "role.yaml"
    role.write_text(role.read_text().replace(", leaving: {type: array, default: []}", ""))
    done = shrink(controller, "--dead", "a")
    assert done.code == 2
    assert "takes the param leaving" in " ".join(done.err.split())
    assert members(controller) == {"a", "b"}


def test_a_cluster_without_a_way_out_says_so(controller: Controller) -> None:
    (controller.content / "workflows" / "steps-leave.yaml").unlink()
    done = shrink(controller, "a")
    assert done.code == 2
    assert "workflows/steps-leave.yaml" in done.err
