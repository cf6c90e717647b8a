import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rackwright.api.dnsmasq import process


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "86400"]) as made:
        # Popen returns while exec is still setting up the new image.
        while b"86400" not in Path(f"/proc/{made.pid}/cmdline").read_bytes():
            os.sched_yield()
        yield made
        made.kill()


def test_record_survives_its_file(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    record = process.record_of(sleeper.pid, "abc")
    process.save(record, tmp_path / "process.json")
    assert process.load(tmp_path / "process.json") == record
    assert [p.name for p in tmp_path.iterdir()] == ["process.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1}', "\x00"])
def test_unreadable_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "process.json").write_text(text)
    assert process.load(tmp_path / "process.json") is None
    assert process.load(tmp_path / "missing") is None


def test_alive_means_that_very_process(sleeper: subprocess.Popen[bytes]) -> None:
    record = process.record_of(sleeper.pid, "")
    assert process.is_alive(record, name="sleep")
    assert not process.is_alive(record, name="dnsmasq")
    assert not process.is_alive(replace(record, start_ticks=1), name="sleep")
    assert not process.is_alive(replace(record, boot_id="another boot"), name="sleep")
    assert process.shares_network(sleeper.pid)
    with pytest.raises(ProcessLookupError):
        process.ProcessHandle(replace(record, start_ticks=1))


def test_handle_ends_what_it_holds_and_a_dead_one_takes_signals(
    sleeper: subprocess.Popen[bytes],
) -> None:
    record = process.record_of(sleeper.pid, "")
    handle = process.ProcessHandle(record)
    assert not handle.has_ended()
    sleeper.kill()
    sleeper.wait()
    assert handle.has_ended()
    handle.signal(signal.SIGTERM)
    handle.close()
    assert not process.is_alive(record, name="sleep")
    with pytest.raises(ProcessLookupError):
        process.record_of(record.pid, "")


def test_running_with_finds_by_whole_argument(sleeper: subprocess.Popen[bytes]) -> None:
    pids = {r.pid for r in process.running_with("86400", name="sleep")}
    assert sleeper.pid in pids
    assert process.running_with("8640", name="sleep") == []
    assert os.getpid() not in pids
