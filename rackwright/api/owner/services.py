"""What the owner offers to its faces: one service a noun."""

from dataclasses import dataclass

from rackwright.api.owner.audit import AuditService
from rackwright.api.owner.clusters import ClusterService
from rackwright.api.owner.events import EventService
from rackwright.api.owner.machines import MachineService
from rackwright.api.owner.plans import PlanService
from rackwright.api.owner.reports import ReportService
from rackwright.api.owner.runs import RunService
from rackwright.api.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    epoch: int
    machines: MachineService
    plans: PlanService
    runs: RunService
    clusters: ClusterService
    events: EventService
    reports: ReportService
    audit: AuditService
