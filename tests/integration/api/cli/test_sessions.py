"""Who owns the data directory, and what a call says when nobody can."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rackwright.api.owner.thread import OwnerThread
from rackwright.inventory.errors import OwnedElsewhereError
from rackwright.inventory.owner import DirectoryLock
from tests.integration.api.controller import Controller, Done, rackwright


def test_a_call_without_an_owner_is_its_own(controller: Controller) -> None:
    with controller.client() as client:
        assert client.is_owner_ours
        with controller.client() as second:
            assert not second.is_owner_ours
            assert second.get("/v1/system")["pid"] == client.get("/v1/system")["pid"]
    assert not controller.settings.socket_path.exists()


def test_a_second_owner_is_refused(controller: Controller) -> None:
    with controller.owner(), pytest.raises(OwnedElsewhereError, match="owns"):
        OwnerThread(controller.settings).__enter__()


def test_a_directory_that_is_held_by_a_silent_process_is_told_of(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACKWRIGHT_OWNER_WAIT_S", "0.3")
    with DirectoryLock(controller.data):
        done = controller.run("machine", "list")
    assert done.code == 1
    assert "owns" in done.err
    assert "hint:" in done.err


def test_a_call_waits_for_an_owner_that_is_starting(controller: Controller) -> None:
    lock = DirectoryLock(controller.data)
    answers: list[Done] = []
    call = threading.Thread(target=lambda: answers.append(controller.run("machine", "list")))
    call.start()
    threading.Event().wait(0.5)
    lock.release()
    with controller.owner():
        call.join()
    assert answers[0].code == 0


def test_a_socket_that_a_dead_owner_left_is_no_obstacle(controller: Controller) -> None:
    controller.settings.socket_path.touch()
    controller.ok("machine", "list")


def test_the_socket_is_for_the_owner_alone(controller: Controller) -> None:
    with controller.owner():
        assert controller.settings.socket_path.stat().st_mode & 0o777 == 0o600
        assert controller.data.stat().st_mode & 0o077 == 0


def test_a_path_too_long_for_a_socket_is_told_of(tmp_path: Path) -> None:
    done = rackwright("--data-dir", str(tmp_path / ("d" * 120)), "machine", "list")
    assert done.code == 2
    assert "too long" in done.err
    assert "--data-dir" in done.err


def test_a_data_directory_that_is_a_file_is_told_of(controller: Controller) -> None:
    path = controller.file("not-a-directory", "")
    done = rackwright("--data-dir", str(path), "machine", "list")
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert "not-a-directory" in done.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RACKWRIGHT_BOOT_PORT", "http"),
        ("RACKWRIGHT_BOOT_PORT", "70000"),
        ("RACKWRIGHT_IMAGE_VARIANT", "tiny"),
        ("RACKWRIGHT_LOG_LEVEL", "loud"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    done = controller.run("machine", "list")
    assert done.code == 2
    assert name in done.err
    assert "Traceback" not in done.err


def test_a_content_directory_that_is_not_there_is_told_of(controller: Controller) -> None:
    done = controller.run("--content", "/nonexistent/content", "workflow", "list")
    assert done.code == 2
    assert "/nonexistent/content" in done.err


def test_a_database_that_cannot_be_opened_is_told_of(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACKWRIGHT_DATABASE_URL", "nonsense")
    done = controller.run("machine", "list")
    assert done.code in (1, 2)
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err


def test_light_commands_import_nothing_heavy() -> None:
    code = (
        "import sys, rackwright.api.cli.main\n"
        "heavy = ('sqlalchemy', 'fastapi', 'networkx', 'asyncssh', 'sushy', 'rackwright.lab.rack',"
        " 'rackwright.engine.content', 'rackwright.api.owner', 'structlog')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
