"""The main job, told once on the virtual rack: from powered-off servers to a cluster that is kept.

One rack, one story: each test is a chapter that goes on where the one before it ended. If one
fails, those after it fail at once and say so. Only the electronics are simulated; the operator's
commands, the machines' SSH and what is done to controllers and machines are real.
"""

import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rackwright.api.demo import evidence
from rackwright.lab import rack as racks
from tests.e2e.virtual_rack import VirtualRack, rack_file, traces, wait_until

pytestmark = pytest.mark.rack

MACHINES = ("n1", "n2", "n3")
DISKS = {"n1": "RW-N1-B", "n2": "RW-N2-A", "n3": "RW-N3-A"}
FOREIGN = "RW-N1-A"
# Deadlines are for a machine that is busy with other things too.
BUILD_S = 1200.0
DISCOVER_S = 600.0
INSTALL_S = 1500.0
BOOT_S = 300.0
NO_PXE_S = 900.0  # IPv4 and IPv6, PXE and HTTP, each until it gives up
WITHOUT_SSHD_S = 120
AGAIN_S = 300.0
DONE = ("changed", "satisfied")
ASKING_S = 5.0  # between questions that cost a command each
MID_WRITE_BYTES = 96 << 20

SPEC = """
cluster: e2e
workflow: swarm
pools:
  managers: {count: 3, selector: ""}
  workers: {count: 0, selector: "role=nobody"}
disks:
- {selector: "name=n1", serial: RW-N1-B}
- {selector: "", min_size: 4GiB}
waves:
  install: {canary: 1, max_parallel: 2, halt_at_failures: 3}
"""
ADOPTED_SPEC = """
cluster: borrowed
workflow: swarm
pools:
  managers: {count: 1, selector: "origin=loan"}
  workers: {count: 0, selector: "role=nobody"}
"""


@dataclass
class Story:
    """What one chapter leaves to the next."""

    rack: VirtualRack
    before: set[str]
    """Traces on this host before the rack."""
    spec: Path
    plan: Path
    failed_before: int
    """Tests that had failed when the story began."""
    last: str = ""
    foreign_digest: str = ""
    applied_in_s: float = 0.0
    cluster_id: str = ""
    boot_ids: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def story(request: pytest.FixtureRequest) -> Iterator[Story]:
    home = Path(tempfile.mkdtemp(prefix="rw-e2e-"))
    name = f"e{os.getpid()}"
    vr = VirtualRack(home, f"rw-{name}")
    vr.run("image", "build", "all", "--variant", "virtual", timeout_s=BUILD_S)
    spec = home / "cluster.yaml"
    spec.write_text(SPEC)
    before = traces(*vr.marks)
    try:
        vr.run("lab", "up", str(rack_file(home / "rack.yaml", name)))
        vr.start_controller()
        yield Story(vr, before, spec, home / "plan.json", request.session.testsfailed)
    finally:
        vr.close()


@pytest.fixture(autouse=True)
def chapter(request: pytest.FixtureRequest, story: Story) -> None:
    if request.session.testsfailed > story.failed_before:
        pytest.fail(f"the story broke off in {story.last}", pytrace=False)
    story.last = request.node.name


@pytest.fixture
def rack(story: Story) -> VirtualRack:
    return story.rack


# -- finding out what is there ---------------------------------------------------------------------


def test_enrolling_twice_changes_nothing(story: Story, rack: VirtualRack) -> None:
    story.foreign_digest = racks.disk_digest(rack.lab, "n1", FOREIGN)
    enrolment = str(rack.lab / "enrolment.yaml")
    for result in ("created", "unchanged"):
        rows = rack.json("machine", "enrol", enrolment)
        assert [(row["name"], row["result"]) for row in rows] == [(m, result) for m in MACHINES]


def test_plan_before_discovery_says_that_discovery_comes_first(
    story: Story, rack: VirtualRack
) -> None:
    said = rack.ask("cluster", "plan", str(story.spec))
    assert said.code == 2
    assert "a discovery plan comes first" in said.words()


