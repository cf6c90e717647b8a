"""Settings: flags over environment over defaults, and what cannot be is named."""

import os
from pathlib import Path

import pytest

from rackwright.api.settings import Settings, SettingsError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RACKWRIGHT_")]:
        monkeypatch.delenv(name)


def test_a_flag_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACKWRIGHT_DATA_DIR", "/srv/from-environment")
    assert Settings.load().data_dir == Path("/srv/from-environment")
    assert Settings.load(data_dir=Path("/srv/flag")).data_dir == Path("/srv/flag")


def test_content_directories_are_separated_as_in_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACKWRIGHT_CONTENT", "/a:/b")
    assert Settings.load().content == (Path("/a"), Path("/b"))


def test_artifacts_lie_in_the_data_directory_unless_told() -> None:
    assert Settings.load(data_dir=Path("/d")).artifacts == Path("/d/artifacts")
    assert Settings.load(artifacts_dir=Path("/a")).artifacts == Path("/a")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOOT_PORT", "http"),
        ("BOOT_PORT", "0"),
        ("IMAGE_VARIANT", "tiny"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_URL", "nonsense"),
        ("DATA_DIR", "/" + "d" * 120),
        ("OWNER_WAIT_S", "-1"),
    ],
)
def test_a_value_that_cannot_be_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"RACKWRIGHT_{name}", value)
    with pytest.raises(SettingsError, match=f"RACKWRIGHT_{name}"):
        Settings.load()


def test_a_flag_that_cannot_be_is_named_as_a_flag() -> None:
    with pytest.raises(SettingsError, match=r"--data-dir: .* too long"):
        Settings.load(data_dir=Path("/" + "d" * 120))
