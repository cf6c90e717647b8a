import asyncio

import pytest

from rackwright.engine.drivers.endpoint import EndpointQueue, EndpointQueues, parse_address
from rackwright.engine.drivers.faults import BusyError
from rackwright.engine.drivers.timing import Timing
from rackwright.engine.errors import OperatorError
from tests.unit.engine.drivers.clock import FakeClock

TIMING = Timing(min_interval_s=1.0, busy_s=2.0, busy_max_s=30.0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10.0.0.5", "10.0.0.5"),
        ("BMC-1.example.org:8443", "bmc-1.example.org:8443"),
        ("fd00::1", "[fd00::1]"),
        ("[FD00::1]:443", "[fd00::1]:443"),
        ("bmc_1", "bmc_1"),
    ],
)
def test_addresses_are_a_host_and_maybe_a_port(text: str, shown: str) -> None:
    assert str(parse_address(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oProxyCommand=x",
        "--help",
        "https://10.0.0.5",
        "10.0.0.5/redfish",
        "user@host",
        "host name",
        "host:0",
        "host:70000",
        "host:port",
        "[10.0.0.5]",
        "[fd00::1",
        "fe80::1%eth0",
        "host\n",
        "a$(b)",
        "host-",
    ],
)
def test_what_is_more_than_a_host_is_refused(text: str) -> None:
    with pytest.raises(OperatorError):
        parse_address(text)


def test_one_operation_at_a_time_with_a_rest_between() -> None:
    async def scenario() -> None:
        clock = FakeClock()
        queue = EndpointQueue(clock, TIMING)
        order: list[str] = []

        async def operate(name: str) -> None:
            turn = await queue.acquire(clock.now() + 100)
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            order.append(f"{name} ends")
            turn.release()
            turn.release()

        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(operate(name))
        assert order == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]
        assert clock.slept == [1.0, 1.0]

    asyncio.run(scenario())


def test_busy_endpoint_rests_everyone_ever_longer_until_it_answers() -> None:
    async def scenario() -> None:
        clock = FakeClock()
        queue = EndpointQueue(clock, TIMING)
        rests = []
        for asked in (None, None, 7.0, None):
            queue.busy(asked)
            before = clock.now()
            (await queue.acquire(clock.now() + 100)).release()
            rests.append(clock.now() - before)
        assert rests == [2.0, 4.0, 7.0, 16.0]
        queue.answered()
        queue.busy(None)
        before = clock.now()
        (await queue.acquire(clock.now() + 100)).release()
        assert clock.now() - before == 2.0

    asyncio.run(scenario())


def test_rest_beyond_the_deadline_is_refused_and_leaves_the_queue_free() -> None:
    async def scenario() -> None:
        clock = FakeClock()
        queue = EndpointQueue(clock, TIMING)
        queue.busy(60.0)
        with pytest.raises(BusyError):
            await queue.acquire(clock.now() + 10)
        (await queue.acquire(clock.now() + 100)).release()

    asyncio.run(scenario())


def test_cancelled_waiter_leaves_the_queue_moving() -> None:
    async def scenario() -> None:
        clock = FakeClock()
        queue = EndpointQueue(clock, TIMING)
        first = await queue.acquire(clock.now() + 100)
        waiter = asyncio.create_task(queue.acquire(clock.now() + 100))
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait({waiter})
        first.release()
        (await queue.acquire(clock.now() + 100)).release()

    asyncio.run(scenario())


def test_two_spellings_of_an_address_share_a_queue() -> None:
    queues = EndpointQueues(FakeClock(), TIMING)
    assert queues.of("BMC.example.org") is queues.of("bmc.example.org")
    assert queues.of("fd00::1") is queues.of("[fd00::1]")
    assert queues.of("10.0.0.5:1") is not queues.of("10.0.0.5:2")
    assert queues.of("") is queues.of("")
