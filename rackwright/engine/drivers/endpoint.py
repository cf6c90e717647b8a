"""BMC endpoints: their addresses, and the queue that lets one operation at a time through to each.

Blades share an endpoint, so the queue belongs to the address and not to the machine.
"""

import asyncio
import ipaddress
import re
from dataclasses import dataclass

from rackwright.engine.drivers.faults import BusyError
from rackwright.engine.drivers.timing import Clock, Timing
from rackwright.engine.errors import OperatorError

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9_])?")
_PORTED = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """``host`` has no brackets; ``port`` is None where the protocol's own is meant."""

    host: str
    port: int | None

    @property
    def url_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return self.url_host if self.port is None else f"{self.url_host}:{self.port}"


def parse_address(text: str) -> Address:
    """``host``, ``host:port``, ``[v6]:port`` or a bare IPv6 address. Raises OperatorError.

    Nothing that a command line or a URL would read as more than a host gets through.
    """
    if _is_ipv6(text):
        return Address(text.lower(), None)
    match = _PORTED.fullmatch(text)
    if match is None:
        raise _bad_address(text)
    host = match["host"]
    if host.startswith("["):
        host = host[1:-1]
        if not _is_ipv6(host):
            raise _bad_address(text)
    elif not _HOST.fullmatch(host):
        raise _bad_address(text)
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port < 65536:
        raise _bad_address(text)
    return Address(host.lower(), port)


def _is_ipv6(text: str) -> bool:
    try:
        return "%" not in text and ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _bad_address(text: str) -> OperatorError:
    return OperatorError(
        f"not a BMC address: {text[:80]!r}", hint="give host or host:port, without a scheme or path"
    )


class NoTurnError(BusyError):
    """No turn came before the deadline. What an earlier turn met, if there was one, says more."""


class Turn:
    """The right to talk to an endpoint. ``release`` is idempotent."""

    def __init__(self, queue: "EndpointQueue") -> None:
        self._queue: EndpointQueue | None = queue

    def release(self) -> None:
        if self._queue is not None:
            self._queue._end_turn()
            self._queue = None


class EndpointQueue:
    """First come, first served; one operation at a time; a rest between two; longer when busy."""

    def __init__(self, clock: Clock, timing: Timing) -> None:
        self._clock = clock
        self._timing = timing
        self._lock = asyncio.Lock()
        self._free_at = 0.0
        self._busy_count = 0

    async def acquire(self, deadline: float) -> Turn:
        """Wait for a turn. Raises NoTurnError if none comes before ``deadline`` (clock seconds)."""
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock.now())):
                await self._lock.acquire()
        except TimeoutError:
            raise NoTurnError(
                "the BMC's queue did not move within the deadline",
                hint="another operation on the same BMC is stuck or many are waiting",
            ) from None
        turn = Turn(self)
        try:
            rest_s = self._free_at - self._clock.now()
            if self._free_at > deadline:
                raise NoTurnError("the BMC asks to wait beyond the deadline", retry_after_s=rest_s)
            if rest_s > 0:
                await self._clock.sleep(rest_s)
        except BaseException:
            turn.release()
            raise
        return turn

    def _end_turn(self) -> None:
        self._free_at = max(self._free_at, self._clock.now() + self._timing.min_interval_s)
        self._lock.release()

    def answered(self) -> None:
        self._busy_count = 0

    def busy(self, retry_after_s: float | None) -> None:
        """The BMC said "not now": everyone waits, as long as it asked or ever longer."""
        rest_s = retry_after_s
        if rest_s is None:
            rest_s = self._timing.busy_after(self._busy_count)
        self._busy_count += 1
        self._free_at = max(self._free_at, self._clock.now() + rest_s)


class EndpointQueues:
    """One queue per endpoint, made when first asked for."""

    def __init__(self, clock: Clock, timing: Timing) -> None:
        self._clock = clock
        self._timing = timing
        self._queues: dict[str, EndpointQueue] = {}

    def of(self, address: str) -> EndpointQueue:
        """Two spellings of one address share a queue; what is no address is its own key."""
        try:
            key = str(parse_address(address))
        except OperatorError:
            key = address
        if key not in self._queues:
            self._queues[key] = EndpointQueue(self._clock, self._timing)
        return self._queues[key]
