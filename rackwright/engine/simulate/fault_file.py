"""A fault file: what goes wrong, for whom, where, how often and when. Parsing only.

Mistakes are collected with file, line and column, like those of content. The format is documented
in docs/simulate.md.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rackwright.engine.content.errors import Mark, Problems, near
from rackwright.engine.content.fields import Fields
from rackwright.engine.content.yaml_source import Node, parse

_RULE_KEYS: Final = (
    *("kind", "selector", "machines", "stages", "probability"),
    *("attempts", "at", "for", "note"),
)


class Kind(StrEnum):
    """What an attempt comes to."""

    FAIL = "fail"  # apply or verify fails
    UNKNOWN = "unknown"  # the check is not answered
    REFUSE = "refuse"  # a retry cannot help
    HANG = "hang"  # nothing is ever heard, not even when cancelled
    FLAP = "flap"  # fails, works, fails: every other attempt
    WRONG_ANSWER = "wrong_answer"  # an answer that does not fit the question
    LOST_EVENT = "lost_event"  # it was done, and nobody is told
    DUPLICATE_EVENT = "duplicate_event"  # told twice, the second time later
    BMC_BUSY = "bmc_busy"  # out-of-band stages are turned away
    OUTAGE = "outage"  # the machines cannot be reached


@dataclass(frozen=True, slots=True)
class Rule:
    """``machines`` and ``stages`` empty: all. ``attempts`` 0: every one. ``until_s`` None: for
    good. ``probability``: of a task to be hit, decided once for all of its attempts."""

    kind: Kind
    mark: Mark
    selector: str = ""
    selector_mark: Mark | None = None
    machines: tuple[tuple[str, Mark], ...] = ()
    stages: tuple[tuple[str, Mark], ...] = ()
    probability: float = 1.0
    attempts: int = 0
    from_s: float = 0.0
    until_s: float | None = None
    note: str = ""

    @property
    def cause(self) -> str:
        """What a report says of a task that it hit."""
        note = f": {self.note}" if self.note else ""
        return f"injected {self.kind.value}{note} ({self.mark.file}:{self.mark.line})"


def parse_faults(text: str | bytes, file: str) -> tuple[Rule, ...]:
    """Raises ContentErrors with every mistake, or ContentError where YAML itself is refused."""
    root = parse(text, file)
    problems = Problems()
    fields = Fields(root, "the fault file", ("faults",), problems)
    fields.require("faults")
    rules = [_rule(node, problems) for node in fields.items("faults")]
    problems.check()
    return tuple(rule for rule in rules if rule is not None)


def _rule(node: Node, problems: Problems) -> Rule | None:
    fields = Fields(node, "a fault", _RULE_KEYS, problems)
    fields.require("kind")
    if fields.get("kind") is None:
        return None
    kinds = [kind.value for kind in Kind]
    word = fields.text("kind")
    if word not in kinds:
        problems.add(fields.mark("kind"), f"'{word[:60]}' is no kind of fault", near(word, kinds))
        return None
    from_s = fields.duration_s("at", 0.0)
    lasts_s = fields.duration_s("for", 0.0)
    return Rule(
        kind=Kind(word),
        mark=node.mark,
        selector=fields.text("selector"),
        selector_mark=fields.mark("selector"),
        machines=fields.texts("machines"),
        stages=fields.texts("stages"),
        probability=_probability(fields, problems),
        attempts=fields.integer("attempts", 0, most=1000),
        from_s=from_s,
        until_s=from_s + lasts_s if lasts_s else None,
        note=fields.text("note"),
    )


def _probability(fields: Fields, problems: Problems) -> float:
    """A number from 0 to 1, or a percentage."""
    node = fields.get("probability")
    if node is None:
        return 1.0
    value = node.value
    if isinstance(value, str) and value.endswith("%"):
        try:
            value = float(value[:-1]) / 100
        except ValueError:
            value = None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    problems.add(
        node.mark, "'probability' of a fault is a number from 0 to 1", "write 0.01, or '1%'"
    )
    return 1.0
