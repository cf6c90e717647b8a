"""Parsers and renderers of the executors, by cases."""

import asyncio
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from rackwright.engine.errors import OperatorError, UnreachableError
from rackwright.engine.executors import scripts, step
from rackwright.engine.executors.console import Ring
from rackwright.engine.executors.context import machine_values, outputs_values
from rackwright.engine.executors.dispatch import CompositeExecutor
from rackwright.engine.executors.files import remote_path
from rackwright.engine.executors.pool import HostKeyError, families, trusted_keys
from rackwright.engine.executors.ports import SshTarget
from rackwright.engine.executors.shell.base import Tail, last_lines
from rackwright.engine.machine import Origin
from tests.unit.engine.executors import fakes
from tests.unit.engine.executors.fake_machines import Rack


@pytest.mark.parametrize(
    ("said", "end"),
    [
        (b"boot b1\nexit 0\n", step.StepEnd(step.End.EXITED, "b1", 0)),
        (b"boot b1\nexit 7\nx\ny\n", step.StepEnd(step.End.EXITED, "b1", 7, "x\ny")),
        (b"welcome to root\nboot b1\nlost\n", step.StepEnd(step.End.LOST, "b1")),
        (b"boot b1\nabsent\n", step.StepEnd(step.End.ABSENT, "b1")),
    ],
)
def test_the_end_of_a_step_is_read(said: bytes, end: step.StepEnd) -> None:
    assert step.read_end(said) == end


@pytest.mark.parametrize(
    "said", [b"", b"boot b1\n", b"exit 0\n", b"boot b1\nexit \n", b"\xff\n\xff"]
)
def test_anything_else_is_no_answer(said: bytes) -> None:
    with pytest.raises(UnreachableError):
        step.read_end(said)


def test_names_of_a_step_are_plain() -> None:
    named = step.Step("/run/rackwright", "../r 1", "join;x", 2)
    assert named.directory == "/run/rackwright/_r_1/join_x/2"
    assert named.unit == "rackwright-_r_1-join_x-2"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["ID=debian"], ("debian",)),
        (['ID="rocky"', 'ID_LIKE="rhel centos fedora"'], ("rocky", "rhel", "centos", "fedora")),
        ([], ()),
    ],
)
def test_families_of_os_release(lines: list[str], expected: tuple[str, ...]) -> None:
    assert families(lines) == expected


def test_a_script_is_chosen_by_the_nearest_family() -> None:
    stage = replace(fakes.stage("one"), scripts={"apply": "a", "apply@debian": "d"})
    assert scripts.chosen(stage, "apply", ("ubuntu", "debian")) == "d"
    assert scripts.chosen(stage, "apply", ("rocky", "rhel")) == "a"
    assert scripts.chosen(stage, "check", ("debian",)) is None
    assert scripts.has(stage, "apply")
    assert not scripts.has(stage, "verify")


def test_a_target_that_proves_nothing_is_refused() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    pinned = SshTarget("a", 22, "root", "", pinned_host_key=key)
    assert trusted_keys(pinned)[0]
    certified = SshTarget("a", 22, "root", "m-1", certificate_authority=key)
    assert trusted_keys(certified)[1]
    for target in (
        SshTarget("a", 22, "root", "m-1"),
        SshTarget("a", 22, "root", "m-1", pinned_host_key=key, certificate_authority=key),
        SshTarget("a", 22, "root", "", certificate_authority=key),
        SshTarget("a", 22, "root", "m-1", pinned_host_key="ssh-ed25519 nonsense"),
    ):
        with pytest.raises(HostKeyError):
            trusted_keys(target)


def test_a_ring_keeps_the_last_clean_lines() -> None:
    ring = Ring(lines=2)
    ring.add(b"one\ntwo\n\n\x1b[31mthr")
    ring.add(b"ee\x1b[0m\r\nfo\xffur\nhalf")
    assert ring.text().splitlines() == ["three", "fo\ufffdur", "half"]


def test_a_tail_keeps_the_end() -> None:
    tail = Tail(4)
    for chunk in (b"abc", b"def", b"ghi", b"j"):
        tail.add(chunk)
    assert tail.value() == b"ghij"
    assert last_lines(b"a\n\nb\nc\n", 2) == "b\nc"


def test_a_pushed_files_name_is_plain() -> None:
    assert remote_path("/d", "abc", Path("/x/a b;c.tar")) == "/d/abc-a_b_c.tar"


def test_outputs_are_single_valued_where_one_machine_gave_them() -> None:
    plan = fakes.plan(["m-1", "m-2"], [fakes.stage("init"), fakes.stage("join"), fakes.stage("x")])
    values = outputs_values(
        plan, {"init": {"m-1": {"addr": "a"}}, "join": {"m-1": {"n": 1}, "m-2": {"n": 2}}}
    )
    assert values == {
        "init": {"addr": "a", "by_machine": {"m-1": {"addr": "a"}}},
        "join": {"by_machine": {"m-1": {"n": 1}, "m-2": {"n": 2}}},
    }


def test_a_machines_values_are_plain() -> None:
    values = machine_values(fakes.machine("m-1", firmware=None), "192.0.2.1")
    assert values["firmware"] == ""
    assert values["drives"] == []
    assert values["address"] == "192.0.2.1"


def test_a_script_outside_its_role_is_refused() -> None:
    rack = Rack(fakes.stage("one"), fakes.machine("m-1", origin=Origin.NETBOOT))
    for path in ("../other/apply.sh", "/etc/passwd"):
        with pytest.raises(OperatorError):
            rack.scope.role_script(fakes.stage("one"), path)


def test_a_stage_of_no_executor_is_refused_at_once() -> None:
    with pytest.raises(OperatorError, match="ansible"):
        CompositeExecutor(fakes.plan(["m-1"], [fakes.stage("one", executor="ansible")]), {})


def joined(scripts_of_stage: dict[str, str], families: tuple[str, ...]) -> str:
    stage = replace(fakes.stage("one"), scripts=scripts_of_stage)
    rack = Rack(stage, fakes.machine("m-1", origin=Origin.NETBOOT))
    texts = {
        "lib.sh": "of={{ machine }}\n",
        "lib@debian.sh": "of=debian\n",
        "check.sh": "echo {{ x }} $of\n",
    }
    scope = replace(rack.scope, script_text=lambda _role, path: texts[path])
    return asyncio.run(
        scripts.ready(
            scope,
            scope.subject(0),
            "check.sh",
            {"machine": "m", "x": 1},
            directory="/run/d",
            families=families,
        )
    )


def test_a_roles_prelude_comes_between_ours_and_the_script() -> None:
    text = joined({"check": "check.sh", "prelude": "lib.sh"}, ("alpine",))
    assert text.startswith("export RW_DIR=/run/d\n")
    assert text.endswith("\n}\n# the role's script\nof=m\necho 1 $of\n")


def test_a_roles_prelude_is_chosen_by_family_and_may_be_absent() -> None:
    by_family = {"check": "check.sh", "prelude": "lib.sh", "prelude@debian": "lib@debian.sh"}
    assert joined(by_family, ("ubuntu", "debian")).endswith("script\nof=debian\necho 1 $of\n")
    assert joined({"check": "check.sh"}, ("debian",)).endswith("script\necho 1 $of\n")
