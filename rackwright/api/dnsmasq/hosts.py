"""Which machines dnsmasq knows: one file an armed machine in its hosts directory.

dnsmasq reads a new file at once (inotify); what was removed or changed it forgets only at SIGHUP
(dnsmasq(8), ``dhcp-hostsdir``). The files outlive both processes.
"""

import re
from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Address
from pathlib import Path

_MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class Reservations:
    """The armed machines. ``reload`` sends SIGHUP to the dnsmasq that serves the directory."""

    def __init__(self, directory: Path, reload: Callable[[], None]) -> None:
        self._directory = directory
        self._reload = reload

    def arm(self, machine_id: str, macs: Sequence[str], address: IPv4Address | None = None) -> None:
        """Let the machine's MACs in; with ``address`` they get that one. Idempotent.

        One machine uses one of its MACs at a time, so they may share the address. Raises ValueError
        for what is not a machine id or a MAC in lower case with colons.
        """
        path = self._path(machine_id)
        if not macs or not all(_MAC.fullmatch(mac) for mac in macs):
            raise ValueError(f"machine {machine_id}: MACs are written aa:bb:cc:dd:ee:ff")
        line = ",".join([*macs, *([str(address)] if address else [])]) + "\n"
        before = path.read_text() if path.exists() else None
        if before == line:
            return
        draft = self._directory / f".{machine_id}"
        draft.write_text(line)
        draft.chmod(0o644)
        draft.replace(path)
        if before is not None:
            self._reload()

    def disarm(self, machine_id: str) -> None:
        """Ignore the machine from now on. Idempotent."""
        path = self._path(machine_id)
        if path.exists():
            path.unlink()
            self._reload()

    def armed(self) -> frozenset[str]:
        """Machine ids, as they lie on disk."""
        if not self._directory.is_dir():
            return frozenset()
        return frozenset(p.name for p in self._directory.iterdir() if _MACHINE.fullmatch(p.name))

    def retain(self, machine_ids: Collection[str]) -> frozenset[str]:
        """Disarm every other machine (after a restart: those whose windows ended); returns them."""
        stale = self.armed() - frozenset(machine_ids)
        for machine_id in stale:
            self._path(machine_id).unlink(missing_ok=True)
        if stale:
            self._reload()
        return stale

    def _path(self, machine_id: str) -> Path:
        if not _MACHINE.fullmatch(machine_id):
            raise ValueError(f"{machine_id!r} is not a machine id")
        return self._directory / machine_id
