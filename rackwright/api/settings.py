"""Settings: flags over environment (``RACKWRIGHT_*``) over defaults."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rackwright.engine.errors import OperatorError

PREFIX = "RACKWRIGHT_"
SOCKET_NAME = "rackwright.sock"
SOCKET_PATH_BYTES = 107  # unix(7): sun_path is 108 bytes with its terminating zero


class SettingsError(OperatorError):
    """A flag or an environment variable has a value that cannot be."""


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/rackwright")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "rackwright"


class Settings(BaseSettings):
    """Everything that an operator may set for one data directory's owner."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    data_dir: Path = Field(default_factory=_default_data_dir)
    content: Annotated[tuple[Path, ...], NoDecode] = ()
    """Content directories laid over ours file by file; the last one wins. In the environment they
    are separated as in PATH."""
    boot_port: int = Field(default=8480, ge=1, le=65535)
    """TCP port of the boot endpoints on each segment's boot-server address."""
    artifacts_dir: Path | None = None
    """Where built ramdisks and images are kept; default ``<data_dir>/artifacts``."""
    image_variant: Literal["generic", "virtual"] = "generic"
    """``generic`` for real hardware, ``virtual`` for the lab."""
    database_url: str = ""
    owner_wait_s: float = Field(default=30.0, ge=0)
    """How long a call waits for an owner that holds the directory and does not answer yet."""
    limits: str = ""
    """Capacities: ``bmc=1,rack=20,image_server=4..64,rack:r7=3``; ``A..B`` adapts itself."""
    windows: str = ""
    """When machines of a site may be erased: ``lab=Sat 01:00-05:00 UTC|Sun 01:00-05:00; b=...``"""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"

    @field_validator("data_dir")
    @classmethod
    def _fits_a_socket(cls, value: Path) -> Path:
        path = os.fsencode(value.absolute() / SOCKET_NAME)
        if len(path) > SOCKET_PATH_BYTES:
            raise ValueError(f"{value} is too long: a Unix socket in it could not be reached")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        if value and "://" not in value:
            raise ValueError(f"{value!r} is no URL such as sqlite:////srv/rackwright.db")
        return value

    @field_validator("limits")
    @classmethod
    def _are_limits(cls, value: str) -> str:
        if value:  # here, since a client that sets none needs no engine
            from rackwright.engine.plan.inputs import parse_limits

            parse_limits(value)
        return value

    @field_validator("windows")
    @classmethod
    def _are_windows(cls, value: str) -> str:
        if value:
            from rackwright.engine.content.windows import parse_site_windows

            parse_site_windows(value)
        return value

    @field_validator("content", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(os.pathsep) if part)
        return value

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """From the environment, ``overrides`` before it. Raises SettingsError, naming what."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            said = "; ".join(_problem(one["loc"], one["msg"], overrides) for one in error.errors())
            raise SettingsError(said, hint="correct it, or unset it for its default") from error

    @property
    def socket_path(self) -> Path:
        return self.data_dir / SOCKET_NAME

    @property
    def artifacts(self) -> Path:
        return self.artifacts_dir or self.data_dir / "artifacts"


def _problem(place: tuple[int | str, ...], message: str, overrides: dict[str, Any]) -> str:
    name = str(place[0]) if place else ""
    what = f"--{name.replace('_', '-')}" if name in overrides else f"{PREFIX}{name.upper()}"
    return f"{what}: {message.removeprefix('Value error, ')}"
