"""What every in-band executor promises, over real SSH and on the controller."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

from rackwright.engine.schedule.events import Mode, Result
from tests.conformance.executors.bench import Bench, until
from tests.conformance.executors.conftest import MakeBench
from tests.unit.engine.executors import fakes


def test_satisfied_check_applies_nothing_and_gives_evidence(
    bench: MakeBench, tmp_path: Path
) -> None:
    world = bench(
        check="satisfied", apply=f"touch {tmp_path}/applied", verify="echo log; echo '{\"a\": 1}'"
    )
    outcome = asyncio.run(world.once())
    assert outcome.result is Result.SATISFIED
    assert json.loads(outcome.evidence) == {"a": 1}
    assert not (tmp_path / "applied").exists()


def test_unsatisfied_is_applied_then_verified(bench: MakeBench, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    world = bench(
        stages=[fakes.stage("one", outputs=("where",))],
        check=f"[ -e {mark} ] || unsatisfied 'no mark'",
        apply=f"touch {mark}",
        verify=f'[ -e {mark} ]; echo \'{{"where": "here", "more": 2}}\'',
    )
    first = asyncio.run(world.once())
    assert (first.result, first.error) == (Result.CHANGED, "")
    assert first.outputs == {"where": "here"}
    second = asyncio.run(world.once(number=2))
    assert second.result is Result.SATISFIED


def test_probe_asks_the_check_alone(bench: MakeBench, tmp_path: Path) -> None:
    world = bench(check="unsatisfied 'not here'", apply=f"touch {tmp_path}/applied")
    outcome = asyncio.run(world.once(mode=Mode.PROBE))
    assert outcome.result is Result.UNSATISFIED
    assert json.loads(outcome.evidence) == {"why": "not here"}
    assert not (tmp_path / "applied").exists()


def test_a_check_that_breaks_is_unknown_and_applies_nothing(
    bench: MakeBench, tmp_path: Path
) -> None:
    broken = {
        "missing-command-here": "127",
        "kill -KILL $$": "exit",
        "if": "syntax error",
    }
    for number, (check, said) in enumerate(broken.items(), 1):
        world = bench(check=check, apply=f"touch {tmp_path}/applied")
        outcome = asyncio.run(world.once(number=number))
        assert outcome.result is Result.UNKNOWN, check
        assert said in outcome.error
    assert not (tmp_path / "applied").exists()


def test_a_check_that_hangs_is_unknown_and_is_killed(bench: MakeBench, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    world = bench(check=f"sh -c 'echo $$ > {pid}; exec sleep 600' & wait")
    outcome = asyncio.run(world.once(timeout_s=4.0))
    assert outcome.result is Result.UNKNOWN
    asyncio.run(until(lambda: not alive(pid)))


def test_apply_that_fails_says_why(bench: MakeBench) -> None:
    world = bench(apply="echo out; echo 'no such package' >&2; exit 7")
    outcome = asyncio.run(world.once())
    assert outcome.result is Result.FAILED
    assert "exited with 7" in outcome.error
    assert "no such package" in outcome.error
    assert "no such package" in outcome.console


def test_apply_out_of_time_is_ended_on_the_machine(bench: MakeBench, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    world = bench(apply=f"sh -c 'echo $$ > {pid}; exec sleep 600'")
    outcome = asyncio.run(world.once(timeout_s=6.0))
    assert outcome.result is Result.FAILED
    assert "ran out of time" in outcome.error
    asyncio.run(until(lambda: not alive(pid)))


def test_failed_verify_fails_the_attempt(bench: MakeBench) -> None:
    applied = asyncio.run(bench(verify="fail 'not joined'").once())
    assert applied.result is Result.FAILED
    assert "verify failed" in applied.error
    assert "not joined" in applied.error
    refuted = asyncio.run(bench(check="satisfied", verify="false").once(number=2))
    assert refuted.result is Result.FAILED
    assert "verify refutes check" in refuted.error


def test_verify_without_evidence_proves_nothing(bench: MakeBench) -> None:
    outcome = asyncio.run(bench(verify="echo '{}'; echo done").once())
    assert outcome.result is Result.FAILED
    assert "not one JSON object" in outcome.error


def test_a_dropped_executor_is_resumed_in_mid_apply(bench: MakeBench, tmp_path: Path) -> None:
    go, count = tmp_path / "go", tmp_path / "count"
    os.mkfifo(go)
    world = bench(apply=f"echo ran >> {count}; read -r _ < {go}")

    async def scenario() -> Result:
        first = world.executor()
        first.start([fakes.attempt(0)])
        await until(count.exists)
        await first.close()
        assert not world.sink.outcomes
        second = world.executor()
        second.start([fakes.attempt(0, resumed=True)])
        await asyncio.to_thread(go.write_text, "on\n")
        outcome = await world.sink.outcome(0)
        await second.close()
        return outcome.result

    assert asyncio.run(scenario()) is Result.CHANGED
    assert count.read_text() == "ran\n"


def test_a_resumed_attempt_that_ended_meanwhile_is_not_repeated(
    bench: MakeBench, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    world = bench(apply=f"echo ran >> {count}")

    async def scenario() -> Result:
        first = world.executor()
        first.start([fakes.attempt(0)])
        await until((world.step("m-1", "one") / "exit").exists)
        await first.close()
        world.sink.outcomes.clear()
        second = world.executor()
        second.start([fakes.attempt(0, resumed=True)])
        outcome = await world.sink.outcome(0)
        await second.close()
        return outcome.result

    assert asyncio.run(scenario()) is Result.CHANGED
    assert count.read_text() == "ran\n"


def test_the_machine_refuses_a_duplicate_start(bench: MakeBench, tmp_path: Path) -> None:
    go, count = tmp_path / "go", tmp_path / "count"
    os.mkfifo(go)
    world = bench(apply=f"echo ran >> {count}; read -r _ < {go}")

    async def scenario() -> None:
        one = world.executor()
        other_sink = world.sink = fakes.Sink()
        other = world.executor()
        one.start([fakes.attempt(0)])
        await until(count.exists)
        other.start([fakes.attempt(0)])
        await asyncio.to_thread(go.write_text, "on\n")
        assert (await other_sink.outcome(0)).result is Result.CHANGED
        await one.close()
        await other.close()

    asyncio.run(scenario())
    assert count.read_text() == "ran\n"


def test_cancel_ends_the_check_on_the_machine(bench: MakeBench, tmp_path: Path) -> None:
    cancelled_in(bench(check=hang(tmp_path)), tmp_path, "check")


def test_cancel_ends_the_apply_on_the_machine(bench: MakeBench, tmp_path: Path) -> None:
    cancelled_in(bench(apply=hang(tmp_path)), tmp_path, "apply")


def test_a_resumed_attempt_cancelled_at_once_is_ended_on_the_machine(
    bench: MakeBench, tmp_path: Path
) -> None:
    world = bench(apply=hang(tmp_path))

    async def scenario() -> Result:
        first = world.executor()
        first.start([fakes.attempt(0)])
        await until(lambda: wrote(tmp_path / "pid"))
        await first.close()
        second = world.executor()
        second.start([fakes.attempt(0, resumed=True)])
        second.cancel(0, 1)
        outcome = await world.sink.outcome(0)
        await second.close()
        return outcome.result

    assert asyncio.run(scenario()) is Result.CANCELLED
    asyncio.run(until(lambda: not alive(tmp_path / "pid")))


def test_an_older_controller_is_refused(bench: MakeBench, tmp_path: Path) -> None:
    world = bench(apply=f"echo ran >> {tmp_path}/count")
    world.epoch = 7
    assert asyncio.run(world.once()).result is Result.CHANGED
    world.epoch = 6
    world.sink = fakes.Sink()
    outcome = asyncio.run(world.once(number=2))
    assert outcome.result is Result.REFUSED
    assert "epoch 7" in outcome.error
    assert (tmp_path / "count").read_text() == "ran\n"


def test_a_retry_ends_an_earlier_attempt_that_still_runs(bench: MakeBench, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    world = bench(apply=f"[ {{{{ attempt }}}} = 2 ] || {{ echo $$ > {pid}; exec sleep 600; }}")

    async def scenario() -> Result:
        first = world.executor()
        first.start([fakes.attempt(0)])
        await until(lambda: wrote(pid))
        await first.close()
        second = world.executor()
        second.start([fakes.attempt(0, 2)])
        outcome = await world.sink.outcome(0, 2)
        await second.close()
        return outcome.result

    assert asyncio.run(scenario()) is Result.CHANGED
    asyncio.run(until(lambda: not alive(pid)))


def test_scripts_pick_themselves_by_os_family(bench: MakeBench, tmp_path: Path) -> None:
    family = next(
        line.split("=")[1].strip().strip('"')
        for line in Path("/etc/os-release").read_text().splitlines()
        if line.startswith("ID=")
    )
    stage = fakes.stage("one")
    chosen = {**stage.scripts, f"apply@{family}": "special.sh"}
    world = bench(
        stages=[replace(stage, scripts=chosen)],
        content={"special.sh": f"touch {tmp_path}/special"},
        apply="false",
    )
    assert asyncio.run(world.once()).result is Result.CHANGED
    assert (tmp_path / "special").exists()


def test_operator_input_is_data_in_a_script(bench: MakeBench, tmp_path: Path) -> None:
    hostile = f"x'; touch {tmp_path}/owned; $(touch {tmp_path}/owned) `id`"
    world = bench(
        stages=[fakes.stage("one", params={"name": hostile})],
        apply=f"printf %s {{{{ params.name | q }}}} > {tmp_path}/said",
    )
    assert asyncio.run(world.once()).result is Result.CHANGED
    assert (tmp_path / "said").read_text() == hostile
    assert not (tmp_path / "owned").exists()


def test_large_output_is_capped_and_its_end_kept(bench: MakeBench) -> None:
    world = bench(
        check="satisfied", verify="head -c 3000000 /dev/zero | tr '\\0' x; echo; echo '{\"z\": 1}'"
    )
    outcome = asyncio.run(world.once())
    assert json.loads(outcome.evidence) == {"z": 1}


def test_nothing_but_the_outcome_is_left_of_a_step(bench: MakeBench) -> None:
    world = bench(apply="echo a lot of output")
    assert asyncio.run(world.once()).result is Result.CHANGED
    left = {path.name for path in world.step("m-1", "one").iterdir()}
    assert left <= {"exit", "launched", "lock", "alive", "pid", "child"}


def hang(tmp_path: Path) -> str:
    return f"sh -c 'echo $$ > {tmp_path}/pid; exec sleep 600'"


def cancelled_in(world: Bench, tmp_path: Path, phase: str) -> None:
    async def scenario() -> None:
        executor = world.executor()
        executor.start([fakes.attempt(0)])
        await until(lambda: wrote(tmp_path / "pid"))
        executor.cancel(0, 1)
        outcome = await world.sink.outcome(0)
        assert outcome.result is Result.CANCELLED
        assert phase in outcome.error
        await until(lambda: not alive(tmp_path / "pid"))
        await executor.close()

    asyncio.run(scenario())


def alive(pid_file: Path) -> bool:
    """Does the process whose id a script wrote there still run? A zombie does not."""
    pid = pid_file.read_text().strip()
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return bool(pid) and stat.rsplit(")", 1)[-1].split()[:1] not in ([], ["Z"], ["X"])


def wrote(pid_file: Path) -> bool:
    return pid_file.exists() and bool(pid_file.read_text().strip())