def test_discovery_survives_the_death_of_its_controller_in_mid_netboot(rack: VirtualRack) -> None:
    discovery = rack.begin("discover", "--yes")
    wait_until(lambda: powered(rack) == set(MACHINES), 120.0, "all machines are powered")
    time.sleep(5.0)  # firmware and iPXE are at work
    rack.kill_controller()
    assert discovery.ends(60.0).code == 1
    rack.start_controller()
    final = rack.json("run", "resume", timeout_s=DISCOVER_S)
    assert (final["status"], final["counts"]["failed"]) == ("succeeded", 0)
    assert_nothing_was_done_twice(rack, final["id"])
    assert len(rack.processes("dnsmasq")) == 1


def test_machine_whose_disk_holds_data_is_held_until_it_is_released(
    story: Story, rack: VirtualRack
) -> None:
    said = rack.ask("cluster", "plan", str(story.spec))
    assert said.code == 2
    assert FOREIGN in said.words()
    assert "release n1" in said.words()
    rack.run("machine", "release", "n1", "--yes")
    assert rack.machine("n1")["state"] == "available"


# -- planning --------------------------------------------------------------------------------------


def test_ambiguous_disk_is_refused_with_the_serials(story: Story, rack: VirtualRack) -> None:
    vague = rack.home / "vague.yaml"
    vague.write_text("".join(line for line in SPEC.splitlines(True) if "RW-N1-B" not in line))
    said = rack.ask("cluster", "plan", str(vague))
    assert said.code == 2
    assert "RW-N1-A" in said.words()
    assert "RW-N1-B" in said.words()


def test_plan_tells_disks_by_serial_and_reboots(story: Story, rack: VirtualRack) -> None:
    plan = rack.json("cluster", "plan", str(story.spec), "--out", str(story.plan))
    erased = {e["machine_id"]: e for e in plan["plan"]["erasures"]}
    for name, serial in DISKS.items():
        erasure = erased[rack.machine(name)["id"]]
        assert (erasure["drive_serial"], erasure["size_bytes"]) == (serial, 6 << 30)
    shown = rack.run("cluster", "plan", str(story.spec)).words()
    assert all(serial in shown for serial in DISKS.values())
    assert "6.4 GB" in shown
    assert "reboots 6" in shown


def test_plan_that_nobody_accepted_is_not_applied(story: Story, rack: VirtualRack) -> None:
    said = rack.ask("cluster", "apply", str(story.spec))
    assert said.code == 2
    assert "not accepted" in said.err
    assert len(rack.json("run", "list")) == 1  # the discovery


def test_stale_plan_is_refused(story: Story, rack: VirtualRack) -> None:
    rack.run("machine", "protect", "n3")
    said = rack.ask("cluster", "apply", str(story.plan))
    assert said.code == 2
    assert "stale" in said.err
    rack.run("machine", "protect", "--off", "n3")
    assert len(rack.json("run", "list")) == 1


# -- the main job, with deaths ---------------------------------------------------------------------


def test_cluster_forms_though_controllers_and_a_machine_die(
    story: Story, rack: VirtualRack
) -> None:
    began = time.monotonic()
    apply = rack.begin("cluster", "apply", str(story.plan))
    canary = machine_in_mid_write(rack)
    rack.kill_controller()
    assert apply.ends(60.0).code == 1
    rack.start_controller()
    resumed = rack.begin("run", "resume", "-o", "json")

    victim = machine_in_mid_write(rack, but=canary)
    rack.kill_qemu(victim)
    wait_until(
        lambda: has_begun(rack, "join-manager"), INSTALL_S, "machines join", every_s=ASKING_S
    )
    rack.kill_controller()
    assert resumed.ends(60.0).code == 1
    rack.start_controller()
    final = rack.json("run", "resume", timeout_s=INSTALL_S)
    story.applied_in_s = time.monotonic() - began

    assert (final["status"], final["failures"]) == ("succeeded", [])
    assert_nothing_was_done_twice(rack, final["id"])
    erased = accepted_erasures(rack, final["id"], story.plan)
    assert erased[canary] == 1  # its image went on where the dead controller had broken off
    assert erased[victim] > 1
    assert_tokens_were_revoked(rack, final["id"])
    assert_death_was_noticed(rack, final["id"], victim)
    assert len(rack.processes("dnsmasq")) == 1
    assert racks.disk_digest(rack.lab, "n1", FOREIGN) == story.foreign_digest


