"""The Ansible executor on real sshd with certified host keys: answers, identity, ends, secrets."""

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import asyncssh
import pytest

from rackwright.engine.errors import MachineError
from rackwright.engine.executors.ansible import leftovers
from rackwright.engine.executors.ansible.directory import REMOTE_MARK
from rackwright.engine.executors.scope import Journaled
from rackwright.engine.plan.model import SecretSource
from rackwright.engine.schedule.events import Mode, Result
from tests.conformance.executors.ansible_bench import AnsibleBench, role, shell, stage, told
from tests.conformance.executors.bench import until
from tests.conformance.executors.sshd import Keys, Sshd, line
from tests.conformance.executors.test_ssh import watching_processes
from tests.unit.engine.executors import fakes

CANARY = "s3cr3t-canary-value"
MACHINES = 4
WHEN = "  when: rackwright.machine.id == 'm-{}'\n"


def unless(number: int) -> str:
    return WHEN.format(number).replace("==", "!=")


class MakeBench(Protocol):
    def __call__(self, files: dict[str, str], count: int = 1, **given: object) -> AnsibleBench: ...


@pytest.fixture(scope="module")
def servers(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sshd]]:
    base = tmp_path_factory.mktemp("ansible-sshd")
    names = [f"m-{number}" for number in range(1, MACHINES + 1)]
    started = {name: Sshd.start(base / name, keys, name) for name in names}
    yield started
    for sshd in started.values():
        sshd.stop()


@pytest.fixture
def make(keys: Keys, servers: dict[str, Sshd]) -> Iterator[MakeBench]:
    made: list[AnsibleBench] = []

    def bench(files: dict[str, str], count: int = 1, **given: object) -> AnsibleBench:
        chosen = dict(list(servers.items())[:count])
        made.append(AnsibleBench(chosen, keys, files, **given))  # type: ignore[arg-type]
        return made[-1]

    yield bench
    for one in made:
        assert not list(one.root.iterdir()), "nothing of a play stays"
        markers = {play.marker for play in one.journal_of(0)}
        assert not leftovers.marked(markers)
        one.remove()


def remote(markers: set[str]) -> list[int]:
    """What a play started on machines, which here are this host."""
    wanted = tuple(f"{REMOTE_MARK}={marker}-".encode() for marker in markers)
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if any(word.startswith(wanted) for word in path.read_bytes().split(b"\0")):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_each_machine_is_answered_for_itself(make: MakeBench, tmp_path: Path) -> None:
    mine = "{{ rackwright.machine.id }}"
    status = "{{ 'satisfied' if rackwright.machine.id == 'm-1' else 'unsatisfied' }}"
    fail = "- ansible.builtin.fail: {msg: cannot tell}\n"
    check = told(status, why="not yet") + unless(3) + fail + WHEN.format(4)
    apply = shell(f"echo applied > {tmp_path}/{mine}") + (
        f"- name: break it\n  ansible.builtin.fail: {{msg: it broke}}\n{WHEN.format(9)}"
    )
    verify = told("satisfied", evidence={"on": mine}, outputs={"address": mine})
    bench = make(role(check, apply, verify), MACHINES, stages=[stage(outputs=("address",))])
    first, second, third, fourth = asyncio.run(bench.outcomes())
    assert (first.result, first.outputs) == (Result.SATISFIED, {"address": "m-1"}), first
    assert (second.result, second.error) == (Result.CHANGED, ""), second
    assert json.loads(second.evidence) == {"address": "m-2", "on": "m-2"}
    assert third.result is Result.UNKNOWN
    assert "reported nothing" in third.error
    assert fourth.result is Result.UNKNOWN
    assert "cannot tell" in fourth.error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m-2"]
    # one check and one apply; m-1 was verified meanwhile
    assert len({detail["marker"] for *_, detail in bench.sink.intents}) == 4


def test_failures_say_which_task_and_why(make: MakeBench) -> None:
    apply = (
        "- name: spoil m-1\n  ansible.builtin.command: ls /nonexistent-path\n"
        + WHEN.format(1)
        + "- block:\n  - ansible.builtin.fail: {msg: rescued}\n"
        "  rescue:\n  - ansible.builtin.debug: {msg: fine}\n"
    )
    verify = (
        told("unsatisfied", why="not as it should be")
        + WHEN.format(2)
        + told("satisfied", evidence={})
        + WHEN.format(3)
    )
    bench = make(role(apply=apply, verify=verify), MACHINES)
    first, second, third, fourth = asyncio.run(bench.outcomes())
    assert first.result is Result.FAILED
    assert "spoil m-1" in first.error
    assert "nonexistent-path" in first.error
    assert (second.result, second.error) == (Result.FAILED, "verify failed: not as it should be")
    assert third.result is Result.CHANGED, third
    assert fourth.result is Result.FAILED
    assert "proves nothing" in fourth.error


