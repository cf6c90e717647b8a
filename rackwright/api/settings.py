"""Settings: flags over environment (``RACKWRIGHT_*``) over defaults."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/rackwright")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "rackwright"


class Settings(BaseSettings):
    """Everything that an operator may set for one data directory's owner."""

    model_config = SettingsConfigDict(env_prefix="RACKWRIGHT_", frozen=True)

    data_dir: Path = Field(default_factory=_default_data_dir)
    content: tuple[Path, ...] = ()
    """Content directories laid over ours file by file; the last one wins."""
    boot_port: int = 8480
    """TCP port of the boot endpoints on each segment's boot-server address."""
    artifacts_dir: Path | None = None
    """Where built ramdisks and images are kept; default ``<data_dir>/artifacts``."""
    image_variant: str = "generic"
    """``generic`` for real hardware, ``virtual`` for the lab."""
    debian_mirror: str = ""
    """Debian mirror for image builds; default: the system's apt configuration."""
    database_url: str = ""
    log_level: str = "warning"

    @property
    def socket_path(self) -> Path:
        return self.data_dir / "rackwright.sock"

    @property
    def artifacts(self) -> Path:
        return self.artifacts_dir or self.data_dir / "artifacts"
