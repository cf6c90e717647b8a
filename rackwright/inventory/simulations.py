"""The run of a simulation: a run like any other, on machines that are in no inventory.

For a database of its own, which a simulation makes; nothing is reserved.
"""

import secrets
from collections.abc import Sequence

from sqlalchemy import Connection, insert

from rackwright.inventory import journal, plans
from rackwright.inventory.runs import RUNNING
from rackwright.inventory.tables import RUN, RUN_STAGE


def begin(
    connection: Connection,
    plan: plans.PlanRecord,
    *,
    machines: Sequence[tuple[str, str]],
    stages: Sequence[str],
    epoch: int,
    now: float,
) -> str:
    """``machines``: (id, name), in the plan's order. Returns the run's id."""
    plans.put(connection, plan)
    run_id = f"r-{secrets.token_hex(6)}"
    values = {
        "id": run_id,
        "plan_digest": plan.digest,
        "status": RUNNING,
        "actor": "simulation",
        "created_at": now,
        "ended_at": None,
        "first_seq": journal.last_seq(connection),
        "owner_epoch": epoch,
    }
    key = connection.execute(insert(RUN).values(values)).inserted_primary_key
    run_no = int(key[0]) if key is not None else 0
    rows = [{"run_no": run_no, "stage": at, "name": name} for at, name in enumerate(stages)]
    connection.execute(insert(RUN_STAGE), rows)
    connection.exec_driver_sql(
        "INSERT INTO run_machine (run_no, machine, machine_id, name) VALUES (?,?,?,?)",
        [(run_no, at, machine_id, name) for at, (machine_id, name) in enumerate(machines)],
    )
    journal.record(connection, "run.begun", run_id, now, plan=plan.digest)
    return run_id