def test_every_machine_is_proved(story: Story, rack: VirtualRack) -> None:
    tasks = rack.json("run", "tasks")
    rows = evidence.collect([rack.machine(name) for name in MACHINES], tasks)
    assert evidence.problems(rows) == []
    assert {row["machine"]: row["disk_serial"] for row in rows} == DISKS
    assert len({row["nonce"] for row in rows}) == 1
    nodes = rack.nodes("n2")
    assert {name: [row["node_id_from_node"]] for name, row in by_machine(rows).items()} == nodes
    story.boot_ids = boot_ids(rack)
    assert {row["machine"]: row["boot_id_after"] for row in rows} == story.boot_ids
    story.cluster_id = rack.json("cluster", "show", "e2e")["cluster_id"]
    assert story.cluster_id


# -- keeping it ------------------------------------------------------------------------------------


def test_second_apply_changes_nothing_though_the_history_was_deleted(
    story: Story, rack: VirtualRack
) -> None:
    for run in rack.json("run", "list"):
        rack.run("run", "delete", run["id"], "--yes")
    assert rack.json("run", "list") == []
    began = time.monotonic()
    final = applied(rack, story.spec)
    assert time.monotonic() - began < story.applied_in_s / 4
    assert (final["status"], final["counts"]["changed"]) == ("succeeded", 0)
    assert boot_ids(rack) == story.boot_ids


def test_stopped_docker_is_repaired_and_nothing_else(story: Story, rack: VirtualRack) -> None:
    rack.ssh("n2", "systemctl stop docker.socket docker")
    final = applied(rack, story.spec)
    assert final["status"] == "succeeded"
    changed = [(t["machine"], t["stage"]) for t in tasks_in(rack, "changed")]
    assert changed == [("n2", "runtime")]
    assert boot_ids(rack) == story.boot_ids


def test_check_without_an_answer_leads_to_no_apply(story: Story, rack: VirtualRack) -> None:
    last = rack.events()[-1]["seq"]
    rack.ssh("n2", f"systemd-run --quiet --on-active={WITHOUT_SSHD_S} systemctl start ssh")
    rack.ssh("n2", "systemctl stop ssh")
    said = rack.ask("cluster", "apply", str(story.spec), "--yes", "-o", "json", timeout_s=AGAIN_S)
    assert (said.code, said.json()["status"]) == (3, "degraded")
    assert [f["machine"] for f in said.json()["failures"]] == ["n2"]
    assert "n2 failed in install" in said.err
    assert "no answer by SSH" in said.err
    touched = [e for e in rack.events(last) if e["kind"] == "intent" and e["machine"] == "n2"]
    assert touched == []
    states = {t["state"] for t in rack.json("run", "tasks", "--machine", "n2")}
    assert states.isdisjoint({"changed", "satisfied"})


def test_run_is_resumed_when_the_machine_answers_again(story: Story, rack: VirtualRack) -> None:
    wait_until(lambda: answers(rack, "n2"), BOOT_S, "sshd of n2 is back")
    final = rack.json("run", "resume", timeout_s=AGAIN_S)
    assert final["status"] == "succeeded"
    # Without n2 the cluster was proved as it was then, and now it is proved whole.
    assert [(t["machine"], t["stage"]) for t in tasks_in(rack, "changed")] == [("n1", "proof")]
    assert boot_ids(rack) == story.boot_ids


