import base64
import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode

from rackwright.engine.errors import OperatorError, UnreachableError
from rackwright.engine.executors.ansible import answers
from rackwright.engine.executors.ansible.directory import (
    Contents,
    Member,
    PrivateDirectory,
    inventory_name,
)
from rackwright.engine.executors.ansible.plain_yaml import unsafe
from rackwright.engine.executors.ansible.redact import Redactor
from rackwright.engine.executors.ansible.report import Ending, Folded, HostReport
from rackwright.engine.executors.pool import HostKeyError
from rackwright.engine.executors.ports import SshTarget
from rackwright.engine.executors.steps import Answer
from rackwright.engine.schedule.events import Result
from tests.unit.engine.executors import fakes

SECRET = b'two "lines"\nand $more/+'
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDmWpOHyRvNLuv3xLZ4BnX3ZRkQvU2cqXkz0tBtZ2m8f"


def folded(*lines: object, secrets: tuple[bytes, ...] = ()) -> Folded:
    found = Folded(Redactor(secrets))
    for line in lines:
        found.add(line if isinstance(line, bytes) else json.dumps(line).encode())
    return found


def recap(**counts: dict[str, int]) -> dict[str, object]:
    return {"kind": "recap", "processed": {"a": 1, "b": 1}, **counts}


def stats(host: str, value: object) -> dict[str, object]:
    return {"kind": "stats", "host": host, "data": {"rackwright": value}}


def test_values_come_back_as_they_were_and_tagged() -> None:
    value = {"a b": ["x{{ y }}", 1, 1.5, True, None, {}], 'q"\\': "ü\n\t\x85\u2028\U0001f600'"}

    tagged = []

    def construct(_: object, node: ScalarNode) -> str:
        tagged.append(node.value)
        return str(node.value)

    reader = YAML(typ="safe", pure=True)
    reader.constructor.add_constructor("!unsafe", construct)
    assert reader.load(unsafe(value)) == value
    assert len(tagged) == 2
    with pytest.raises(TypeError):
        unsafe(object())


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET.decode(),
        'two "lines"',
        "and $more/+",
        json.dumps(SECRET.decode()),
        json.dumps(json.dumps(SECRET.decode())),
        base64.b64encode(SECRET).decode(),
        "and%20%24more/%2B",
        "and%20%24more%2F%2B",
        repr(SECRET.decode()),
    ],
)
def test_a_secret_is_found_however_it_is_spelled(spelled: str) -> None:
    redacted = str(Redactor([SECRET]).value({"x": [f"a {spelled} b"]}))
    assert "more" not in redacted
    assert "lines" not in redacted
    assert base64.b64encode(SECRET).decode() not in redacted


def test_secrets_go_before_a_message_is_cut() -> None:
    long = "x" * 1990 + "0123456789secret"
    line = {"kind": "failed", "host": "a", "task": "t", "result": {"msg": long}}
    report = folded(line, recap(failures={"a": 1}), secrets=(b"0123456789secret",)).of("a")
    assert report.ending is Ending.FAILED
    assert "0123" not in report.message


def test_the_recap_judges() -> None:
    failed = {"kind": "failed", "host": "a", "task": "t", "result": {"msg": "m", "stderr": "e"}}
    assert folded(failed, recap()).of("a") == HostReport(Ending.DONE)
    assert folded(failed, recap(failures={"a": 1})).of("a").message == "t: m: e"
    assert folded(failed, recap(dark={"a": 1})).of("a").ending is Ending.UNREACHABLE
    assert folded(recap(changed={"a": 2})).of("a").changed == 2
    hidden = {"kind": "failed", "host": "a", "result": {"censored": "x"}}
    assert "no_log" in folded(hidden, recap(failures={"a": 1})).of("a").message


def test_a_play_without_a_recap_tells_of_nobody() -> None:
    found = folded(stats("a", {"status": "satisfied"}), {"kind": "said", "text": "ERROR! x"})
    assert found.of("a") == HostReport(Ending.ABSENT, "ERROR! x")
    assert folded(b"{", b"[]", b"1", recap()).of("c").ending is Ending.ABSENT


def test_reports_are_each_machines_own_and_add_up() -> None:
    found = folded(
        stats("a", {"status": "unsatisfied"}), stats("a", {"why": "x"}), stats("b", 7), recap()
    )
    assert found.of("a").stats == {"status": "unsatisfied", "why": "x"}
    assert found.of("b").stats is None


