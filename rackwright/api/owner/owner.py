"""The owner: the one process that writes a data directory, drives its runs and serves its API.

It holds the directory's lock from enter to exit. On exit everything it started is ended; runs stop
as by a crash and can be resumed.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import structlog
import uvicorn

from rackwright.api import logs
from rackwright.api.admin.app import admin_app
from rackwright.api.owner.artifacts import ArtifactStore
from rackwright.api.owner.audit import AuditService
from rackwright.api.owner.boot import BootService
from rackwright.api.owner.clusters import ClusterService
from rackwright.api.owner.directory import InventoryDirectory
from rackwright.api.owner.events import EventService
from rackwright.api.owner.fence import OwnerFence
from rackwright.api.owner.machines import MachineService
from rackwright.api.owner.plans import PlanService
from rackwright.api.owner.reports import ReportService
from rackwright.api.owner.runs import RunService
from rackwright.api.owner.services import Services
from rackwright.api.settings import Settings
from rackwright.api.wiring.certificates import CertificateAuthority
from rackwright.engine.content.windows import parse_site_windows
from rackwright.engine.drivers.factory import PowerDrivers
from rackwright.engine.plan.inputs import parse_limits
from rackwright.inventory.facade import Inventory

log = structlog.get_logger(__name__)


class Owner:
    """Async context manager; it serves between enter and exit."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = contextlib.AsyncExitStack()
        self._replaced = asyncio.Event()
        self.services: Services | None = None

    async def __aenter__(self) -> "Owner":
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def replaced(self) -> None:
        """Returns once another process has taken the database over."""
        await self._replaced.wait()

    async def resume_left_runs(self) -> list[str]:
        """Take up the runs that an earlier controller left; their ids."""
        if self.services is None:
            raise RuntimeError("the owner does not serve")
        return await self.services.runs.resume_left()

    async def _open(self) -> None:
        settings = self._settings
        # Whatever is made from here on is for our eyes alone.
        os.umask(0o077)
        logs.configure(settings.log_level)
        inventory = Inventory.open(settings.data_dir, database_url=settings.database_url)
        self._stack.callback(inventory.close)
        loop = asyncio.get_running_loop()

        def replaced() -> None:
            loop.call_soon_threadsafe(self._replaced.set)

        inventory.on_replaced(replaced)
        authority = CertificateAuthority(settings.data_dir / "keys")
        artifacts = ArtifactStore(settings.artifacts, settings.image_variant)
        fence = OwnerFence(inventory)
        drivers = PowerDrivers(fence=fence)
        self._stack.push_async_callback(drivers.close)
        segments = _shared_state_dir(settings.data_dir)
        self._stack.callback(_remove_unneeded, segments, inventory)
        boot = BootService(
            inventory,
            authority,
            InventoryDirectory(inventory, authority, drivers, {}),
            artifacts,
            state_dir=segments,
            port=settings.boot_port,
        )
        self._stack.push_async_callback(boot.close)
        plans = PlanService(
            inventory,
            artifacts,
            content=settings.content,
            content_root=settings.data_dir / "plans",
            limits=parse_limits(settings.limits),
            site_windows=parse_site_windows(settings.windows),
        )
        runs = RunService(
            inventory,
            plans,
            artifacts,
            authority,
            drivers,
            boot,
            fence=fence,
            local_root=self._stack.enter_context(_private_tmpfs(settings.data_dir)),
        )
        self._stack.push_async_callback(runs.close)
        self.services = Services(
            settings=settings,
            epoch=inventory.epoch,
            machines=MachineService(inventory, drivers),
            plans=plans,
            runs=runs,
            clusters=ClusterService(inventory),
            events=EventService(inventory, runs.is_live),
            reports=ReportService(inventory, plans, runs),
            audit=AuditService(inventory),
        )
        await self._serve(self.services)

    async def _serve(self, services: Services) -> None:
        path = self._settings.socket_path
        # We hold the lock, so a socket that lies there has nobody behind it.
        path.unlink(missing_ok=True)
        server = _SocketServer(
            uvicorn.Config(
                admin_app(services),
                uds=str(path),
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=2,
            )
        )
        task = asyncio.create_task(server.serve(), name="admin API")

        async def stop() -> None:
            services.events.close()
            server.should_exit = True
            await asyncio.gather(task, return_exceptions=True)
            path.unlink(missing_ok=True)

        self._stack.push_async_callback(stop)
        while not server.started:
            if task.done():
                task.result()
                raise OSError(f"the API did not start on {path}")
            await asyncio.sleep(0.01)
        path.chmod(0o600)


class _SocketServer(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _shared_state_dir(data_dir: Path) -> Path:
    """Where dnsmasq's files lie: its user must reach them, and nobody else's directory is closed
    to us. The same data directory finds the same place again after a crash."""
    if os.geteuid() != 0:
        return data_dir / "segments"  # serving DHCP needs root, and says so when it comes to that
    path = Path("/run/rackwright") / f"segments-{_key(data_dir)}"
    for directory in (path.parent, path):
        directory.mkdir(mode=0o711, exist_ok=True)
        directory.chmod(0o711)
    return path


def _remove_unneeded(segments: Path, inventory: Inventory) -> None:
    """Leave nothing in /run but what somebody needs: an unfinished run its leases, a dnsmasq that
    nobody has adopted yet the record that it is found by."""
    if not inventory.unfinished_runs() and not any(segments.glob("*/process.json")):
        shutil.rmtree(segments, ignore_errors=True)


@contextlib.contextmanager
def _private_tmpfs(data_dir: Path) -> Iterator[Path]:
    """A 0700 directory in memory for local steps and their secrets. What a killed controller of
    this data directory left there goes first: we hold the lock, so it is nobody's."""
    base = Path("/dev/shm")  # noqa: S108 - mkdir makes it ours, or fails
    if not base.is_dir():
        base = Path(tempfile.gettempdir())
    path = base / f"rackwright-{_key(data_dir)}"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _key(data_dir: Path) -> str:
    return hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
