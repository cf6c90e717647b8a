"""Workflows by the command line: by name, and as files that lie anywhere."""

from pathlib import Path

import pytest

from tests.integration.api.controller import Controller

STEPS = """\
groups: {workers: {from: pools.workers}}
stages:
  make: {use: test/steps#make, on: all, params: {dir: /x}, EXTRA}
"""


def written(controller: Controller, extra: str) -> Path:
    return controller.file("mine.yaml", STEPS.replace("EXTRA", extra))


def test_a_file_is_checked_where_it_lies(controller: Controller) -> None:
    done = controller.ok("workflow", "check", written(controller, ""), "-o", "json")
    assert (done.json["name"], done.json["stages"][0]["name"]) == ("mine", "make")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("retires: 3", "retires"),
        ("when: machine.lables.gpu == 'a100'", "lables"),
        ("when: foo.bar == 1", "foo"),
        ("when: params.nope == 1", "nope"),
    ],
)
def test_a_mistake_in_a_file_has_its_place(controller: Controller, extra: str, said: str) -> None:
    path = written(controller, extra)
    done = controller.run("workflow", "check", path)
    assert done.code == 2
    assert f"error: {path}:3:" in done.err
    assert said in done.err


def test_a_file_that_is_not_there_is_told(controller: Controller) -> None:
    done = controller.run("workflow", "check", "nowhere/steps.yaml")
    assert done.code == 2
    assert "cannot read nowhere/steps.yaml" in done.err


def test_a_graph_is_drawn_by_name_and_a_file_is_told_how(controller: Controller) -> None:
    assert controller.ok("workflow", "graph", "steps").out.startswith("make")
    done = controller.run("workflow", "graph", "content/workflows/steps.yaml")
    assert done.code == 2
    assert "its name is steps" in done.err
    assert "--content" in done.err


def test_a_digest_of_too_few_digits_says_how_many_it_takes(controller: Controller) -> None:
    controller.enrol()
    digest = controller.ok("cluster", "plan", controller.spec(), "-o", "json").json["digest"]
    done = controller.run("plan", "show", digest[:6])
    assert done.code == 2
    assert "8 of its digits" in done.err
    assert controller.ok("plan", "show", digest[:8])
