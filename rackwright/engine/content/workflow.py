"""A workflow: what happens in what order, as its YAML says it. Parsing only: whether stages and
roles exist, and whether the graph holds, is the compiler's to say.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rackwright.engine.content import windows
from rackwright.engine.content.condition import Condition, parse_condition
from rackwright.engine.content.errors import Mark, Problems
from rackwright.engine.content.fields import Fields, check_name
from rackwright.engine.content.quantities import AMOUNT_HINT, Amount, amount
from rackwright.engine.content.role import parse_retries
from rackwright.engine.content.yaml_source import Node, parse
from rackwright.engine.plan.model import Retries

Pick = Literal["all", "one", "rest"]
Wait = Literal["same", "all", "settled", "count", "percent"]

_WORKFLOW_KEYS = ("description", "groups", "stages", "windows")
_STAGE_KEYS = (
    *("description", "use", "on", "needs", "means_to", "serial", "waves", "destructive"),
    *("always", "params", "timeout", "retries", "when", "window", "approve"),
)
_USE = re.compile(r"([a-z0-9][a-z0-9_-]*(?:/[a-z0-9][a-z0-9_-]*)+)(?:#([a-z0-9][a-z0-9_-]*))?\Z")
_ON = re.compile(r"([a-z0-9][a-z0-9_-]*)(?:\.(one|rest))?\Z")
_POOL = re.compile(r"pools\.([a-z0-9][a-z0-9_-]*)\Z")
ALL = "all"
DESTRUCTIVE = "destructive"
MAX_STAGES = 1000


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A group of machines. ``quorum``: its members vote, so a majority must stay. ``leaves``: the
    workflow takes them out of the cluster, whatever pool they serve in."""

    name: str
    mark: Mark
    pools: tuple[str, ...]
    quorum: bool = False
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class NeedSpec:
    stage: str
    mark: Mark
    wait: Wait = "same"
    amount: int = 0
    where_present: bool = False  # ``wait: same`` was written: met where the stage is not on it


@dataclass(frozen=True, slots=True)
class WavesSpec:
    """``is_none``: the word none was written. Unset amounts are None."""

    mark: Mark
    canary: Amount | None = None
    max_parallel: Amount | None = None
    halt_at_failures: Amount | None = None
    is_none: bool = False

    def overlaid(self, over: "WavesSpec") -> "WavesSpec":
        """``over``'s amounts where it sets them, ours elsewhere."""
        if over.is_none:
            return over
        return WavesSpec(
            over.mark,
            over.canary if over.canary is not None else self.canary,
            over.max_parallel if over.max_parallel is not None else self.max_parallel,
            over.halt_at_failures if over.halt_at_failures is not None else self.halt_at_failures,
        )


@dataclass(frozen=True, slots=True)
class ApprovalSpec:
    """``text``: what the operator is asked. ``deadline_s`` 0: waits for ever."""

    mark: Mark
    text: str
    deadline_s: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkflowStage:
    name: str
    mark: Mark
    role: str
    role_stage: str  # "" means the role's only one
    use_mark: Mark
    group: str
    pick: Pick
    on_mark: Mark
    needs: tuple[NeedSpec, ...]
    means_to: tuple[tuple[str, Mark], ...]
    waves: WavesSpec | None
    destructive: str | None
    always: bool
    params: Node | None
    timeout_s: float | None
    retries: Retries | None
    description: str = ""
    when: Condition | None = None
    windows: tuple[str, ...] = ()  # full attempts start while one of them is open
    approve: ApprovalSpec | None = None


@dataclass(frozen=True, slots=True)
class WorkflowSpec:
    name: str
    mark: Mark
    description: str
    groups: Mapping[str, GroupSpec]
    stages: Mapping[str, WorkflowStage] = field(default_factory=dict)
    windows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # see ``parse_windows``

    def pools_that_leave(self) -> frozenset[str]:
        """The pools of the groups that this workflow takes out of the cluster."""
        return frozenset(p for group in self.groups.values() if group.leaves for p in group.pools)


