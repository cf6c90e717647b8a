"""Dynamic targets: a discovery that says what follows it, and the supplement that does.

A discovery plan may hold a target: a cluster spec that cannot be planned before ramdisks have
reported. When its discovery has ended everywhere the target is compiled over what was found, and
frozen: the supplement, a plan with its parent's digest. What it erases waits for an operator,
unless the spec, which the parent's digest covers, accepts a rule: which machines, which disks, how
many at most. Pure; compiling and starting are the owner's.
"""

from collections.abc import Callable
from dataclasses import replace

from rackwright.engine.machine import Drive, Machine
from rackwright.engine.plan.codec import plan_digest
from rackwright.engine.plan.disks import Select, matches
from rackwright.engine.plan.model import Erasure, Plan, Target
from rackwright.engine.plan.spec import AcceptRule


def with_target(plan: Plan, target: Target) -> Plan:
    """A discovery plan that says what follows."""
    aimed = replace(plan, target=target)
    return replace(aimed, digest=plan_digest(aimed))


def supplement_of(plan: Plan, parent: Plan) -> Plan:
    """A compiled plan as the supplement of ``parent``."""
    child = replace(plan, parent=parent.digest)
    return replace(child, digest=plan_digest(child))


def why_unaccepted(
    plan: Plan,
    rule: AcceptRule | None,
    machine: Callable[[str], Machine],
    select: Select,
) -> str:
    """Why an operator must look at what a supplement erases; "" where the rule covers it all.

    ``machine``: by id, as planned from.
    """
    if not plan.erasures:
        return ""
    if rule is None:
        return f"it erases {len(plan.erasures)} disk(s), and the spec accepts no rule"
    if len(plan.erasures) > rule.at_most:
        return f"it erases {len(plan.erasures)} disks, and the rule accepts {rule.at_most} at most"
    for erasure in plan.erasures:
        found = machine(erasure.machine_id)
        if not select(rule.selector, found):
            return f"{found.name} does not match the rule's selector {rule.selector or 'all'}"
        drive = _drive_of(found, erasure)
        if drive is None or not matches(rule.disk, drive):
            return f"the disk {erasure.drive_serial} of {found.name} does not match {rule.disk}"
        if drive.has_data and not rule.with_data:
            return f"the disk {erasure.drive_serial} of {found.name} holds data"
    return ""


def _drive_of(machine: Machine, erasure: Erasure) -> Drive | None:
    names = (erasure.drive_serial, erasure.drive_wwn, erasure.size_bytes)
    for drive in machine.drives or ():
        if (drive.serial, drive.wwn, drive.size_bytes) == names:
            return drive
    return None


def rule_text(rule: AcceptRule | None) -> str:
    """For the plan: what is erased without asking again."""
    if rule is None:
        return "nothing is erased before an operator accepts the supplement"
    which = rule.selector or "any machine"
    held = ", also those that hold data" if rule.with_data else ", none that holds data"
    return f"erases at most {rule.at_most} disk(s): {rule.disk} of {which}{held}"
