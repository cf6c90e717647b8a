"""What may not be planned: each check refuses with a place or a machine, and a way out."""

from collections.abc import Mapping, Sequence

from rackwright.engine.content.errors import Problems
from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.inputs import Inputs
from rackwright.engine.plan.model import Erasure
from rackwright.engine.plan.resolve import Resolved
from rackwright.engine.plan.selection import in_order
from rackwright.engine.plan.spec import ClusterSpec
from rackwright.engine.plan.stages import tasks_of


def check_selectors(given: Inputs, spec: ClusterSpec) -> None:
    """A selector that does not parse is the spec's mistake, at its line."""
    problems = Problems()
    asked = [(p.selector, p.selector_mark) for p in spec.pools.values()]
    asked += [(r.selector, r.mark or spec.mark) for r in spec.disks]
    if spec.accept is not None:
        asked.append((spec.accept.selector, spec.accept.mark))
    for selector, mark in asked:
        try:
            for machine in given.machines[:1]:
                given.select(selector, machine)
        except (ValueError, OperatorError) as error:
            problems.add(mark, f"the selector '{selector[:80]}' cannot be read: {error}")
    problems.check()


def check_destruction(resolved: Resolved) -> None:
    """One stage at most may erase a machine, and it writes one image at most."""
    problems = Problems()
    seen: list[tuple[frozenset[str] | None, str]] = []
    for name, one in resolved.stages.items():
        if one.destructive is None:
            continue
        if sum(r.startswith("image/") for r in one.references) > 1:
            problems.add(one.stage.mark, f"stage {name} would write several images")
        group = resolved.workflow.groups.get(one.stage.group)
        pools = frozenset(group.pools) if group is not None else None
        for other, other_name in seen:
            pair = (one, resolved.stages[other_name])
            is_apart = any(s.stage.when is not None for s in pair)  # each machine's profile says
            if not is_apart and (pools is None or other is None or pools & other):
                problems.add(
                    one.stage.mark, f"stages {other_name} and {name} would erase the same machines"
                )
        seen.append((pools, name))
    problems.check()


def check_counts(resolved: Resolved, counts: Mapping[str, int], problems: Problems) -> None:
    """Barriers that can never open, and elections without candidates."""
    for name, one in resolved.stages.items():
        is_empty = one.stage.pick == "one" and counts[name] == 0 and one.stage.when is None
        if is_empty and not one.is_metal:
            problems.add(
                one.stage.on_mark,
                f"stage {name} is on {one.stage.group}.one, and that group is empty",
                "give its pools at least one machine",
            )
        for need in one.stage.needs:
            there = tasks_of(resolved.stages[need.stage], counts[need.stage])
            if need.wait == "count" and need.amount > there:
                problems.add(
                    need.mark,
                    f"stage {name} can never start: it waits for {need.amount} machines of "
                    f"{need.stage}, which has {there}",
                    "wait: all, or a percentage",
                )


def artifacts_of(
    given: Inputs, resolved: Resolved, counts: Mapping[str, int], problems: Problems
) -> Mapping[str, str]:
    """Those that stages with machines use; one that is not built is a mistake."""
    used: dict[str, str] = {}
    for name, one in resolved.stages.items():
        for reference in one.references if counts[name] else ():
            if reference in given.artifacts:
                used[reference] = given.artifacts[reference]
            else:
                problems.add(
                    one.stage.use_mark,
                    f"stage {name} uses the artifact {reference}, which is not built",
                    f"run `rackwright image build {reference.removeprefix('image/')}`",
                )
    return dict(sorted(used.items()))


def check_quorum(
    given: Inputs, resolved: Resolved, chosen: set[str], erasures: Sequence[Erasure]
) -> None:
    """Reinstalling voters must leave a majority of those that serve now."""
    if not given.cluster_id:
        return
    erased = {e.machine_id for e in erasures}
    for group in resolved.workflow.groups.values():
        if not group.quorum:
            continue
        voters = [
            m
            for m in given.machines
            if given.members.get(m.id, "") in group.pools
            and m.state not in ("available", "allocated")
        ]
        stay = [m for m in voters if m.id in chosen and m.id not in erased]
        lost = [m.name for m in in_order(voters) if m.id in erased]
        if lost and len(stay) * 2 <= len(voters):
            raise OperatorError(
                f"reinstalling {', '.join(lost)} would leave {len(stay)} of {len(voters)} "
                f"{group.name} in cluster {given.spec.cluster if given.spec else ''}: "
                "the quorum would be lost",
                hint="add members to the group first, or reinstall fewer at a time",
            )