def parse_workflow(name: str, text: str | bytes, file: str) -> WorkflowSpec:
    """Raises ContentErrors with every mistake, or ContentError where YAML itself is refused."""
    root = parse(text, file)
    problems = Problems()
    fields = Fields(root, f"workflow {name}", _WORKFLOW_KEYS, problems)
    fields.require("stages")
    groups = {
        group: _group(group, fields, node, problems)
        for group, node in fields.mapping("groups").items()
    }
    if len(fields.mapping("stages")) > MAX_STAGES:
        problems.add(fields.mark("stages"), f"workflow {name} has more than {MAX_STAGES} stages")
        problems.check()
    stages = {
        stage: _stage(stage, fields, node, problems)
        for stage, node in fields.mapping("stages").items()
    }
    if not stages and fields.get("stages") is not None:
        problems.add(fields.mark("stages"), f"workflow {name} has no stages")
    held = parse_windows(fields, problems)
    for key in held:
        if key != DESTRUCTIVE:
            problems.add(
                fields.mark("windows"),
                f"windows of a workflow are for '{DESTRUCTIVE}', not '{key[:60]}'",
                "give the stage a window of its own",
            )
    problems.check()
    return WorkflowSpec(name, root.mark, fields.text("description"), groups, stages, held)


def _key_mark(fields: Fields, section: str, key: str) -> Mark:
    node = fields.get(section)
    return node.keys[key] if node is not None else fields.node.mark


def _group(name: str, outer: Fields, node: Node, problems: Problems) -> GroupSpec:
    mark = _key_mark(outer, "groups", name)
    check_name(name, "a group", mark, problems)
    if name == ALL:
        problems.add(mark, "'all' is every machine and cannot be a group's name")
    fields = Fields(node, f"group {name}", ("from", "quorum", "leaves"), problems)
    fields.require("from")
    source = fields.get("from")
    texts = fields.texts("from") if source is not None and source.items is not None else ()
    if source is not None and source.items is None:
        texts = ((fields.text("from"), source.mark),)
    if source is not None and source.items == ():
        problems.add(source.mark, f"group {name} is from no pool", "such as pools.workers")
    pools = []
    for text, place in texts:
        match = _POOL.match(text)
        if match is None:
            problems.add(
                place, f"group {name} is from '{text[:60]}'", "write a pool, such as pools.workers"
            )
        else:
            pools.append(match.group(1))
    return GroupSpec(name, mark, tuple(pools), fields.boolean("quorum"), fields.boolean("leaves"))


def _stage(name: str, outer: Fields, node: Node, problems: Problems) -> WorkflowStage:
    mark = _key_mark(outer, "stages", name)
    check_name(name, "a stage", mark, problems)
    fields = Fields(node, f"stage {name}", _STAGE_KEYS, problems)
    fields.require("use", "on")
    role, role_stage = _use(fields, problems)
    group, pick = _on(fields, problems)
    params = fields.get("params")
    if params is not None and params.mapping is None:
        problems.add(params.mark, f"'params' of stage {name} must be a mapping, not {params.kind}")
    return WorkflowStage(
        name=name,
        mark=mark,
        role=role,
        role_stage=role_stage,
        use_mark=fields.mark("use"),
        group=group,
        pick=pick,
        on_mark=fields.mark("on"),
        needs=tuple(_need(item, name, problems) for item in fields.items("needs")),
        means_to=fields.texts("means_to"),
        waves=_stage_waves(fields, problems),
        destructive=fields.choice("destructive", ("disk",), "") or None,
        always=fields.boolean("always"),
        params=params,
        timeout_s=fields.duration_s("timeout", 0) or None,
        retries=parse_retries(fields, problems),
        description=fields.text("description"),
        when=_when(fields, problems),
        windows=_windows(fields.get("window"), fields.what, problems),
        approve=_approve(fields, problems),
    )


def parse_windows(fields: Fields, problems: Problems) -> Mapping[str, tuple[str, ...]]:
    """``windows:`` of a workflow or cluster spec: a stage's name, or ``destructive`` for every
    stage that erases -> the windows, one of which must be open."""
    return {
        key: _windows(node, f"windows of {key}", problems)
        for key, node in fields.mapping("windows").items()
    }


def _windows(node: Node | None, what: str, problems: Problems) -> tuple[str, ...]:
    """A text, or a list of them."""
    if node is None:
        return ()
    found = []
    for item in node.items if node.items is not None else (node,):
        if not isinstance(item.value, str):
            problems.add(item.mark, f"a window of {what} is {item.kind}", windows.HINT)
            continue
        try:
            windows.parse_window(item.value)
        except ValueError as error:
            problems.add(item.mark, f"the window of {what}: {error}", windows.HINT)
        else:
            found.append(item.value)
    if node.items == ():
        problems.add(node.mark, f"{what} has an empty list of windows", windows.HINT)
    return tuple(found)


