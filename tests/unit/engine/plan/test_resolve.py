"""Checking a workflow on its own: what only a cluster spec can give is told, not refused."""

from pathlib import Path

import pytest

from rackwright.engine.content.errors import ContentErrors
from rackwright.engine.plan.resolve import resolve
from rackwright.engine.plan.spec import parse_spec
from tests.unit.engine.plan.rack import CASES, SPEC, library

SWARM = "workflows/swarm.yaml"


def layer(tmp_path: Path, before: str, after: str) -> Path:
    """The base workflow with one change, as a layer."""
    text = (CASES / "base" / SWARM).read_text()
    assert before in text
    (tmp_path / "workflows").mkdir()
    (tmp_path / SWARM).write_text(text.replace(before, after, 1))
    return tmp_path


def test_a_required_param_may_come_from_the_spec() -> None:
    content = library()
    resolved = resolve(content, content.workflow("swarm"), None)
    wanting = {(one.role.name, name) for one in resolved.stages.values() for name in one.wanting}
    assert wanting == {("orchestrator/swarm", "advertise_network")}


def test_with_the_spec_it_is_required() -> None:
    content = library()
    spec = parse_spec(SPEC.replace("{advertise_network: 10.77.0.0/24}", "{}"), "spec.yaml")
    with pytest.raises(ContentErrors, match="'advertise_network' of role orchestrator/swarm"):
        resolve(content, content.workflow("swarm"), spec)


def test_other_mistakes_in_params_are_refused_all_the_same(tmp_path: Path) -> None:
    before = "use: orchestrator/swarm#init"
    content = library(layer(tmp_path, before, f"{before}\n    params: {{nonsense: 1}}"))
    with pytest.raises(ContentErrors, match="has no param 'nonsense'"):
        resolve(content, content.workflow("swarm"), None)