def test_a_playbook_that_cannot_be_read_is_unknown(make: MakeBench) -> None:
    bench = make(role(check="- no.such.module_at_all: {}\n"))
    (outcome,) = asyncio.run(bench.outcomes())
    assert outcome.result is Result.UNKNOWN
    assert "no.such.module_at_all" in outcome.error


def test_a_probe_never_applies(make: MakeBench, tmp_path: Path) -> None:
    bench = make(role(apply=shell(f"touch {tmp_path}/applied")))
    (outcome,) = asyncio.run(bench.outcomes(mode=Mode.PROBE))
    assert outcome.result is Result.UNSATISFIED
    assert json.loads(outcome.evidence) == {"why": "not yet"}
    assert not (tmp_path / "applied").exists()


def test_values_are_never_templates(make: MakeBench, tmp_path: Path) -> None:
    evil = "{{ lookup('pipe', 'touch " + str(tmp_path) + "/owned') }}"
    check = told("satisfied")
    verify = told(
        "satisfied", evidence={"p": "{{ text }}", "l": "{{ rackwright.machine.labels.x }}"}
    )
    bench = make(
        role(check, "", verify), labels={"x": evil}, stages=[stage(params={"text": evil + " ü\n"})]
    )
    (outcome,) = asyncio.run(bench.outcomes())
    assert not (tmp_path / "owned").exists()
    assert outcome.result is Result.SATISFIED, outcome
    assert json.loads(outcome.evidence) == {"l": evil, "p": evil + " ü\n"}


def test_a_wrong_identity_is_refused(make: MakeBench, tmp_path: Path) -> None:
    stranger = line(asyncssh.generate_private_key("ssh-ed25519"))
    bench = make(role(check=shell(f"touch {tmp_path}/$SSH_CONNECTION")), MACHINES)
    targets = bench.directory.targets
    targets["m-1"] = replace(targets["m-1"], principal="m-9")
    targets["m-2"] = replace(targets["m-2"], certificate_authority=stranger)
    targets["m-3"] = replace(bench.sshd["m-3"].pinned(), pinned_host_key=stranger)
    targets["m-4"] = replace(bench.sshd["m-4"].target(), certificate_authority="")
    outcomes = asyncio.run(bench.outcomes())
    assert [o.result for o in outcomes] == [Result.REFUSED] * MACHINES, outcomes
    assert all("key" in o.error for o in outcomes)
    assert not list(tmp_path.iterdir())


def test_a_pinned_key_is_accepted_and_silence_is_unknown(
    make: MakeBench, keys: Keys, tmp_path: Path
) -> None:
    bench = make(role(check=shell("true") + told("satisfied")), 2)
    targets = bench.directory.targets
    targets["m-1"] = bench.sshd["m-1"].pinned()
    targets["m-2"] = replace(targets["m-2"], port=1)
    first, second = asyncio.run(bench.outcomes())
    assert first.result is Result.SATISFIED, first
    assert second.result is Result.UNKNOWN
    assert "no answer by SSH" in second.error


