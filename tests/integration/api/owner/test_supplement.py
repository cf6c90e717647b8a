"""A discovery's target becomes a supplement; a rule decides what must be accepted first."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rackwright.api.owner.artifacts import ArtifactStore
from rackwright.api.owner.plans import PlanService
from rackwright.api.owner.supplements import Supplements
from rackwright.engine.errors import OperatorError
from rackwright.engine.plan.model import Plan
from rackwright.engine.plan.selection import NeedsDiscoveryError
from rackwright.engine.schedule.events import RunStatus
from rackwright.inventory.facade import Inventory
from rackwright.inventory.runs import NewRun
from tests.integration.api import content
from tests.integration.api.owner.test_erasure import DRIVE, FACTS, RACK

RULE = "accept: {selector: role=x, disk: {type: virtio, max_size: 20GB}, at_most: 1}\n"
EMPTY = {**FACTS, "drives": [{**DRIVE, "has_data": False, "signatures": []}]}
DISCOVER = "stages:\n  look: {{use: test/steps#make, on: all, params: {{dir: {world}}}}}\n"


class Bench:
    """An inventory with one machine that no ramdisk has seen, and its services."""

    def __init__(self, home: Path, inventory: Inventory) -> None:
        overlay, world = home / "content", home / "world"
        content.write_content(overlay, world)
        (overlay / "workflows" / "discover.yaml").write_text(DISCOVER.format(world=world))
        self.inventory = inventory
        self.plans = PlanService(
            inventory,
            ArtifactStore(home / "artifacts", "virtual"),
            content=(overlay,),
            content_root=home / "plans",
        )
        self.started: list[str] = []
        self.has_started = asyncio.Event()
        self.supplements = Supplements(inventory, self.plans, self.start, actor="tester")

    async def start(self, digest: str, *, accepted: str) -> dict[str, Any]:
        assert accepted == digest
        self.started.append(digest)
        self.has_started.set()
        return {"id": (await self.begin(digest)).id}

    async def begin(self, digest: str) -> Any:
        plan = self.plans.get(digest)
        return await self.inventory.begin_run(
            NewRun(
                plan=self.plans.record(plan.digest),
                machine_ids=[machine.id for machine in plan.machines],
                stages=[stage.name for stage in plan.stages],
                actor="tester",
                fingerprint=self.plans.fingerprint_of(plan),
            )
        )

    async def parent(self, rule: str = RULE) -> Plan:
        text = content.SPEC.format(workflow="erasing", count=1, selector="role=x", cluster="c")
        with pytest.raises(NeedsDiscoveryError):
            await self.plans.cluster(text + rule, "c.yaml", ())
        view = await self.plans.cluster(text + rule, "c.yaml", (), dynamic=True)
        return self.plans.get(view["digest"])

    async def discover(self, parent: Plan, facts: dict[str, Any]) -> None:
        """A run of it that has found ``facts``."""
        run = await self.begin(parent.digest)
        (machine,) = parent.machines
        await self.inventory.record_discovered(machine.id, facts)
        await self.inventory.finish_run(
            run.id, status=int(RunStatus.SUCCEEDED), succeeded={machine.id}, failed=set()
        )


def on_a_bench(home: Path, story: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        inventory = Inventory.open(home / "data")
        try:
            await inventory.enrol(RACK, "rack.yaml", actor="tester")
            await story(Bench(home, inventory))
        finally:
            inventory.close()

    asyncio.run(main())


def test_what_the_rule_covers_starts_by_itself_and_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        parent = await bench.parent()
        assert parent.kind == "discover"
        assert parent.target is not None
        assert "at most 1 disk(s): {type: virtio, " in parent.target.rule
        with pytest.raises(OperatorError, match="has not ended well"):
            await bench.supplements.make(parent.digest)
        await bench.discover(parent, EMPTY)
        made = await bench.supplements.make(parent.digest)
        plan = bench.plans.get(made["digest"])
        assert (plan.parent, len(plan.erasures)) == (parent.digest, 1)
        assert bench.started == [plan.digest]
        again = await bench.supplements.make(parent.digest)
        assert again == made
        assert bench.started == [plan.digest]

    on_a_bench(tmp_path, story)


@pytest.mark.parametrize(
    ("rule", "facts", "why"),
    [
        ("", EMPTY, "the spec accepts no rule"),
        (RULE.replace("role=x", "role=y"), EMPTY, "does not match the rule's selector role=y"),
        (RULE.replace("virtio", "nvme"), EMPTY, "the disk D1 of m does not match {type: nvme"),
        (RULE.replace("20GB", "5GB"), EMPTY, "the disk D1 of m does not match"),
    ],
)
def test_what_no_rule_covers_waits_for_an_operator(
    tmp_path: Path, rule: str, facts: dict[str, Any], why: str
) -> None:
    async def story(bench: Bench) -> None:
        parent = await bench.parent(rule)
        await bench.discover(parent, facts)
        made = await bench.supplements.make(parent.digest)
        assert why in made["waits_for_acceptance"]
        assert made["run"] == ""
        assert bench.started == []
        await bench.begin(made["digest"])  # the operator's word
        assert (await bench.supplements.make(parent.digest))["run"]

    on_a_bench(tmp_path, story)


def test_a_discovery_that_a_dead_controller_left_is_followed(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        parent = await bench.parent()
        await bench.discover(parent, EMPTY)
        bench.supplements.follow_left()
        async with asyncio.timeout(60):
            await bench.has_started.wait()
        await bench.supplements.close()

    on_a_bench(tmp_path, story)


def test_one_that_ended_long_ago_is_left_alone(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        parent = await bench.parent()
        await bench.discover(parent, EMPTY)
        late = Supplements(
            bench.inventory, bench.plans, bench.start, actor="tester", clock=lambda: 4e9
        )
        late.follow_left()
        bench.supplements.follow(parent, RunStatus.CANCELLED)
        for _ in range(20):
            await asyncio.sleep(0)
        assert bench.started == []

    on_a_bench(tmp_path, story)
