"""Serial over LAN: the server's end of one activated payload.

Theory of operation. Each side sends packets numbered 1 to 15; the other acknowledges the number
and how many characters it took. One packet of ours is on its way at a time; it is repeated until
acknowledged, and the session is given up after some repeats. Text that comes in while a packet is
on its way waits in a bounded buffer, the oldest is dropped first.

Source: IPMI 2.0 rev 1.1, sections 15.9 (SOL payload format) and 15.11 (acknowledge and retry).
"""

import asyncio
from collections.abc import Callable

_CHUNK_BYTES = 200
_BUFFER_LIMIT_BYTES = 64 << 10
_RETRY_S = 0.5
_MAX_REPEATS = 10

NACK = 0x40
TRANSFER_UNAVAILABLE = 0x20
DEACTIVATED = 0x10


class Payload:
    """One client's console. ``send`` puts a payload on the wire, ``type_in`` types to the machine,
    ``lost`` is called once if the client stops acknowledging."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        type_in: Callable[[bytes], None],
        lost: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._send = send
        self._type_in = type_in
        self._lost = lost
        self._loop = loop
        self._buffer = bytearray()
        self._sequence = 0  # of our last packet
        self._in_flight = b""
        self._repeats = 0
        self._timer: asyncio.TimerHandle | None = None
        self._remote_sequence = 0
        self._remote_taken = 0
        self._is_closed = False

    def show(self, data: bytes) -> None:
        """What the machine printed."""
        self._buffer += data
        del self._buffer[: max(0, len(self._buffer) - _BUFFER_LIMIT_BYTES)]
        self._next()

    def receive(self, payload: bytes) -> None:
        """A SOL payload from the client."""
        if len(payload) < 4 or self._is_closed:
            return
        sequence, acknowledged, count, operation = payload[:4]
        if sequence & 0x0F:
            self._take(sequence & 0x0F, bytes(payload[4:]))
        if acknowledged & 0x0F == self._sequence and self._in_flight:
            self._acknowledged(count, is_nack=bool(operation & NACK))

    def _take(self, sequence: int, data: bytes) -> None:
        fresh = data
        if sequence == self._remote_sequence:  # a repeat, perhaps with more at its end
            fresh = data[self._remote_taken :]
        self._remote_sequence, self._remote_taken = sequence, len(data)
        self._send(bytes([0, sequence, min(len(data), 255), 0]))
        if fresh:
            self._type_in(fresh)

    def _acknowledged(self, count: int, *, is_nack: bool) -> None:
        rest = self._in_flight[count:] if is_nack or count < len(self._in_flight) else b""
        self._in_flight = b""
        self._stop_timer()
        self._buffer[:0] = rest
        self._next()

    def _next(self) -> None:
        if self._in_flight or not self._buffer or self._is_closed:
            return
        self._in_flight = bytes(self._buffer[:_CHUNK_BYTES])
        del self._buffer[:_CHUNK_BYTES]
        self._sequence = self._sequence % 15 + 1
        self._repeats = 0
        self._transmit()

    def _transmit(self) -> None:
        self._send(bytes([self._sequence, 0, 0, 0]) + self._in_flight)
        self._timer = self._loop.call_later(_RETRY_S, self._not_acknowledged)

    def _not_acknowledged(self) -> None:
        self._repeats += 1
        if self._repeats > _MAX_REPEATS:
            self.close()
            self._lost()
        else:
            self._transmit()

    def close(self, *, tell: bool = False) -> None:
        """End it; ``tell`` says so to the client."""
        if tell and not self._is_closed:
            self._send(bytes([0, 0, 0, DEACTIVATED | NACK]))
        self._is_closed = True
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
