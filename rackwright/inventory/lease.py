"""How long an owner may act: a lease in the database, renewed by each commit and by a keeper.

Theory of operation. The owner's row says until when its owner may act. Whoever finds it still
running refuses, unless the process it names is provably dead: same boot of this host, and no such
process. The owner itself counts by a clock that a stopped process cannot stop (CLOCK_BOOTTIME), and
only two thirds of the lease, from before the commit that renewed it: so it stops acting before
another may begin, also where clocks of hosts differ by some seconds. A commit renews when a third
has passed; the keeper commits nothing but that while nobody else commits.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rackwright.inventory.errors import InventoryError

LEASE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A process, told from a later one of the same number."""

    pid: int
    boot_id: str
    started: str  # clock ticks after boot; proc(5), /proc/pid/stat field 22

    def is_dead(self) -> bool:
        """Known to be; False where that cannot be told, as on another host."""
        if not self.boot_id or self.boot_id != _boot_id():
            return False
        return _started(self.pid) != self.started


def this_process(pid: int) -> Holder:
    return Holder(pid, _boot_id(), _started(pid))


def _boot_id() -> str:
    """Of the host since it booted, and of the namespace in which pids count."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Empty if there is no such process, or only its remains (a zombie)."""
    try:
        # the second field is the program's name in brackets and may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """This owner's, as it knows it. ``renewing`` is called before a commit that renews, with
    ``renewed`` after it."""

    def __init__(self, *, lease_s: float = LEASE_S, clock: Callable[[], float] = boottime) -> None:
        self.lease_s = lease_s
        self._clock = clock
        self._since = clock()  # the commit that took the ownership began before now
        self._renewing: float | None = None

    def may_act(self) -> bool:
        """Whether anything may be sent to a machine now."""
        return self._clock() - self._since < self.lease_s * 2 / 3

    def is_due(self) -> bool:
        return self._clock() - self._since >= self.lease_s / 3

    def renewing(self) -> None:
        self._renewing = self._clock()

    def renewed(self) -> None:
        if self._renewing is not None:
            self._since, self._renewing = self._renewing, None

    def not_renewed(self) -> None:
        self._renewing = None


class Keeper:
    """A thread that has the lease renewed while nobody commits. Ends by itself once fenced."""

    def __init__(self, lease: Lease, renew: "Callable[[], Future[None]]") -> None:
        self._lease = lease
        self._renew = renew
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lease-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(self._lease.lease_s / 4):
            if self._lease.is_due():
                # what failed here fails in every other write too, and is told there
                with contextlib.suppress(InventoryError):
                    self._renew().result()
