import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rackwright.engine.drivers.console import ConsoleTail
from rackwright.engine.drivers.ipmi_console import clean
from rackwright.engine.errors import MachineError
from tests.unit.engine.drivers.clock import FakeClock


class FakeConsole:
    """Gives the scripted streams one after the other, then none."""

    def __init__(self, *streams: list[str] | None) -> None:
        self._streams = list(streams)
        self.opened = 0
        self.closed = 0
        self.is_over = asyncio.Event()

    @asynccontextmanager
    async def console(self) -> AsyncIterator[AsyncIterator[str]]:
        self.opened += 1
        stream = self._streams.pop(0) if self._streams else []
        if not self._streams:
            self.is_over.set()
        if stream is None:
            raise MachineError("no serial console")
        try:
            yield self._lines(stream)
        finally:
            self.closed += 1

    async def _lines(self, stream: list[str]) -> AsyncIterator[str]:
        for line in stream:
            yield line


def test_tail_keeps_the_last_lines_over_drops_and_refusals() -> None:
    async def scenario() -> None:
        console = FakeConsole(["1", "2"], None, ["3", "4"], [])
        async with ConsoleTail(console, keep=3, clock=FakeClock()) as tail:
            await console.is_over.wait()
        assert tail.lines == ("2", "3", "4")
        assert console.opened >= 4
        assert console.closed == console.opened - 1

    asyncio.run(scenario())


def test_lines_are_cleaned_of_what_a_terminal_would_obey() -> None:
    assert clean(b"\x1b[1;32mGRUB\x1b[0m\x08 \x1b]0;title\x07ok\r") == "GRUB ok"
    assert clean(b"\xff\xfe") == "��"
    assert len(clean(b"x" * 10000)) == 4096
