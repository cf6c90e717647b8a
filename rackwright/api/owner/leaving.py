"""Which machines leave a cluster: the spec of the plan that takes them out, and who has left."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from rackwright.engine.content.errors import near
from rackwright.engine.content.library import Library
from rackwright.engine.content.workflow import WorkflowSpec
from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.model import Plan
from rackwright.inventory.facade import Inventory

SUFFIX = "-leave"
DEAD_PARAM = "leaving"  # host names of members that answer no more, in the params of a role


def leave_spec(
    inventory: Inventory, library: Library, cluster: str, names: Sequence[str], dead: Sequence[str]
) -> str:
    """The cluster spec (JSON is YAML) for the workflow that takes machines out of ``cluster``.

    Its groups are made from the pool ``leaving`` and from pools of the cluster, which hold the
    members that stay. Raises NotFoundError for an unknown cluster, OperatorError for machines that
    are no members, or a cluster whose workflow has no way out.
    """
    found = inventory.cluster(cluster)
    views = inventory.machines_by_id([machine_id for machine_id, _ in found.members])
    pool_of = dict(found.members)
    members = {view.name: pool_of[view.id] for view in views}
    going = list(dict.fromkeys([*names, *dead]))
    if not going:
        raise OperatorError("no machine is named", hint="name the members that shall leave")
    for name in going:
        if name not in members:
            raise OperatorError(
                f"machine {name[:60]} is not a member of cluster {cluster}",
                hint=near(name, members) or f"rackwright cluster show {cluster}",
            )
    for name in sorted(set(names) & set(dead)):
        raise OperatorError(f"machine {name} is said both to leave by itself and to be dead")
    way_out = f"{found.workflow}{SUFFIX}"
    if way_out not in library.workflow_names():
        raise OperatorError(
            f"there is no workflow {way_out}: nothing says how machines leave cluster {cluster}",
            hint=f"write workflows/{way_out}.yaml, or remove them by hand; see docs/content.md",
        )
    workflow = library.workflow(way_out)
    pools = {pool for group in workflow.groups.values() for pool in group.pools}
    leaving = workflow.pools_that_leave()
    stay = {
        pool: {"machines": [n for n, p in members.items() if p == pool and n not in going]}
        for pool in sorted(pools - leaving)
    }
    for group in workflow.groups.values():
        staying = [name for pool in group.pools if pool in stay for name in stay[pool]["machines"]]
        if group.quorum and not staying:
            raise OperatorError(
                f"no machine of {group.name} would stay in cluster {cluster}",
                hint="a cluster keeps at least one; add another first",
            )
    roles = {stage.role for stage in workflow.stages.values()}
    recorded = found.spec.get("params")
    params: dict[str, dict[str, Any]] = {
        role: dict(given)
        for role, given in (recorded if isinstance(recorded, dict) else {}).items()
        if role in roles
    }
    if dead:
        takers = [
            r for r in roles if DEAD_PARAM in (library.role(r).schema.get("properties") or {})
        ]
        if not takers:
            raise OperatorError(
                f"no role of workflow {way_out} takes the param {DEAD_PARAM}: nobody would forget "
                f"{', '.join(dead)[:200]}",
                hint="bring them back and let them leave, or give a role that param",
            )
        for role in takers:
            params.setdefault(role, {})[DEAD_PARAM] = list(dead)
    spec = {
        "cluster": cluster,
        "workflow": way_out,
        "pools": {**stay, **{pool: {"machines": list(names)} for pool in sorted(leaving)}},
        **({"params": params} if params else {}),
    }
    return json.dumps(spec, indent=1)


def leavers(
    inventory: Inventory, workflow: WorkflowSpec, plan: Plan, good: Collection[str]
) -> list[str]:
    """Ids of the machines that have left: those of the leaving pools whose tasks are all done,
    and, if every machine that stays has done its part, the dead."""
    pools = workflow.pools_that_leave()
    gone = [m.id for m in plan.machines if pools & set(m.pools) and m.id in good]
    is_forgotten = all(m.id in good for m in plan.machines if not pools & set(m.pools))
    dead = {
        name
        for params in plan.cluster_params.values()
        if isinstance(params, dict)
        for name in params.get(DEAD_PARAM) or ()
    }
    if dead and is_forgotten:
        members = [machine_id for machine_id, _ in inventory.cluster(plan.cluster).members]
        gone += [view.id for view in inventory.machines_by_id(members) if view.name in dead]
    return gone