def test_reimaged_first_manager_rejoins_its_cluster(story: Story, rack: VirtualRack) -> None:
    before = rack.nodes("n2")
    plan = rack.home / "reinstall.json"
    rack.run("cluster", "plan", str(story.spec), "--reinstall", "n1", "--out", str(plan))
    final = applied(rack, plan, timeout_s=INSTALL_S)
    assert final["status"] == "succeeded"
    after = rack.nodes("n2")
    assert {name: len(ids) for name, ids in after.items()} == dict.fromkeys(MACHINES, 1)
    assert {name for name in MACHINES if after[name] != before[name]} == {"n1"}
    assert rack.json("cluster", "show", "e2e")["cluster_id"] == story.cluster_id
    assert rack.ssh("n1", "docker info -f '{{.Swarm.Cluster.ID}}'") == story.cluster_id
    now = boot_ids(rack)
    assert {name for name in MACHINES if now[name] != story.boot_ids[name]} == {"n1"}
    assert racks.disk_digest(rack.lab, "n1", FOREIGN) == story.foreign_digest


def test_machine_leaves_and_a_uefi_machine_loses_its_nvram(story: Story, rack: VirtualRack) -> None:
    """What the next two chapters begin with: firmware takes minutes to give up on the network."""
    final = rack.json("cluster", "shrink", "e2e", "n3", "--yes", timeout_s=AGAIN_S)
    assert final["status"] == "succeeded"
    assert set(rack.nodes("n1")) == {"n1", "n2"}
    assert rack.ssh("n3", "docker info -f '{{.Swarm.LocalNodeState}}'") == "inactive"
    assert set(rack.json("cluster", "show", "e2e")["members"]) == {"n1", "n2"}
    assert rack.ask("cluster", "shrink", "e2e", "n3", "--yes").code == 2  # it is a member no more
    rack.run("machine", "power", "off", "n2", "--yes")
    racks.wipe_nvram(rack.lab, "n2", pxe_first=True)
    rack.run("machine", "power", "on", "n2")


