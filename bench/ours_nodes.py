"""Our machines from enrolment to active, beside Ironic's nodes: Usage: ... COUNT.

The production inventory, compiler, scheduler, runner and journal, with the writes that a run's
executors make (facts, erasure, installation); only the hardware does not exist. The workflow is
``swarm``: netboot, install, runtime and the join of a cluster; Ironic's nodes are deployed only.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.tree import counted
from rackwright.api.collector import collect_rarely
from rackwright.api.owner.convert import machine_of
from rackwright.engine.content.library import Library
from rackwright.engine.executors.simulated import Latency, SimulatedExecutor
from rackwright.engine.executors.simulated_world import World
from rackwright.engine.machine import Machine
from rackwright.engine.plan.codec import plan_document
from rackwright.engine.plan.compile import compile_plan
from rackwright.engine.plan.model import Plan
from rackwright.engine.plan.spec import parse_spec
from rackwright.engine.run.clock import VirtualClock
from rackwright.engine.run.ports import Fact
from rackwright.engine.run.runner import Runner
from rackwright.engine.schedule.events import RunStatus
from rackwright.engine.simulate.fleet import EveryArtifact, pool_sizes, spec_text
from rackwright.inventory import selectors
from rackwright.inventory.facade import Inventory
from rackwright.inventory.plans import PlanRecord
from rackwright.inventory.runs import NewRun

ACTOR = "bench"
WORKFLOW = "swarm"


def rack(count: int, sizes: Mapping[str, int]) -> str:
    roles = [role for role, size in sizes.items() for _ in range(size)]
    machines = []
    for number in range(count):
        high, low = divmod(number, 250)
        machines.append(
            f"- name: n{number}\n  site: lab\n  rack: r{number // 40}\n  class: small\n"
            f"  labels: {{role: {roles[number]}}}\n"
            f"  bmc: {{protocol: ipmi, address: 10.9.{high}.{low + 1}, username: a, password: b}}\n"
            f'  nics: [{{mac: "52:54:00:00:{high:02x}:{low:02x}"}}]\n'
            f"  address: 10.8.{high}.{low + 1}/16\n"
        )
    return "machines:\n" + "".join(machines)


def facts(number: int) -> dict[str, object]:
    drive = {
        "serial": f"SIM-{number}",
        "wwn": "",
        "path": "/dev/sda",
        "model": "SIMULATED",
        "size_bytes": 480 * 10**9,
        "sector_bytes": 512,
        "transport": "sata",
        "rotational": False,
        "removable": False,
        "has_data": False,
    }
    return {"firmware": "uefi", "memory_bytes": 2**34, "cpu_count": 8, "drives": [drive]}


def is_selected(selector: str, machine: Machine) -> bool:
    return selectors.matches(selectors.parse(selector), dict(machine.labels))


def planned(inventory: Inventory, sizes: Mapping[str, int]) -> Plan:
    machines = [machine_of(view) for view in inventory.machines(limit=None)]
    return compile_plan(
        library=Library.over_packaged(()),
        spec=parse_spec(spec_text(WORKFLOW, sizes), "the bench's cluster spec"),
        machines=machines,
        select=is_selected,
        artifacts=EveryArtifact(),
    )


async def reserved(inventory: Inventory, plan: Plan) -> str:
    record = PlanRecord(
        plan.digest,
        plan.kind,
        plan.workflow,
        plan.cluster,
        plan.fingerprint,
        plan_document(plan),
        time.time(),
    )
    begun = await inventory.begin_run(
        NewRun(record, [m.id for m in plan.machines], [s.name for s in plan.stages], ACTOR, None)
    )
    return begun.id


async def run(inventory: Inventory, plan: Plan, run_id: str) -> RunStatus:
    clock, world = VirtualClock(), World()
    runner = Runner(
        plan,
        inventory.journal(run_id, fact=Fact),
        lambda view: SimulatedExecutor(
            plan, view, clock, world, seed=7, latency=Latency(1, 60, tick_s=1.0)
        ),
        clock,
        inventory.epoch,
        may_act=inventory.may_act,
    )
    return await runner.run()


async def main(count: int) -> None:
    library = Library.over_packaged(())
    sizes = pool_sizes(library.workflow(WORKFLOW), count)
    with tempfile.TemporaryDirectory() as folder:
        inventory = Inventory.open(Path(folder) / "data")
        collect_rarely()
        with counted(nodes=count):
            await inventory.save_cluster("simulated", workflow=WORKFLOW, spec={})
            report = await inventory.enrol(rack(count, sizes), "rack.yaml", actor=ACTOR)
            ids = [machine.id for machine in report.machines]
            await asyncio.gather(
                *(inventory.record_discovered(m, facts(n)) for n, m in enumerate(ids))
            )
            plan = planned(inventory, sizes)
            run_id = await reserved(inventory, plan)
            status = await run(inventory, plan, run_id)
            await asyncio.gather(
                *(
                    inventory.record_erasing(e.machine_id, e.install_id, e.drive_serial)
                    for e in plan.erasures
                )
            )
            await asyncio.gather(
                *(
                    inventory.record_installed(
                        e.machine_id,
                        {"install_id": e.install_id, "drive_serial": e.drive_serial, "os": "x"},
                    )
                    for e in plan.erasures
                )
            )
            await inventory.finish_run(run_id, status=int(status), succeeded=set(ids))
        states = inventory.count_by_state()
        inventory.close()
    assert status is RunStatus.SUCCEEDED, status
    assert states == {"active": count}, states


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