def test_a_secret_is_nowhere_but_in_its_file(
    make: MakeBench,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG")
    secret = "{{ rackwright_secrets.token }}"
    apply = (
        f"- name: use it\n  ansible.builtin.shell: cat > {tmp_path}/got\n"
        f"  args: {{stdin: '{secret}'}}\n"
        f"- name: show {secret}\n  ansible.builtin.debug: {{msg: 'it is {secret}'}}\n"
        f"{told('satisfied', x=secret)}"
        f"- name: fail\n  ansible.builtin.shell: cat >&2; sleep 1; exit 3\n"
        f"  args: {{stdin: 'token={secret} {{{{ rackwright_secrets.token | b64encode }}}}'}}\n"
    )
    source = SecretSource("mint.sh", "revoke.sh", "managers.one", 600.0)
    bench = make(
        role(apply=apply),
        stages=[stage(secrets={"token": source})],
        # the canary is spelled so that the scripts themselves do not hold it
        scripts={"mint.sh": "echo s3cr3t-$(echo canary)-value", "revoke.sh": "true"},
        leader="m-1",
    )
    artefacts: set[bytes] = set()

    async def scenario() -> None:
        executor = bench.executor()
        executor.start([fakes.attempt(0, timeout_s=60.0)])
        while (0, 1) not in bench.sink.outcomes:
            with contextlib.suppress(FileNotFoundError):  # they come and go while we look
                for path in bench.root.rglob("*"):
                    # an event passes from callback to ansible-runner as a file that goes at once
                    passing = path.name == "secrets.yml" or path.name.endswith("-partial.json")
                    if not passing and path.is_file():
                        artefacts.add(path.read_bytes())
                        assert path.stat().st_mode & 0o077 == 0, path
            await asyncio.sleep(0.02)
        executor.stage_settled(0)
        await bench.close(executor)

    with watching_processes() as seen:
        asyncio.run(scenario())
    outcome = bench.sink.outcomes[0, 1]
    assert outcome.result is Result.FAILED
    assert "token=[redacted] [redacted]" in outcome.error
    assert (tmp_path / "got").read_text().strip() == CANARY
    assert len(seen) > 3
    assert len(artefacts) > 5
    spelled = [CANARY.encode(), b"czNjcjN0LWNhbmFyeS12YWx1Z"]
    for text in (*seen, *artefacts, repr(outcome).encode(), repr(bench.sink.intents).encode()):
        assert not any(form in text for form in spelled), text[-3000:]
    shown = capfd.readouterr()
    assert CANARY not in caplog.text + shown.out + shown.err


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
def test_an_end_ends_the_work_on_the_machine(make: MakeBench, tmp_path: Path, how: str) -> None:
    work = shell(f"touch {tmp_path}/begun", "sleep 611 & sleep 612")
    bench = make(role(check=work))
    timeout_s = 60.0 if how == "cancelled" else 10.0

    async def scenario() -> Result:
        executor = bench.executor()
        executor.start([fakes.attempt(0, timeout_s=timeout_s)])
        await until((tmp_path / "begun").exists, within_s=40)
        assert remote({str(d["marker"]) for *_, d in bench.sink.intents})
        if how == "cancelled":
            executor.cancel(0, 1)
        outcome = await bench.sink.outcome(0)
        await bench.close(executor)
        return outcome.result

    expected = Result.CANCELLED if how == "cancelled" else Result.UNKNOWN
    assert asyncio.run(scenario()) is expected
    assert not remote({str(d["marker"]) for *_, d in bench.sink.intents})


def test_one_machine_leaves_and_the_others_go_on(make: MakeBench, tmp_path: Path) -> None:
    mine = f"{tmp_path}/{{{{ rackwright.machine.id }}}}"
    apply = shell(
        f"touch {mine}.begun", f"until test -e {tmp_path}/go; do sleep 0.1; done"
    ) + shell(f"touch {mine}.done")
    bench = make(role(apply=apply), 3)

    def done() -> list[str]:
        return sorted(path.name for path in tmp_path.glob("*.done"))

    async def scenario() -> list[Result]:
        executor = bench.executor()
        executor.start([fakes.attempt(t, timeout_s=60.0) for t in range(3)])
        await until(lambda: len(list(tmp_path.glob("*.begun"))) == 3, within_s=40)
        executor.cancel(1, 1)
        assert (await bench.sink.outcome(1)).result is Result.CANCELLED
        assert not done()
        (tmp_path / "go").touch()
        results = [(await bench.sink.outcome(t)).result for t in range(3)]
        await bench.close(executor)
        return results

    assert asyncio.run(scenario()) == [Result.CHANGED, Result.CANCELLED, Result.CHANGED]
    assert done() == ["m-1.done", "m-3.done"]


def test_a_resume_ends_an_orphan_first(make: MakeBench, tmp_path: Path) -> None:
    """The controller is killed, and the child with it, so that nothing ends the playbook."""
    script = tmp_path / "log"
    apply = shell(f"echo begun >> {script}", f"sleep 20; echo late >> {script}")
    check = told("unsatisfied")
    bench = make(role(check, apply))

    async def dead() -> None:
        executor = bench.executor()
        executor.start([fakes.attempt(0, timeout_s=60.0)])
        await until(script.exists, within_s=40)

    pid = os.fork()
    if not pid:  # the controller that will die: its journal goes to a file
        try:
            asyncio.run(_journaling(bench, dead, tmp_path / "journal"))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    intents = json.loads((tmp_path / "journal").read_text())
    bench.sink.intents.extend(
        (kind, task, number, detail) for kind, task, number, detail in intents
    )
    plays = bench.journal_of(0)
    marker = plays[-1].marker
    assert plays[-1].phase == "apply"
    assert leftovers.marked({marker}), "the playbook outlives its controller"
    assert remote({marker})
    bench.journaled = Journaled(plays={0: plays})
    bench.files = role(
        check=shell(f"echo checked >> {script}") + told("satisfied"),
        apply=shell(f"echo applied again >> {script}"),
    )
    (outcome,) = asyncio.run(bench.outcomes(resumed=True))
    assert outcome.result is Result.CHANGED, outcome
    assert not remote({marker})
    assert not leftovers.marked({marker})
    assert script.read_text().split() == ["begun", "checked"]


async def _journaling(bench: AnsibleBench, work: object, path: Path) -> None:
    assert callable(work)
    await work()
    path.write_text(json.dumps(bench.sink.intents))  # noqa: ASYNC240 - the last it does
    play = bench.journal_of(0)[-1]
    os.kill(play.pid, 19)  # SIGSTOP: its lifeline cannot act
    os._exit(0)


def test_a_dead_controllers_child_ends_by_itself(make: MakeBench, tmp_path: Path) -> None:
    bench = make(role(apply=shell(f"touch {tmp_path}/begun", "sleep 30")))

    async def dead() -> None:
        executor = bench.executor()
        executor.start([fakes.attempt(0, timeout_s=60.0)])
        await until((tmp_path / "begun").exists, within_s=40)
        (tmp_path / "journal").write_text(json.dumps(bench.sink.intents))
        os._exit(0)

    pid = os.fork()
    if not pid:
        try:
            asyncio.run(dead())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    intents = json.loads((tmp_path / "journal").read_text())
    marker = str(intents[-1][3]["marker"])

    async def scenario() -> None:
        await until(lambda: not leftovers.marked({marker}))
        bench.sink.intents.extend(tuple(intent) for intent in intents)
        bench.journaled = Journaled(plays={0: bench.journal_of(0)})
        executor = bench.executor()
        executor.start([fakes.attempt(0, resumed=True)])
        executor.cancel(0, 1)
        assert (await bench.sink.outcome(0)).result is Result.CANCELLED
        await bench.close(executor)

    asyncio.run(scenario())
    assert not remote({marker})


def test_what_cannot_be_journaled_is_not_begun(make: MakeBench, tmp_path: Path) -> None:
    bench = make(role(check=shell(f"touch {tmp_path}/begun")))

    async def refuse(*_: object) -> int:
        raise MachineError("the owner epoch is no longer ours")

    bench.sink.intend = refuse  # type: ignore[method-assign,assignment]
    (outcome,) = asyncio.run(bench.outcomes())
    assert outcome.result is Result.UNKNOWN
    assert "epoch" in outcome.error
    assert not (tmp_path / "begun").exists()


def test_an_election_takes_who_is_a_member(make: MakeBench) -> None:
    status = "{{ 'satisfied' if rackwright.machine.id == 'm-2' else 'unsatisfied' }}"
    bench = make(role(check=told(status)), 3)

    async def scenario() -> tuple[int, str]:
        executor = bench.executor()
        executor.elect(0, 0, [0, 1, 2])
        found = await bench.sink.leader()
        await bench.close(executor)
        return found

    assert asyncio.run(scenario()) == (1, "")


def test_many_machines_share_few_plays(
    keys: Keys, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("many")
    servers = {f"n-{n}": Sshd.start(base / f"n-{n}", keys, f"n-{n}") for n in range(20)}
    mine = f"{tmp_path}/{{{{ rackwright.machine.id }}}}"
    bench = AnsibleBench(servers, keys, role(apply=shell(f"touch {mine}")))
    try:
        outcomes = asyncio.run(bench.outcomes())
    finally:
        for sshd in servers.values():
            sshd.stop()
        bench.remove()
    assert [o.result for o in outcomes] == [Result.CHANGED] * 20, outcomes
    assert len(list(tmp_path.iterdir())) == 20
    assert len({detail["marker"] for *_, detail in bench.sink.intents}) == 3
