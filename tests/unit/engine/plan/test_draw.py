from xml.etree import ElementTree

import pytest

from rackwright.engine.content.errors import Problems
from rackwright.engine.content.workflow import WorkflowSpec, parse_workflow
from rackwright.engine.plan.draw import draw
from rackwright.engine.plan.graph import StageGraph, stage_graph

TEXT = """\
groups: {managers: {from: pools.managers}, workers: {from: pools.workers}}
stages:
  boot: {use: a/b, on: all, means_to: [disk]}
  disk: {use: a/b, on: all, needs: [boot], destructive: disk}
  init: {use: a/b, on: managers.one, needs: [disk]}
  join: {use: a/b, on: workers, needs: [disk, boot, {stage: init, wait: all}]}
  tidy: {use: a/b, on: all, needs: [{stage: join, wait: 90%}], always: true}
"""


@pytest.fixture
def drawn() -> tuple[WorkflowSpec, StageGraph]:
    workflow = parse_workflow("w", TEXT, "w.yaml")
    graph = stage_graph(workflow, Problems())
    assert graph is not None
    return workflow, graph


def test_as_text_it_says_where_a_stage_runs_and_what_it_waits_for(
    drawn: tuple[WorkflowSpec, StageGraph],
) -> None:
    assert draw(*drawn, "text").splitlines() == [
        "boot  all           [means to disk]",
        "disk  all           <- boot  [erases disk]",
        "init  managers.one  <- disk",
        "join  workers       <- init (all)",
        "tidy  all           <- join (90%)  [always]",
    ]


def test_mermaid_draws_barriers_dashed_and_destruction_in_red(
    drawn: tuple[WorkflowSpec, StageGraph],
) -> None:
    lines = draw(*drawn, "mermaid").splitlines()
    assert lines[0] == "flowchart LR"
    assert "  s0 --> s1" in lines
    assert "  s2 -. all .-> s3" in lines
    assert lines[-1] == "  class s1 destructive"


def test_the_svg_is_well_formed_and_has_a_box_a_stage(
    drawn: tuple[WorkflowSpec, StageGraph],
) -> None:
    root = ElementTree.fromstring(draw(*drawn, "svg"))
    boxes = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(boxes) == 5
    assert len({(box.get("x"), box.get("y")) for box in boxes}) == 5