def test_machine_with_an_os_and_no_bmc_joins_through_the_same_workflow(
    rack: VirtualRack,
) -> None:
    other = rack.home / "other"
    key = client_key(other)
    rack.ssh("n3", f"echo '{key}' >> /root/.ssh/authorized_keys")
    host_key = " ".join(rack.ssh("n3", "cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
    boot_id = rack.boot_id("n3")
    spec = rack.home / "borrowed.yaml"
    spec.write_text(ADOPTED_SPEC)
    rack.run(
        "machine", "add", "borrowed", "--ssh", "root@10.77.0.13", "--host-key", host_key,
        "--label", "origin=loan", data=other,
    )  # fmt: skip
    plan = rack.json("cluster", "plan", str(spec), data=other)
    expected = next(iter(plan["plan"]["profiles"]))["expected"]
    assert (expected["netboot"], expected["install"]) == ("not applicable", "not applicable")
    assert plan["plan"]["erasures"] == []
    final = rack.json("cluster", "apply", str(spec), "--yes", data=other, timeout_s=AGAIN_S)
    assert final["status"] == "succeeded"
    stages = {t["stage"]: t["state"] for t in rack.json("run", "tasks", data=other)}
    assert (stages["init"], stages["proof"]) == ("changed", "changed")
    assert rack.boot_id("n3") == boot_id


def test_uefi_machine_with_wiped_nvram_finds_its_disk(story: Story, rack: VirtualRack) -> None:
    wait_until(
        lambda: answers(rack, "n2"),
        NO_PXE_S,
        "n2 answers under its own certificate",
        every_s=ASKING_S,
    )
    assert rack.boot_id("n2") != story.boot_ids["n2"]
    assert rack.ssh("n2", "findmnt -no SOURCE /").startswith("/dev/nvme0n1")


def test_rack_that_goes_leaves_nothing(story: Story, rack: VirtualRack) -> None:
    rack.stop_controller()
    rack.run("lab", "down")
    assert not rack.lab.exists()
    assert traces(*rack.marks) - story.before == set()


# -- what the story asks again and again -----------------------------------------------------------


def client_key(data: Path) -> str:
    """What docs/enrolment.md tells the operator of a machine with an OS to do."""
    private = data / "keys" / "ssh_client"
    private.parent.mkdir(mode=0o700, parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", private], check=True)
    return private.with_name("ssh_client.pub").read_text().strip()


def applied(rack: VirtualRack, what: Path, *, timeout_s: float = AGAIN_S) -> dict[str, Any]:
    final: dict[str, Any] = rack.json("cluster", "apply", str(what), "--yes", timeout_s=timeout_s)
    return final


def tasks_in(rack: VirtualRack, state: str) -> list[dict[str, Any]]:
    return [task for task in rack.json("run", "tasks") if task["state"] == state]


def boot_ids(rack: VirtualRack) -> dict[str, str]:
    return {name: rack.boot_id(name) for name in MACHINES}


def by_machine(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["machine"]: row for row in rows}


def answers(rack: VirtualRack, name: str) -> bool:
    try:
        return bool(rack.boot_id(name))
    except (ConnectionError, subprocess.TimeoutExpired):
        return False


def powered(rack: VirtualRack) -> set[str]:
    return {str(e["machine"]) for e in intents(rack, "power")}


def intents(rack: VirtualRack, kind: str, *, run: str = "", after: int = 0) -> list[dict[str, Any]]:
    found = [e for e in rack.events(after, run) if e["kind"] == "intent"]
    return [e for e in found if e["detail"] == kind]


def has_begun(rack: VirtualRack, stage: str) -> bool:
    return any((e["kind"], e.get("stage")) == ("issued", stage) for e in rack.events())


def machine_in_mid_write(rack: VirtualRack, but: str = "") -> str:
    """Wait until an image is being written to the disk of a machine other than ``but``."""
    left = [name for name in MACHINES if name != but]

    def writing() -> list[str]:
        return [n for n in left if rack.written_bytes(n, DISKS[n]) > MID_WRITE_BYTES]

    wait_until(lambda: bool(writing()), INSTALL_S, f"one of {left} is being written to")
    return writing()[0]


def assert_nothing_was_done_twice(rack: VirtualRack, run: str) -> None:
    """No task that was done was done again; but a failed install needs its netboot once more."""
    ends = [e for e in rack.events(run=run) if e["kind"] == "ended"]
    done = Counter((e["machine"], e["stage"]) for e in ends if e["status"] in DONE)
    failed = Counter((e["machine"], e["stage"]) for e in ends if e["status"] == "failed")
    for (machine, stage), count in done.items():
        assert count <= 1 + (failed[machine, "install"] if stage == "netboot" else 0)


def accepted_erasures(rack: VirtualRack, run: str, plan: Path) -> Counter[str]:
    """How often each machine was erased: never beyond what the plan accepts."""
    accepted = {e["machine_id"]: e["attempts"] for e in json.loads(plan.read_text())["erasures"]}
    begun = Counter(str(e["machine"]) for e in intents(rack, "erase", run=run))
    assert set(begun) == set(MACHINES)
    for name, count in begun.items():
        assert count <= accepted[rack.machine(name)["id"]]
    return begun


def assert_tokens_were_revoked(rack: VirtualRack, run: str) -> None:
    """Every stage that minted a token revoked it when it settled, and once."""
    minted = {e["stage"] for e in intents(rack, "mint", run=run)}
    revoked = Counter(str(e["stage"]) for e in intents(rack, "revoked", run=run))
    assert minted == {"join-manager"}
    assert revoked == {"join-manager": 1}


def assert_death_was_noticed(rack: VirtualRack, run: str, victim: str) -> None:
    """Its attempt failed, with the console's last words, and a later one installed it."""
    ends = [e for e in rack.events(run=run) if e["kind"] == "ended" and e["machine"] == victim]
    installs = [e for e in ends if e["stage"] == "install" and e["status"] != "unsatisfied"]
    assert [e["status"] for e in installs][-2:] == ["failed", "changed"]
    death = next(e for e in reversed(installs) if e["status"] == "failed")
    assert death["error"]
    assert len(str(death["console"]).splitlines()) > 3
    assert victim in {e["machine"] for e in intents(rack, "power", run=run)}