@pytest.mark.parametrize(
    ("report", "answer"),
    [
        (HostReport(Ending.DONE, stats={"status": "satisfied"}), Answer.SATISFIED),
        (HostReport(Ending.DONE, stats={"status": "unsatisfied"}), Answer.UNSATISFIED),
        (HostReport(Ending.DONE, stats={"status": True}), Answer.UNKNOWN),
        (HostReport(Ending.DONE, stats={}), Answer.UNKNOWN),
        (HostReport(Ending.DONE), Answer.UNKNOWN),
        (HostReport(Ending.FAILED, stats={"status": "satisfied"}), Answer.UNKNOWN),
        (HostReport(Ending.ABSENT, stats={"status": "satisfied"}), Answer.UNKNOWN),
    ],
)
def test_only_a_report_answers_a_check(report: HostReport, answer: Answer) -> None:
    assert answers.of_check(report)[0] is answer


def test_verify_needs_evidence_and_declared_outputs() -> None:
    stage = fakes.stage("one", outputs=("address",))

    def judged(stats: dict[str, object] | None, *, changed: bool = True) -> Result:
        report = HostReport(Ending.DONE, stats=stats)
        return answers.after_verify(stage, report, changed=changed, checked=False).result

    good: dict[str, object] = {"status": "satisfied", "evidence": {}, "outputs": {"address": "x"}}
    assert judged(good) is Result.CHANGED
    assert judged(good, changed=False) is Result.SATISFIED
    assert judged({"status": "satisfied", "evidence": {"address": "x"}}) is Result.CHANGED
    assert judged({"status": "satisfied", "evidence": {}}) is Result.FAILED
    assert judged({"status": "satisfied", "outputs": {"address": "x"}}) is Result.FAILED
    assert judged({**good, "evidence": {"x": "y" * 70_000}}) is Result.FAILED
    assert judged({**good, "status": "unsatisfied"}) is Result.FAILED
    assert judged(None, changed=False) is Result.UNKNOWN
    assert judged(None) is Result.FAILED


def test_an_unreachable_machine_is_told_from_a_wrong_one() -> None:
    with pytest.raises(UnreachableError):
        answers.reached(HostReport(Ending.UNREACHABLE, "timed out"), "m")
    with pytest.raises(HostKeyError):
        answers.reached(HostReport(Ending.UNREACHABLE, "Host key verification failed."), "m")


def member(name: str = "m1", **changes: object) -> Member:
    target = {"address": "192.0.2.1", "port": 22, "user": "root", "principal": "p1"}
    target |= {"certificate_authority": KEY, **changes}
    return Member("id-1", name, SshTarget(**target), {})  # type: ignore[arg-type]


def test_a_name_that_is_a_pattern_is_not_used() -> None:
    assert inventory_name(member("web-1.example")) == "web-1.example"
    for name in ("web[1:3]", "all", "localhost", "a b", "{{ x }}", "-oProxyCommand=x", ""):
        assert inventory_name(member(name)) == "id-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"principal": "p1 -o ProxyCommand=x"},
        {"principal": "*"},
        {"principal": ""},
        {"certificate_authority": ""},
        {"pinned_host_key": KEY},
        {"address": "-oProxyCommand=x"},
        {"user": "a b"},
    ],
)
def test_what_ssh_could_misread_is_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    directory = PrivateDirectory(tmp_path / "p" / "play", "mark")
    directory.make()
    with pytest.raises(HostKeyError):
        directory.write([member(**changes)], Contents("r", {}, "main.yml", {}), Path("/k"))


def test_nothing_in_the_directory_is_for_others(tmp_path: Path) -> None:
    directory = PrivateDirectory(tmp_path / "p" / "play", "mark")
    directory.make()
    files = {"tasks/main.yml": b"[]", "role.yaml": b"", "install/apply.sh": b""}
    contents = Contents("os/x", files, "main.yml", {"a": "b"}, {"token": b"s3cret"})
    directory.write([member()], contents, Path("/keys/client"))
    found = sorted(directory.path.rglob("*"))
    assert all(path.stat().st_mode & 0o077 == 0 for path in found)
    assert [p for p in found if p.is_file() and b"s3cret" in p.read_bytes()] == [
        directory.path / "secrets.yml"
    ]
    assert not list(directory.path.rglob("*.sh"))
    known = (directory.path / "ssh/known0").read_text()
    assert known == f"@cert-authority p1 {KEY}\n"
    environment = directory.environment(Path("/venv/bin"))
    assert environment["ANSIBLE_HOST_KEY_CHECKING"] == "True"
    directory.drop("id-1")
    assert not (directory.path / "ssh/known0").exists()
    with pytest.raises(OperatorError):
        directory.write([member()], contents, Path("/a b"))
