"""Decisions of the scheduler in words, for people. Names come from the plan."""

from rackwright.engine.plan.model import Plan, PlannedStage
from rackwright.engine.schedule.events import Cause, Marked
from rackwright.engine.schedule.explanation import Reason, Why
from rackwright.engine.schedule.topology import plan_holds


def marked(plan: Plan, mark: Marked) -> str:
    return cause(plan, mark.cause, mark.subject)


def cause(plan: Plan, why: Cause, subject: int) -> str:
    """Why a task was blocked, skipped, cancelled or opened again."""
    match why:
        case Cause.NEED:
            return f"{_stage_of_task(plan, subject)} did not succeed on this machine"
        case Cause.BARRIER:
            return f"too many machines failed in {plan.stages[subject].name}"
        case Cause.WAVE:
            return f"the wave of {plan.stages[subject].name} halted after failures"
        case Cause.ELECTION:
            return f"no machine of {_group(plan, subject)} could be chosen"
        case Cause.ENDS:
            return f"what it is a means to is settled: {_stage_of_task(plan, subject)}"
        case Cause.CANCEL:
            return "the run was cancelled"
        case Cause.OPERATOR:
            return "skipped by an operator"
        case Cause.RETRY:
            return "opened again by an operator"
        case Cause.MEANS:
            return f"needed again by {_stage_of_task(plan, subject)}"
        case Cause.END:
            return "waits for its means"
        case Cause.APPROVAL:
            return f"the approval of {_approved(plan, subject).name} was refused"


def reason(plan: Plan, found: Reason) -> str:
    """One thing that a task waits for, or why it ended."""
    match found.why:
        case Why.NEED:
            return f"waits for {plan.stages[found.stage].name} on this machine"
        case Why.BARRIER:
            done = f"{found.have} of {found.required}"
            return f"waits for {plan.stages[found.stage].name} on other machines: {done}"
        case Why.ELECTION:
            return f"waits for the choice of one of {_group(plan, found.have)}"
        case Why.ENDS:
            return f"{plan.stages[found.stage].name} is asked first whether it is needed"
        case Why.WAVE:
            wave = f"{found.have} of {found.required} under way"
            return f"waits for its turn in the wave: {wave}"
        case Why.LIMIT:
            limit = list(plan.limits)[found.stage]
            return f"waits for the limit {limit}: {found.have} of {found.required} taken"
        case Why.WINDOW | Why.APPROVAL:
            return _held(plan, found)
        case Why.TIMER:
            return f"waits for its retry {found.have} of {found.required}"
        case Why.RUNNING:
            return f"attempt {found.have} is under way"
        case Why.PAUSED:
            return "the run is paused"
        case Why.CAUSE:
            return cause(plan, found.cause, found.have) if found.cause is not None else ""


def _stage_of_task(plan: Plan, task: int) -> str:
    return plan.stages[task // len(plan.machines)].name


def _held(plan: Plan, found: Reason) -> str:
    if found.why is Why.WINDOW:
        name = list(plan.windows)[found.stage]
        return f"waits for the window {name}: {' or '.join(plan.windows[name])}"
    stage = _approved(plan, found.stage)
    return (
        f"waits for approval: {stage.approve} (rackwright run approve {stage.name}, or "
        f"rackwright run reject {stage.name} --reason WHY)"
    )


def _approved(plan: Plan, hold: int) -> PlannedStage:
    return plan.stages[plan_holds(plan)[hold].stage]


def _group(plan: Plan, group: int) -> str:
    return (*plan.groups, "all")[group]
