"""Where a machine's scripts run: its OS, its ramdisk, or the controller itself."""

from collections.abc import AsyncIterable, Callable, Mapping
from typing import NamedTuple, Protocol

from rackwright.engine.errors import UnreachableError
from rackwright.engine.executors.pool import Place, Pool, families
from rackwright.engine.executors.ports import Directory
from rackwright.engine.executors.shell.base import Completed, Shell, from_marker, script
from rackwright.engine.executors.shell.local import LocalShell
from rackwright.engine.fence import Fence, NoFence


class Host(NamedTuple):
    shell: Shell
    boot_id: str
    families: tuple[str, ...]


class Reach(Protocol):
    async def host(self, machine_id: str, place: Place, *, patience_s: float) -> Host:
        """A trusted way in. Raises ``UnreachableError`` when nothing answers for ``patience_s``,
        ``HostKeyError`` when the wrong machine does."""

    async def forget(self, machine_id: str, place: Place) -> None:
        """What answered there is gone."""

    async def close(self) -> None: ...


class FencedShell:
    """Runs nothing once the owner's lease is over."""

    def __init__(self, shell: Shell, fence: Fence) -> None:
        self._shell = shell
        self._fence = fence

    async def run(
        self,
        script: str,
        *args: str,
        timeout_s: float,
        payload: AsyncIterable[bytes] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """See ``Shell``. Raises ``LeaseLostError`` too."""
        await self._fence.check()
        return await self._shell.run(
            script, *args, timeout_s=timeout_s, payload=payload, on_output=on_output
        )


class SshReach:
    def __init__(self, pool: Pool, directory: Directory, fence: Fence | None = None) -> None:
        self._pool = pool
        self._directory = directory
        self._fence = fence or NoFence()

    async def host(self, machine_id: str, place: Place, *, patience_s: float) -> Host:
        if place == "os":
            target = self._directory.os_target(machine_id)
            link = await self._pool.link(machine_id, place, target, patience_s=patience_s)
            return Host(FencedShell(link.shell, self._fence), link.boot_id, link.families)
        contact = self._directory.ramdisk_contact(machine_id)
        if contact is None:
            raise UnreachableError("no ramdisk of ours has reported from this machine")
        link = await self._pool.link(machine_id, place, contact.target, patience_s=patience_s)
        if contact.boot_id and link.boot_id != contact.boot_id:
            await self._pool.drop(machine_id, place)
            raise UnreachableError("the ramdisk that reported has been rebooted since")
        return Host(FencedShell(link.shell, self._fence), link.boot_id, link.families)

    async def forget(self, machine_id: str, place: Place) -> None:
        await self._pool.drop(machine_id, place)

    async def close(self) -> None:
        await self._pool.close()


class LocalReach:
    """The controller stands in for every machine: scripts get the machine as values."""

    def __init__(
        self, environment: Mapping[str, str] | None = None, fence: Fence | None = None
    ) -> None:
        self._shell = FencedShell(LocalShell(environment), fence or NoFence())

    async def host(self, machine_id: str, place: Place, *, patience_s: float) -> Host:
        said = await self._shell.run(script("hello"), timeout_s=30.0)
        lines = from_marker(said.stdout, "boot ")
        if said.status != 0 or not lines:
            raise UnreachableError("the controller runs no bash")
        return Host(self._shell, lines[0].removeprefix("boot ").strip(), families(lines[1:]))

    async def forget(self, machine_id: str, place: Place) -> None:
        return

    async def close(self) -> None:
        return
