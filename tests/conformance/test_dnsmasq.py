"""The real dnsmasq under our configuration and our supervisor, on a wire of its own. Needs root."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from rackwright.api.dnsmasq.config import DhcpMode, Segment
from rackwright.api.dnsmasq.errors import RogueServerError, StartError
from rackwright.api.dnsmasq.rogue import rogue_servers
from rackwright.api.dnsmasq.supervisor import DnsmasqSupervisor
from tests.conformance.dhcp_client import DhcpClient, firmware, ipxe
from tests.conformance.netns import Wire, inside, wire

ARMED = "52:54:00:99:00:01"
SECOND = "52:54:00:99:00:02"
STRANGER = "52:54:00:99:00:99"
SCRIPT = "http://10.99.0.1:8480/boot/ipxe/${netX/mac:hexhyp}"

SEGMENT = Segment(
    name="test",
    interface="rw0",
    subnet=IPv4Network("10.99.0.0/24"),
    boot_server=IPv4Address("10.99.0.1"),
    mode=DhcpMode.FULL,
    dhcp_range=(IPv4Address("10.99.0.100"), IPv4Address("10.99.0.199")),
    gateway=IPv4Address("10.99.0.254"),
)


class Bench:
    """A wire, a state directory, and every supervisor made on it."""

    def __init__(self, net: Wire, state: Path) -> None:
        self.wire = net
        self.state = state
        self.events: list[tuple[str, dict[str, object]]] = []

    def supervisor(self, segment: Segment = SEGMENT) -> DnsmasqSupervisor:
        return DnsmasqSupervisor(
            segment,
            self.state,
            report=lambda event, fields: self.events.append((event, fields)),
            probe=lambda interface: rogue_servers(interface, wait_s=1.0, tries=1),
        )

    def named(self, event: str) -> list[dict[str, object]]:
        return [fields for name, fields in self.events if name == event]


@pytest.fixture
def bench() -> Iterator[Bench]:
    # Not tmp_path: dnsmasq drops to a user who cannot enter pytest's closed directories.
    Path("/run/rackwright").mkdir(exist_ok=True)
    state = Path(tempfile.mkdtemp(prefix="test-", dir="/run/rackwright"))
    state.chmod(0o755)
    with wire() as net:
        made = Bench(net, state)
        try:
            with inside(net.server):
                yield made
        finally:
            for pid in _serving(made):
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(state)


@pytest.fixture
def client(bench: Bench) -> Iterator[DhcpClient]:
    made = DhcpClient(bench.wire.client)
    yield made
    made.close()


async def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def served(bench: Bench, body: Callable[[DnsmasqSupervisor], Awaitable[None]]) -> None:
    """Run ``body`` beside a started dnsmasq, which is stopped at the end."""

    async def run() -> None:
        supervisor = bench.supervisor()
        await supervisor.start()
        try:
            await body(supervisor)
        finally:
            await supervisor.stop()

    asyncio.run(run())


def test_armed_machine_gets_the_loader_of_its_architecture(
    bench: Bench, client: DhcpClient
) -> None:
    async def body(supervisor: DnsmasqSupervisor) -> None:
        supervisor.reservations.arm("m-1", [ARMED], IPv4Address("10.99.0.11"))
        await eventually(lambda: "m-1" in supervisor.reservations.armed())
        expected = {0: "undionly.kpxe", 7: "ipxe.efi", 9: "ipxe.efi"}
        for arch, loader in expected.items():
            offer = await asyncio.to_thread(client.discover, ARMED, firmware(arch))
            assert offer is not None
            assert (offer.kind, offer.address, offer.boot_file) == (2, "10.99.0.11", loader)
            assert offer.next_server == "10.99.0.1"
            assert offer.options[3] == bytes([10, 99, 0, 254])
            assert 6 not in offer.options
            scripted = await asyncio.to_thread(client.discover, ARMED, ipxe(arch))
            assert scripted is not None
            assert scripted.boot_file == SCRIPT
            ack = await asyncio.to_thread(client.request, ARMED, firmware(arch), offer)
            assert ack is not None
            assert (ack.kind, ack.address) == (5, "10.99.0.11")

    served(bench, body)


def test_unarmed_machine_gets_nothing_and_arming_needs_no_restart(
    bench: Bench, client: DhcpClient
) -> None:
    async def body(supervisor: DnsmasqSupervisor) -> None:
        pid = supervisor.pid
        ask = client.discover
        assert await asyncio.to_thread(ask, ARMED, firmware(0), within_s=1.5) is None
        supervisor.reservations.arm("m-1", [ARMED])
        offer = await asyncio.to_thread(ask, ARMED, firmware(0))
        assert offer is not None
        first = int(IPv4Address("10.99.0.100"))
        assert first <= int(IPv4Address(offer.address)) <= first + 99
        assert await asyncio.to_thread(ask, STRANGER, firmware(7), within_s=1.5) is None
        supervisor.reservations.disarm("m-1")
        # A frame that arrives with the signal may still be answered; the next ones are not.
        await asyncio.to_thread(ask, ARMED, firmware(0), within_s=0.5)
        assert await asyncio.to_thread(ask, ARMED, firmware(0), within_s=1.5) is None
        assert supervisor.pid == pid

    served(bench, body)


def test_changed_reservation_is_taken_up(bench: Bench, client: DhcpClient) -> None:
    async def body(supervisor: DnsmasqSupervisor) -> None:
        supervisor.reservations.arm("m-1", [ARMED], IPv4Address("10.99.0.11"))
        assert await asyncio.to_thread(client.discover, ARMED, firmware(0)) is not None
        supervisor.reservations.arm("m-1", [SECOND], IPv4Address("10.99.0.12"))
        offer = await asyncio.to_thread(client.discover, SECOND, firmware(0))
        assert offer is not None
        assert offer.address == "10.99.0.12"
        assert await asyncio.to_thread(client.discover, ARMED, firmware(0), within_s=1.5) is None

    served(bench, body)


def test_proxy_mode_adds_the_boot_file_and_no_address(bench: Bench, client: DhcpClient) -> None:
    proxy = replace(SEGMENT, mode=DhcpMode.PROXY, dhcp_range=None)
    subprocess.run(
        ["ip", "-n", bench.wire.client, "addr", "add", "10.99.0.50/24", "dev", "c0"], check=True
    )

    async def run() -> None:
        supervisor = bench.supervisor(proxy)
        await supervisor.start()
        try:
            supervisor.reservations.arm("m-1", [ARMED])
            # UEFI firmware gets the server's address, and asks again there at port 4011.
            for options, boot_file in (
                (firmware(0), "undionly.kpxe"),
                (firmware(7), ""),
                (ipxe(0), SCRIPT),
                (ipxe(7), SCRIPT),
            ):
                offer = await asyncio.to_thread(client.discover, ARMED, options)
                assert offer is not None
                assert (offer.address, offer.boot_file) == ("0.0.0.0", boot_file)
                assert offer.options[60] == b"PXEClient"
                assert offer.next_server == "10.99.0.1"
            boot = await asyncio.to_thread(
                client.boot_service, ARMED, firmware(7), ("10.99.0.50", "10.99.0.1")
            )
            assert boot is not None
            assert (boot.kind, boot.boot_file) == (5, "ipxe.efi")
            nothing = await asyncio.to_thread(client.discover, STRANGER, firmware(0), within_s=1.5)
            assert nothing is None
        finally:
            await supervisor.stop()

    asyncio.run(run())


def test_tftp_serves_the_loaders_and_nothing_else(bench: Bench) -> None:
    names = {
        "undionly.kpxe": True,
        "ipxe.efi": True,
        "../dnsmasq.conf": False,
        "../../../../etc/passwd": False,
        "/etc/passwd": False,
        "%2e%2e/dnsmasq.conf": False,
        "process.json": False,
        "link": False,
    }

    async def body(supervisor: DnsmasqSupervisor) -> None:
        for name, found in names.items():
            reply = await asyncio.to_thread(_tftp_first_block, name)
            assert (reply[:2] == b"\x00\x03") is found, name

    served(bench, body)


def test_dead_dnsmasq_comes_back_with_its_reservations(bench: Bench, client: DhcpClient) -> None:
    async def body(supervisor: DnsmasqSupervisor) -> None:
        supervisor.reservations.arm("m-1", [ARMED], IPv4Address("10.99.0.11"))
        watch = asyncio.create_task(supervisor.supervise())
        killed = supervisor.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: supervisor.pid not in {None, killed})
        offer = await asyncio.to_thread(client.discover, ARMED, firmware(0))
        assert offer is not None
        assert offer.address == "10.99.0.11"
        assert len(bench.named("dnsmasq.died")) == 1
        await eventually(lambda: bool(bench.named("dnsmasq.log")))
        watch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watch

    served(bench, body)


def test_orphan_with_the_same_configuration_is_adopted(bench: Bench, client: DhcpClient) -> None:
    async def run() -> None:
        dead_controller = bench.supervisor()
        await dead_controller.start()
        pid = dead_controller.pid
        dead_controller.detach()
        heir = bench.supervisor()
        assert await heir.start() == "adopted"
        try:
            assert heir.pid == pid
            heir.reservations.arm("m-1", [ARMED])
            assert await asyncio.to_thread(client.discover, ARMED, firmware(0)) is not None
        finally:
            await heir.stop()
        assert _serving(bench) == []

    asyncio.run(run())


def test_orphan_with_another_configuration_is_replaced(bench: Bench) -> None:
    async def run() -> None:
        dead_controller = bench.supervisor()
        await dead_controller.start()
        pid = dead_controller.pid
        dead_controller.detach()
        heir = bench.supervisor(replace(SEGMENT, mtu_bytes=9000))
        assert await heir.start() == "replaced"
        try:
            assert heir.pid != pid
            assert _serving(bench) == [heir.pid]
        finally:
            await heir.stop()

    asyncio.run(run())


def test_orphan_without_a_record_is_ended(bench: Bench) -> None:
    async def run() -> None:
        dead_controller = bench.supervisor()
        await dead_controller.start()
        dead_controller.detach()
        (bench.state / "process.json").unlink()
        heir = bench.supervisor()
        assert await heir.start() == "started"
        assert _serving(bench) == [heir.pid]
        await heir.stop()

    asyncio.run(run())


def test_stale_record_of_another_process_is_left_alone(bench: Bench) -> None:
    bystander = subprocess.Popen(["sleep", "60"])

    async def run() -> None:
        try:
            (bench.state / "process.json").write_text(
                f'{{"pid": {bystander.pid}, "start_ticks": 1, "boot_id": "x",'
                ' "config_sha256": "y"}'
            )
            supervisor = bench.supervisor()
            assert await supervisor.start() == "started"
            await supervisor.stop()
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()

    asyncio.run(run())


def test_another_server_on_the_segment_is_found_and_refused(bench: Bench) -> None:
    rogue = [
        "dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--user=root",
        "--interface=c0", "--bind-interfaces", "--except-interface=lo",
        "--dhcp-range=10.99.0.50,10.99.0.60,1h",
        "--leasefile-ro", "--pid-file=", "--log-facility=/dev/null",
    ]  # fmt: skip

    async def run() -> None:
        supervisor = bench.supervisor()
        while not await rogue_servers("rw0", wait_s=1.0):
            assert other.poll() is None
        with pytest.raises(RogueServerError, match=r"10\.99\.0\.2.*proxy"):
            await supervisor.start()
        assert supervisor.pid is None
        assert _serving(bench) == []
        await supervisor.stop()

    assert asyncio.run(rogue_servers("rw0", wait_s=1.0)) == []
    subprocess.run(
        ["ip", "-n", bench.wire.client, "addr", "add", "10.99.0.2/24", "dev", "c0"], check=True
    )
    with inside(bench.wire.client):
        other = subprocess.Popen(rogue)
    try:
        asyncio.run(run())
    finally:
        other.terminate()
        other.wait()


def test_closed_parent_below_run_is_opened_for_passing_only(bench: Bench) -> None:
    bench.state.chmod(0o700)
    bench.state = bench.state / "inner"

    async def run() -> None:
        supervisor = bench.supervisor()
        await supervisor.start()
        await supervisor.stop()

    asyncio.run(run())
    assert bench.state.parent.stat().st_mode & 0o777 == 0o711


def test_missing_interface_and_refused_configuration_are_said(bench: Bench) -> None:
    async def run() -> None:
        missing = bench.supervisor(replace(SEGMENT, interface="nosuch0"))
        with pytest.raises(StartError, match="nosuch0"):
            await missing.start()
        unprobed = bench.supervisor(
            replace(SEGMENT, interface="nosuch0", mode=DhcpMode.PROXY, dhcp_range=None)
        )
        with pytest.raises(StartError, match="unknown interface nosuch0"):
            await unprobed.start()
        assert _serving(bench) == []
        assert not (bench.state / "process.json").exists()

    asyncio.run(run())


def _serving(bench: Bench) -> list[int]:
    argument = f"--conf-file={bench.state}/dnsmasq.conf".encode()
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if argument in (directory / "cmdline").read_bytes().split(b"\0"):
                found.append(int(directory.name))
        except OSError:
            continue
    return found


def _tftp_first_block(name: str) -> bytes:
    """RFC 1350: read request, and the first answer to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(b"\x00\x01" + name.encode() + b"\0octet\0", ("10.99.0.1", 69))
        return asking.recv(2048)