def _approve(fields: Fields, problems: Problems) -> ApprovalSpec | None:
    node = fields.get("approve")
    if node is None:
        return None
    if node.mapping is None:
        text, deadline_s = fields.text("approve"), 0.0
    else:
        inner = Fields(node, f"approve of {fields.what}", ("text", "deadline"), problems)
        inner.require("text")
        text, deadline_s = inner.text("text"), inner.duration_s("deadline", 0.0)
    if not text:
        problems.add(node.mark, f"approve of {fields.what} says nothing", 'approve: "may we?"')
    elif fields.boolean("always"):
        problems.add(
            node.mark,
            f"{fields.what} runs always, and waits for an approval",
            "what must run after a failure too cannot be refused",
        )
    return ApprovalSpec(node.mark, text, deadline_s)


def _when(fields: Fields, problems: Problems) -> Condition | None:
    text = fields.text("when")
    node = fields.get("when")
    if node is None or not isinstance(node.value, str):
        return None
    return parse_condition(text, node.text_mark, fields.what, problems)


def _use(fields: Fields, problems: Problems) -> tuple[str, str]:
    text = fields.text("use")
    match = _USE.match(text)
    if match is None:
        if text:
            problems.add(
                fields.mark("use"),
                f"'{text[:60]}' is no role",
                "write KIND/ROLE or KIND/ROLE#STAGE, such as orchestrator/swarm#join",
            )
        return "", ""
    return match.group(1), match.group(2) or ""


def _on(fields: Fields, problems: Problems) -> tuple[str, Pick]:
    text = fields.text("on", ALL)
    match = _ON.match(text)
    if match is None:
        problems.add(
            fields.mark("on"),
            f"'{text[:60]}' names no machines",
            "write all, GROUP, GROUP.one or GROUP.rest",
        )
        return ALL, "all"
    match match.group(2):
        case "one":
            return match.group(1), "one"
        case "rest":
            return match.group(1), "rest"
        case _:
            return match.group(1), "all"


def _need(node: Node, stage: str, problems: Problems) -> NeedSpec:
    if isinstance(node.value, str):
        return NeedSpec(node.value, node.mark)
    fields = Fields(node, f"a need of stage {stage}", ("stage", "wait"), problems)
    fields.require("stage")
    wait = fields.get("wait")
    target = fields.text("stage")
    if wait is None:
        return NeedSpec(target, node.mark)
    if wait.value == "all":
        return NeedSpec(target, node.mark, "all")
    if wait.value == "same":
        return NeedSpec(target, node.mark, where_present=True)
    if wait.value == "settled":
        return NeedSpec(target, node.mark, "settled")
    found = amount(wait.value)
    if found is None or found.value == 0:
        problems.add(
            wait.mark,
            f"stage {stage} waits for {str(wait.value)[:60]!r}",
            "write all, settled, same, a number such as 3, or a percentage such as 50%",
        )
        return NeedSpec(target, node.mark, "all")
    kind: Wait = "percent" if found.is_percent else "count"
    return NeedSpec(target, node.mark, kind, found.value)


def _stage_waves(fields: Fields, problems: Problems) -> WavesSpec | None:
    serial = fields.get("serial")
    node = fields.get("waves")
    if serial is not None and node is not None:
        problems.add(
            serial.mark,
            f"{fields.what} has both serial and waves",
            "serial: N is waves: {max_parallel: N}; keep one",
        )
    if serial is not None:
        found = amount(serial.value)
        if found is None or found.value == 0:
            problems.add(serial.mark, f"serial of {fields.what} must be 1 or more", AMOUNT_HINT)
            return None
        return WavesSpec(serial.mark, max_parallel=found)
    return None if node is None else parse_waves(node, fields.what, problems)


def parse_waves(node: Node, what: str, problems: Problems) -> WavesSpec | None:
    """A mapping of amounts, or the word none."""
    if node.value == "none":
        return WavesSpec(node.mark, is_none=True)
    keys = ("canary", "max_parallel", "halt_at_failures")
    if node.mapping is None:
        problems.add(
            node.mark,
            f"waves of {what} must be a mapping or the word none, not {node.kind}",
            f"keys: {', '.join(keys)}",
        )
        return None
    fields = Fields(node, f"waves of {what}", keys, problems)
    for key in keys:
        found = fields.amount(key)
        if key != "canary" and found is not None and found.value == 0:
            problems.add(fields.mark(key), f"{key} must be 1 or more", "leave it out for no bound")
    canary, parallel, halt = (fields.amount(key) for key in keys)
    return WavesSpec(node.mark, canary, parallel, halt)
