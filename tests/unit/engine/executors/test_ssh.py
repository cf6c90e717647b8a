"""Courses of ordinary stages that need more than one machine's cooperation, in memory."""

import asyncio
from dataclasses import replace

from rackwright.engine.errors import UnreachableError
from rackwright.engine.executors.election import elect
from rackwright.engine.executors.pool import HostKeyError
from rackwright.engine.executors.shell.base import Completed
from rackwright.engine.executors.ssh import SshExecutor, authority
from rackwright.engine.machine import MachineId, Origin
from rackwright.engine.schedule.events import Mode, Result
from tests.unit.engine.executors import fakes
from tests.unit.engine.executors.fake_machines import OK, Rack

DISCOVER = fakes.stage("discover", role="hardware/discover", apply_in="ramdisk")
INIT = fakes.stage("init", cluster_scoped=True, outputs=("cluster_id",))
OURS = fakes.machine("m-1", origin=Origin.NETBOOT, installed=fakes.INSTALLED, bmc=fakes.BMC)
MEMBER = Completed(0, b'{"cluster_id":"abc"}\n', b"")


def managers(*names: str) -> Rack:
    return Rack(INIT, *(replace(OURS, id=MachineId(name), name=f"name-{name}") for name in names))


def election(rack: Rack) -> tuple[int, str]:
    async def scenario() -> tuple[int, str]:
        executor = SshExecutor(rack.scope, rack.reach, boot=rack.boot)
        chosen = await elect(executor._inband, 0, range(len(rack.scope.plan.machines)), pause_s=0.0)
        await executor.close()
        return chosen

    return asyncio.run(scenario())


def test_an_init_records_the_cluster_it_formed() -> None:
    rack = Rack(INIT, OURS)
    rack.system("os", "b").verify = MEMBER
    outcome = rack.run()
    assert outcome.result is Result.CHANGED
    assert rack.directory.clusters == {"c1": "abc"}


def test_an_init_never_applies_where_a_cluster_is_recorded() -> None:
    rack = Rack(INIT, OURS)
    rack.directory.clusters["c1"] = "abc"
    rack.system("os", "b")
    assert rack.run().result is Result.REFUSED
    assert "apply" not in rack.order


def test_the_first_of_several_strangers_is_elected() -> None:
    rack = managers("m-1", "m-2")
    rack.system("os", "b")
    rack.system("os", "b", "m-2")
    assert election(rack) == (0, "")


def test_a_member_of_the_recorded_cluster_is_elected() -> None:
    rack = managers("m-1", "m-2")
    rack.directory.clusters["c1"] = "abc"
    rack.system("os", "b")
    member = rack.system("os", "b", "m-2")
    member.check, member.verify = OK, MEMBER
    assert election(rack) == (1, "")


def test_nobody_is_elected_while_a_candidate_is_silent() -> None:
    rack = managers("m-1", "m-2")
    rack.system("os", "b")
    index, error = election(rack)
    assert index == -1
    assert "name-m-2" in error


def test_a_recorded_cluster_without_members_stops() -> None:
    rack = managers("m-1", "m-2")
    rack.directory.clusters["c1"] = "abc"
    index, error = election(rack)
    assert index == -1
    assert "no member answers" in error


def test_discovery_is_recorded() -> None:
    rack = Rack(DISCOVER, replace(OURS, installed=None))
    rack.system("ramdisk", "r").verify = Completed(0, b'{"drives":[]}', b"")
    assert rack.run().result is Result.CHANGED
    assert rack.directory.recorded == {"m-1": {"drives": []}}


def test_a_probe_of_a_ramdisk_stage_asks_whether_the_ramdisk_runs() -> None:
    probe = fakes.attempt(0, mode=Mode.PROBE)
    assert Rack(DISCOVER, replace(OURS, installed=None)).run(probe).result is Result.UNSATISFIED
    rack = Rack(DISCOVER, OURS)
    rack.system("ramdisk", "r")
    rack.gone("ramdisk")
    assert rack.run(probe).result is Result.UNKNOWN
    rack = Rack(DISCOVER, OURS)
    rack.system("ramdisk", "r")
    rack.gone("ramdisk")
    rack.system("os", "b")
    assert rack.run(probe).result is Result.UNSATISFIED


def test_the_wrong_machine_is_refused_not_unknown() -> None:
    rack = Rack(fakes.stage("one"), OURS)
    rack.reach.systems["m-1", "os"] = HostKeyError("the host key is another's")
    assert rack.run().result is Result.REFUSED


def test_a_machine_that_this_run_booted_is_brought_back() -> None:
    rack = Rack(fakes.stage("one"), OURS, booted=True)
    power = rack.directory.powers["m-1"]
    revive = power.power_on

    async def power_on() -> None:
        await revive()
        rack.system("os", "b2")

    power.power_on = power_on  # type: ignore[method-assign]
    assert rack.run(fakes.attempt(0, 1)).result is Result.UNKNOWN
    assert rack.order == []
    assert rack.run(fakes.attempt(0, 2)).result is Result.CHANGED
    assert rack.order == ["intend power", "power_on", "check", "apply", "verify"]


def test_a_machine_that_this_run_did_not_boot_is_left_alone() -> None:
    rack = Rack(fakes.stage("one"), OURS)
    assert rack.run(fakes.attempt(0, 2)).result is Result.UNKNOWN
    assert rack.order == []


def test_a_reboot_that_is_refused_by_the_machine_is_a_reset() -> None:
    rack = Rack(fakes.stage("one", reboots="disk"), OURS)
    system = rack.system("os", "b1")

    def fails() -> None:
        rack.system("os", "b2")
        raise UnreachableError("the connection was lost")

    system.on_reboot = fails
    outcome = rack.run()
    assert outcome.result is Result.CHANGED, outcome.error
    assert rack.order == ["check", "apply", "disarm", "reboot", "reset", "verify"]


def test_an_internal_error_tells_no_values() -> None:
    rack = Rack(fakes.stage("one"), OURS)
    system = rack.system("os", "b")

    def breaks() -> None:
        raise RuntimeError("s3cr3t")

    system.on_apply = breaks
    outcome = rack.run()
    assert outcome.result is Result.FAILED
    assert "s3cr3t" not in repr(outcome)
    assert "RuntimeError" in outcome.error


def test_authority_is_the_keys_not_its_comments() -> None:
    assert authority("ssh-ed25519 AAAA me@here") == authority("ssh-ed25519 AAAA")
    assert authority("ssh-ed25519 AAAA") != authority("ssh-ed25519 AAAB")
