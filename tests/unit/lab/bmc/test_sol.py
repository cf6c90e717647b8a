"""Serial over LAN: packets, acknowledgements, repeats and giving up."""

from collections.abc import Callable
from typing import Any

from rackwright.lab.bmc.sol import DEACTIVATED, Payload


class Timers:
    """An event loop's ``call_later``, fired by hand."""

    def __init__(self) -> None:
        self.due: list[Timer] = []

    def call_later(self, _delay: float, action: Callable[[], None]) -> "Timer":
        self.due.append(Timer(action))
        return self.due[-1]

    def fire(self) -> None:
        due, self.due = self.due, []
        for timer in due:
            if not timer.is_cancelled:
                timer.action()


class Timer:
    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Line:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.typed = b""
        self.lost = 0
        self.timers = Timers()
        loop: Any = self.timers
        self.payload = Payload(self.sent.append, self._type, self._lose, loop)

    def _type(self, data: bytes) -> None:
        self.typed += data

    def _lose(self) -> None:
        self.lost += 1


def test_one_packet_is_on_its_way_at_a_time() -> None:
    line = Line()
    line.payload.show(b"one")
    line.payload.show(b"two")
    assert line.sent == [b"\x01\0\0\0one"]
    line.payload.receive(b"\0\x01\x03\0")
    assert line.sent[1:] == [b"\x02\0\0\0two"]


def test_sequence_wraps_past_zero() -> None:
    line = Line()
    for number in range(1, 17):
        line.payload.show(b"x")
        line.payload.receive(bytes([0, line.sent[-1][0], 1, 0]))
        assert line.sent[-1][0] == (number - 1) % 15 + 1


def test_partly_taken_packet_is_continued() -> None:
    line = Line()
    line.payload.show(b"abcdef")
    line.payload.receive(b"\0\x01\x04\x40")
    assert line.sent[-1] == b"\x02\0\0\0ef"


def test_typed_text_is_acknowledged_and_a_repeat_is_not_typed_twice() -> None:
    line = Line()
    line.payload.receive(b"\x05\0\0\0hi")
    line.payload.receive(b"\x05\0\0\0hi!")
    assert line.typed == b"hi!"
    assert line.sent == [b"\0\x05\x02\0", b"\0\x05\x03\0"]


def test_client_that_stops_acknowledging_is_given_up() -> None:
    line = Line()
    line.payload.show(b"x")
    for _ in range(20):
        line.timers.fire()
    assert line.lost == 1
    assert line.sent == [b"\x01\0\0\0x"] * 11


def test_old_text_is_dropped_when_nobody_reads() -> None:
    line = Line()
    line.payload.show(b"first")
    line.payload.show(b"y" * (1 << 20))
    line.payload.receive(b"\0\x01\x05\0")
    assert line.sent[-1][4:] == b"y" * 200


def test_deactivation_is_told() -> None:
    line = Line()
    line.payload.close(tell=True)
    assert line.sent[-1][3] & DEACTIVATED
    line.payload.show(b"more")
    assert len(line.sent) == 1
