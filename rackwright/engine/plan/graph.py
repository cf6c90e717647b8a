"""The stage graph: names, cycles, order, reduction. Nodes are stages, never machines.

networkx takes a quarter of a second to import: a controller that compiles nothing does without.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rackwright.engine.content.errors import Problems, near
from rackwright.engine.content.workflow import ALL, GroupSpec, NeedSpec, WorkflowSpec, WorkflowStage

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True)
class StageGraph:
    """``order`` is topological, and otherwise as the workflow is written."""

    order: tuple[str, ...]
    graph: "nx.DiGraph[str]"  # edges run from the needed stage to the one that needs it
    before: Mapping[str, int]  # stage -> bit set of all that come before it, by place in order

    def ancestors(self, stage: str) -> frozenset[str]:
        bits = self.before[stage]
        return frozenset(name for i, name in enumerate(self.order) if bits >> i & 1)

    def leads_to(self, stage: str, later: str) -> bool:
        return bool(self.before[later] >> self.order.index(stage) & 1)

    def reduced_edges(self) -> tuple[tuple[str, str], ...]:
        """The transitive reduction: what to draw. The plan itself keeps every need."""
        import networkx as nx

        reduced = nx.transitive_reduction(self.graph)
        place = {name: index for index, name in enumerate(self.order)}
        return tuple(sorted(reduced.edges, key=lambda e: (place[e[0]], place[e[1]])))

    def critical_path(self, seconds: Mapping[str, float]) -> tuple[tuple[str, ...], float]:
        """The longest chain of stages, and how long it takes."""
        finish: dict[str, float] = {}
        before: dict[str, str] = {}
        for stage in self.order:
            last = max(self.graph.predecessors(stage), key=lambda s: finish[s], default=None)
            finish[stage] = seconds.get(stage, 0.0) + (finish[last] if last is not None else 0.0)
            if last is not None:
                before[stage] = last
        if not finish:
            return (), 0.0
        stage = max(self.order, key=lambda s: finish[s])
        path, total = [stage], finish[stage]
        while stage in before:
            stage = before[stage]
            path.append(stage)
        return tuple(reversed(path)), total


def stage_graph(workflow: WorkflowSpec, problems: Problems) -> StageGraph | None:
    """None, and the mistakes, if the stages have no order; other mistakes leave a graph."""
    import networkx as nx

    before = problems.found
    stages = workflow.stages
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(stages)
    for stage in stages.values():
        _check_group(stage, workflow.groups, problems)
        for need in stage.needs:
            if need.stage not in stages:
                problems.add(
                    need.mark,
                    f"stage {stage.name} needs '{need.stage[:60]}', which is no stage",
                    near(need.stage, stages),
                )
            else:
                _check_need(stage, need, stages[need.stage], workflow.groups, problems)
                graph.add_edge(need.stage, stage.name, mark=need.mark)
    if not _check_acyclic(graph, problems):
        return None
    place = {name: index for index, name in enumerate(stages)}
    order = tuple(nx.lexicographical_topological_sort(graph, key=lambda s: place[s]))
    found = StageGraph(order, graph, _before(order, graph))
    if problems.found == before:
        _check_means(workflow, found, problems)
    return found


def _before(order: tuple[str, ...], graph: "nx.DiGraph[str]") -> Mapping[str, int]:
    """Bit sets instead of one search a stage: a thousand stages stay well under a second."""
    before: dict[str, int] = {}
    bit = {name: 1 << index for index, name in enumerate(order)}
    for stage in order:
        bits = 0
        for needed in graph.predecessors(stage):
            bits |= before[needed] | bit[needed]
        before[stage] = bits
    return before


def _check_group(stage: WorkflowStage, groups: Mapping[str, GroupSpec], problems: Problems) -> None:
    if stage.group == ALL and stage.pick != "all":
        problems.add(
            stage.on_mark, f"'all.{stage.pick}' is no set of machines", "use a group's name"
        )
    elif stage.group != ALL and stage.group not in groups:
        problems.add(
            stage.on_mark,
            f"stage {stage.name} is on '{stage.group[:60]}', which is no group",
            near(stage.group, [*groups, ALL]),
        )


def _pools(stage: WorkflowStage, groups: Mapping[str, GroupSpec]) -> frozenset[str] | None:
    """None means every machine."""
    group = groups.get(stage.group)
    return frozenset(group.pools) if group is not None else None


def _check_need(
    stage: WorkflowStage,
    need: NeedSpec,
    needed: WorkflowStage,
    groups: Mapping[str, GroupSpec],
    problems: Problems,
) -> None:
    """A need without wait means the same machine: the needed stage must concern it.

    Where ``wait: same`` is written out the need counts only on machines that the stage is on.
    """
    if need.wait != "same" or need.where_present:
        return
    ours, theirs = _pools(stage, groups), _pools(needed, groups)
    is_covered = theirs is None or (ours is not None and ours <= theirs)
    if is_covered and (needed.pick == "all" or needed.pick == stage.pick):
        return
    where = needed.group if needed.pick == "all" else f"{needed.group}.{needed.pick}"
    problems.add(
        need.mark,
        f"stage {stage.name} needs {need.stage} on the same machine, but that is on {where}",
        f"write {{stage: {need.stage}, wait: all}}, or wait: same where it may be absent",
    )


def _check_acyclic(graph: "nx.DiGraph[str]", problems: Problems) -> bool:
    import networkx as nx

    try:
        cycle = nx.find_cycle(graph)
    except nx.NetworkXNoCycle:
        return True
    # find_cycle gives needed -> needing; shown as "a needs b needs ... a"
    names = [edge[0] for edge in reversed(cycle)]
    source, target = cycle[-1][0], cycle[-1][1]
    shown = " needs ".join([*names[:20], *(["..."] if len(names) > 20 else []), names[0]])
    problems.add(
        graph.edges[source, target]["mark"],
        f"the stages wait for each other: {shown}",
        "remove one of these needs",
    )
    return False


def _check_means(workflow: WorkflowSpec, found: StageGraph, problems: Problems) -> None:
    for stage in workflow.stages.values():
        for end, mark in stage.means_to:
            if end not in workflow.stages:
                problems.add(
                    mark,
                    f"stage {stage.name} is a means to '{end[:60]}', which is no stage",
                    near(end, workflow.stages),
                )
            elif stage.pick != "all" or workflow.stages[end].pick != "all":
                problems.add(
                    mark,
                    f"stage {stage.name} is a means to {end}, and one of them is elected",
                    "means and ends are on all machines of a group",
                )
            elif not found.leads_to(stage.name, end):
                problems.add(
                    mark,
                    f"stage {stage.name} is a means to {end}, but {end} does not need it",
                    f"add {stage.name} to the needs of {end}",
                )
