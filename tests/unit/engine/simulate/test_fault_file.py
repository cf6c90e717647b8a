import pytest

from rackwright.engine.content.errors import ContentErrors
from rackwright.engine.simulate.fault_file import Kind, parse_faults

GOOD = """\
faults:
- kind: outage
  selector: rack=r3
  at: 20m
  for: 90s
- {kind: fail, stages: [install], machines: [n1, n2], probability: 1%, attempts: 2, note: a cable}
"""


def test_a_rule_says_what_for_whom_where_and_when() -> None:
    outage, fail = parse_faults(GOOD, "faults.yaml")
    assert (outage.kind, outage.selector) == (Kind.OUTAGE, "rack=r3")
    assert (outage.from_s, outage.until_s, outage.probability) == (1200.0, 1290.0, 1.0)
    assert [name for name, _ in fail.stages] == ["install"]
    assert [name for name, _ in fail.machines] == ["n1", "n2"]
    assert (fail.probability, fail.attempts, fail.until_s) == (0.01, 2, None)
    assert fail.cause == "injected fail: a cable (faults.yaml:6)"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("faults:\n- kind: hag\n", "f.yaml:2:9: 'hag' is no kind of fault (did you mean 'hang'?)"),
        ("faults:\n- {stages: [a]}\n", "f.yaml:2:3: a fault needs 'kind'"),
        ("faults:\n- {kind: fail, stage: [a]}\n", "f.yaml:2:16: a fault has no attribute 'stage'"),
        ("faults:\n- {kind: fail, probability: 2}\n", "f.yaml:2:29: 'probability' of a fault"),
        ("faults:\n- {kind: fail, probability: x%}\n", "f.yaml:2:29: 'probability' of a fault"),
        ("faults:\n- {kind: fail, at: soon}\n", "f.yaml:2:20: 'at' of a fault must be a duration"),
        ("rules: []\n", "f.yaml:1:1: the fault file has no attribute 'rules'"),
    ],
)
def test_a_mistake_is_shown_with_its_place(text: str, mistake: str) -> None:
    with pytest.raises(ContentErrors) as caught:
        parse_faults(text, "f.yaml")
    assert mistake in str(caught.value)
