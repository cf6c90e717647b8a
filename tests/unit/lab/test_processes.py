"""A process is recognised for certain or not at all."""

import json
import os
from pathlib import Path

from rackwright.lab import processes
from rackwright.lab.processes import Process


def test_recorded_process_is_found_again(tmp_path: Path) -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    processes.record(me, tmp_path / "p.json")
    assert processes.recorded(tmp_path / "p.json") == me


def test_other_process_under_the_same_pid_is_not_taken_for_it(tmp_path: Path) -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    processes.record(Process(me.pid, me.start_ticks - 1), tmp_path / "p.json")
    assert processes.recorded(tmp_path / "p.json") is None


def test_missing_or_damaged_record_is_no_process(tmp_path: Path) -> None:
    assert processes.recorded(tmp_path / "none.json") is None
    (tmp_path / "half.json").write_text('{"pid":')
    assert processes.recorded(tmp_path / "half.json") is None
    (tmp_path / "other.json").write_text(json.dumps({"pid": 1}))
    assert processes.recorded(tmp_path / "other.json") is None


def test_only_the_labs_own_command_lines_are_ours() -> None:
    prefix = b"/lab/machines/"
    chassis = [b"python", b"-m", b"rackwright.lab.chassis", b"--directory", b"/lab/machines/n1"]
    guest = [b"/usr/bin/qemu-system-x86_64", b"-drive", b"if=none,file=/lab/machines/n1/d.raw"]
    assert processes._is_ours(chassis, prefix)
    assert processes._is_ours(guest, prefix)
    assert not processes._is_ours([b"vim", b"/lab/machines/n1/machine.json"], prefix)
    assert not processes._is_ours([b"python", b"-m", b"rackwright.lab.chassis"], prefix)
    other = [b"qemu-system-x86_64", b"-drive", b"file=/lab2/machines/n1/d.raw"]
    assert not processes._is_ours(other, prefix)
