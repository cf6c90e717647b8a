import asyncio
import contextlib

from rackwright.engine.run.clock import SystemClock, VirtualClock


def test_virtual_time_moves_to_what_happens_next() -> None:
    async def main() -> None:
        clock, woken, seen = VirtualClock(100.0), asyncio.Event(), list[float]()
        clock.call_later(5.0, lambda: seen.append(clock.monotonic()))
        clock.call_later(5.0, woken.set)
        clock.call_later(9.0, lambda: seen.append(-1.0))
        await clock.wait(woken, None)
        assert seen == [5.0]
        assert clock.now() == 105.0

    asyncio.run(main())


def test_virtual_time_stops_at_a_deadline() -> None:
    async def main() -> None:
        clock = VirtualClock()
        clock.call_later(5.0, lambda: None)
        await clock.wait(asyncio.Event(), 3.0)
        assert clock.monotonic() == 3.0

    asyncio.run(main())


def test_the_system_clock_returns_at_a_deadline_that_passed() -> None:
    async def main() -> None:
        clock = SystemClock()
        await clock.wait(asyncio.Event(), clock.monotonic() - 1.0)
        waiting = asyncio.create_task(clock.wait(asyncio.Event(), None))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
