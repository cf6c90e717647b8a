"""Every case of tests/cases/content/bad is laid over the base content and refused, in full text."""

from pathlib import Path

import pytest

from rackwright.engine.errors import EngineError
from tests.unit.engine.plan.rack import CASES, SPEC, library, machine, plan_of

BAD = sorted(path for path in (CASES / "bad").iterdir() if path.is_dir())


def refusal(case: Path) -> str:
    spec = case / "spec.yaml"
    with pytest.raises(EngineError) as caught:
        plan_of(
            [machine(i) for i in range(1, 5)],
            spec.read_text() if spec.exists() else SPEC,
            library(case),
        )
    text = str(caught.value).replace(f"{case}/", "").replace(f"{CASES / 'base'}/", "")
    return text + "\n"


@pytest.mark.parametrize("case", BAD, ids=lambda path: path.name)
def test_a_mistake_is_refused_with_its_place_and_a_hint(case: Path) -> None:
    assert refusal(case) == (case / "expected.txt").read_text()
