"""What SSH alone can get wrong: identity, lost connections, secrets, files, many machines."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import asyncssh
import pytest

from rackwright.engine.errors import UnreachableError
from rackwright.engine.executors.pool import HostKeyError, LoginRefusedError, Pool
from rackwright.engine.executors.ports import RamdiskContact, SshTarget
from rackwright.engine.executors.scope import Journaled
from rackwright.engine.executors.shell.base import script
from rackwright.engine.machine import Origin
from rackwright.engine.plan.model import SecretSource
from rackwright.engine.schedule.events import Mode, Result
from tests.conformance.executors.bench import scripts, until
from tests.conformance.executors.conftest import MakeBench
from tests.conformance.executors.sshd import Keys, Sshd, free_port, line
from tests.unit.engine.executors import fakes

CANARY = "s3cr3t-canary-value"


async def boot_id(keys: Keys, target: SshTarget) -> str:
    pool = Pool(lambda: keys.client_path)
    try:
        return (await pool.link("m-1", "os", target)).boot_id
    finally:
        await pool.close()


def test_pinned_key_and_certificate_are_accepted(shared_sshd: Sshd, keys: Keys) -> None:
    here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert asyncio.run(boot_id(keys, shared_sshd.target())) == here
    assert asyncio.run(boot_id(keys, shared_sshd.pinned())) == here


def test_another_identity_is_refused(shared_sshd: Sshd, keys: Keys) -> None:
    stranger = line(asyncssh.generate_private_key("ssh-ed25519"))
    wrong = {
        "another pinned key": replace(shared_sshd.pinned(), pinned_host_key=stranger),
        "another authority": shared_sshd.target(certificate_authority=stranger),
        "another machine's principal": shared_sshd.target(principal="m-2"),
        "its ramdisk's principal": shared_sshd.target(principal="m-1.ramdisk"),
        "a pinned key of another kind": replace(
            shared_sshd.pinned(),
            pinned_host_key=line(asyncssh.generate_private_key("ecdsa-sha2-nistp256")),
        ),
        "nothing to check": SshTarget("127.0.0.1", shared_sshd.port, "root", "m-1"),
        "no principal to check": shared_sshd.target(principal=""),
    }
    accepted = []
    for what, target in wrong.items():
        try:
            asyncio.run(boot_id(keys, target))
        except HostKeyError:
            continue
        accepted.append(what)
    assert not accepted


def test_a_wrong_host_key_is_not_retried_quietly(ssh_bench: MakeBench, tmp_path: Path) -> None:
    world = ssh_bench(apply=f"touch {tmp_path}/applied")
    world.directory.targets["m-1"] = replace(world.directory.targets["m-1"], principal="m-9")
    outcome = asyncio.run(world.once())
    assert outcome.result is Result.REFUSED
    assert "host key" in outcome.error
    assert "m-9" in outcome.error
    assert not (tmp_path / "applied").exists()


def test_a_refused_login_is_told_from_silence(own_sshd: Sshd, keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Keys.make(tmp_path / "other")
    with pytest.raises(LoginRefusedError, match="authorized_keys"):
        asyncio.run(boot_id(other, own_sshd.target()))
    silent = SshTarget(
        "127.0.0.1", free_port(), "root", "m-1", certificate_authority=keys.authority_line
    )
    with pytest.raises(UnreachableError, match="no answer by SSH"):
        asyncio.run(boot_id(keys, silent))


def test_the_operators_ssh_setup_takes_no_part(
    shared_sshd: Sshd, tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  Port 1\n  ProxyCommand false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "no-agent"))
    assert asyncio.run(boot_id(keys, shared_sshd.target()))


def test_an_unreachable_machine_is_unknown(ssh_bench: MakeBench, own_sshd: Sshd) -> None:
    world = ssh_bench()
    own_sshd.stop()
    outcome = asyncio.run(world.once(timeout_s=3.0))
    assert outcome.result is Result.UNKNOWN


def test_a_killed_session_leaves_the_check_unanswered(
    ssh_bench: MakeBench, own_sshd: Sshd, tmp_path: Path
) -> None:
    world = ssh_bench(
        check=f"touch {tmp_path}/checking; sleep 600", apply=f"touch {tmp_path}/applied"
    )

    async def scenario() -> Result:
        executor = world.executor()
        executor.start([fakes.attempt(0)])
        await until((tmp_path / "checking").exists)
        own_sshd.drop_sessions()
        outcome = await world.sink.outcome(0)
        await executor.close()
        return outcome.result

    assert asyncio.run(scenario()) is Result.UNKNOWN
    assert not (tmp_path / "applied").exists()


def test_apply_survives_a_lost_connection(
    ssh_bench: MakeBench, own_sshd: Sshd, tmp_path: Path
) -> None:
    go, count = tmp_path / "go", tmp_path / "count"
    os.mkfifo(go)
    world = ssh_bench(apply=f"echo ran >> {count}; read -r _ < {go}")

    async def scenario() -> None:
        executor = world.executor()
        executor.start([fakes.attempt(0)])
        await until(count.exists)
        own_sshd.drop_sessions()
        await until(lambda: bool(own_sshd.sessions()))
        await asyncio.to_thread(go.write_text, "on\n")
        outcome = await world.sink.outcome(0)
        await executor.close()
        assert (outcome.result, outcome.error) == (Result.CHANGED, "")

    asyncio.run(scenario())
    assert count.read_text() == "ran\n"


def test_one_connection_serves_all_stages(ssh_bench: MakeBench, own_sshd: Sshd) -> None:
    stages = [fakes.stage(name) for name in ("one", "two", "three")]
    content = {**scripts("two"), **scripts("three")}
    world = ssh_bench(stages=stages, content=content)

    async def scenario() -> int:
        executor = world.executor()
        executor.start([fakes.attempt(task) for task in range(3)])
        for task in range(3):
            assert (await world.sink.outcome(task)).result is Result.CHANGED
        count = len(own_sshd.sessions())
        await executor.close()
        return count

    assert asyncio.run(scenario()) == 1


def test_many_machines_at_once(ssh_bench: MakeBench, own_sshd: Sshd) -> None:
    names = [f"m-{number}" for number in range(1, 9)]
    world = ssh_bench(machines=[fakes.machine(name) for name in names])
    world.directory.targets = {name: own_sshd.target() for name in names}

    async def scenario() -> list[Result]:
        executor = world.executor(commands=4)
        executor.start([fakes.attempt(task, timeout_s=40.0) for task in range(len(names))])
        results = [(await world.sink.outcome(task)).result for task in range(len(names))]
        await executor.close()
        return results

    assert asyncio.run(scenario()) == [Result.CHANGED] * len(names)


def test_files_are_pushed_once_and_checked(ssh_bench: MakeBench, tmp_path: Path) -> None:
    local = tmp_path / "a bundle.tar"
    local.write_bytes(os.urandom(700_000))
    world = ssh_bench(
        stages=[fakes.stage("one", files={"bundle": "bundle/x"}, apply_in="ramdisk")],
        apply="cp {{ files.bundle | q }} " + str(tmp_path / "copy"),
        machines=[fakes.machine("m-1", origin=Origin.NETBOOT)],
    )
    world.directory.files["bundle/x"] = local
    target = world.directory.targets["m-1"]
    here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    world.directory.contacts["m-1"] = RamdiskContact("127.0.0.1", here, target)
    assert asyncio.run(world.once()).result is Result.CHANGED
    assert (tmp_path / "copy").read_bytes() == local.read_bytes()
    pushed = next(Path("/run/rackwright/files").glob("*-a_bundle.tar"))
    try:
        before = pushed.stat().st_mtime_ns
        assert asyncio.run(world.once(number=2)).result is Result.CHANGED
        assert pushed.stat().st_mtime_ns == before
        pushed.write_bytes(b"spoiled")
        assert asyncio.run(world.once(number=3)).result is Result.CHANGED
        assert pushed.read_bytes() == local.read_bytes()
    finally:
        pushed.unlink()


def test_a_truncated_script_runs_nothing(tmp_path: Path) -> None:
    text = f"touch {tmp_path}/ran\n"
    done = subprocess.run(
        ["bash", "-c", script("supervisor"), "rackwright", str(len(text) + 10), "5", "lifeline"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 125
    assert not (tmp_path / "ran").exists()


def test_existing_machine_has_nothing_to_install(ssh_bench: MakeBench, own_sshd: Sshd) -> None:
    install = fakes.stage("one", destructive="disk", reboots="disk", apply_in="ramdisk")
    world = ssh_bench(stages=[install])
    outcome = asyncio.run(world.once(mode=Mode.PROBE))
    assert outcome.result is Result.SATISFIED
    assert json.loads(outcome.evidence)["not_applicable"] is True
    own_sshd.stop()
    silent = asyncio.run(world.once(number=2, mode=Mode.PROBE, timeout_s=3.0))
    assert silent.result is Result.UNKNOWN


def test_a_secret_is_in_no_argument_environment_or_log(
    ssh_bench: MakeBench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = SecretSource("mint.sh", "revoke.sh", "managers.one", 600.0)
    world = ssh_bench(
        stages=[fakes.stage("one", secrets={"token": source})],
        content={
            # the canary is spelled so that the scripts themselves do not hold it
            "mint.sh": f"echo minted >> {tmp_path}/mints; echo s3cr3t-$(echo canary)-value",
            "revoke.sh": f"echo revoked >> {tmp_path}/mints",
        },
        apply=f'secret token | sha256sum > {tmp_path}/sum; sleep 1; [ -n "$(secret token)" ]',
    )
    world.leader = "m-1"
    caplog.set_level("DEBUG")

    async def scenario() -> None:
        executor = world.executor()
        executor.start([fakes.attempt(0)])
        outcome = await world.sink.outcome(0)
        assert outcome.result is Result.CHANGED, outcome
        assert CANARY not in repr(outcome)
        executor.stage_settled(0)
        await executor.close()

    with watching_processes() as seen:
        asyncio.run(scenario())
    assert (tmp_path / "sum").exists()
    assert (tmp_path / "mints").read_text() == "minted\nrevoked\n"
    assert [kind for kind, *_ in world.sink.intents] == ["mint", "revoked"]
    assert len(seen) > 3
    assert not [text for text in seen if CANARY.encode() in text]
    assert CANARY not in caplog.text
    assert not (world.step("m-1", "one") / "secrets").exists()


def test_secrets_of_a_dead_controller_are_revoked(ssh_bench: MakeBench, tmp_path: Path) -> None:
    source = SecretSource("mint.sh", "revoke.sh", "managers.one", 600.0)
    world = ssh_bench(
        stages=[fakes.stage("one", secrets={"token": source})],
        content={"mint.sh": "echo x", "revoke.sh": f"echo revoked >> {tmp_path}/mints"},
    )
    world.leader = "m-1"
    world.journaled = Journaled(unrevoked={"one": frozenset({"token"})})

    async def scenario() -> None:
        executor = world.executor()
        executor.stage_settled(0)
        await executor.close()
        again = world.executor()
        world.journaled = Journaled()
        await again.close()

    asyncio.run(scenario())
    assert (tmp_path / "mints").read_text() == "revoked\n"


def test_askers_share_one_mint(ssh_bench: MakeBench, tmp_path: Path, own_sshd: Sshd) -> None:
    source = SecretSource("mint.sh", None, "managers.one", 600.0)
    names = ["m-1", "m-2", "m-3"]
    world = ssh_bench(
        stages=[fakes.stage("one", secrets={"token": source})],
        content={"mint.sh": f"echo minted >> {tmp_path}/mints; echo x"},
        apply='[ "$(secret token)" = x ]',
        machines=[fakes.machine(name) for name in names],
    )
    world.leader = "m-1"
    world.directory.targets = {name: own_sshd.target() for name in names}

    async def scenario() -> None:
        executor = world.executor()
        executor.start([fakes.attempt(task) for task in range(3)])
        for task in range(3):
            assert (await world.sink.outcome(task)).result is Result.CHANGED
        await executor.close()

    asyncio.run(scenario())
    assert (tmp_path / "mints").read_text() == "minted\n"


@contextmanager
def watching_processes() -> Iterator[set[bytes]]:
    """Arguments and environments of every process on this host, meanwhile."""
    seen: set[bytes] = set()
    over = Event()

    def watch() -> None:
        while not over.is_set():
            for path in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        seen.add((path / name).read_bytes())
                    except OSError:
                        continue

    thread = Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
