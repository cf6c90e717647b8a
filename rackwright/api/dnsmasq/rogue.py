"""Ask whether another DHCP server answers on an interface, before we become one.

A client's probe: it sends DHCPDISCOVER and takes nothing. A server that knows its clients by MAC
may stay silent. RFC 2131 (figure 1: the message; section 4.1: broadcast flag), RFC 2132 (options
53 message type, 54 server identifier, 255 end).
"""

import asyncio
import secrets
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

_MAGIC = b"\x63\x82\x53\x63"
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_BROADCAST = 0x8000
_DISCOVER, _OFFER = 1, 2
_SERVER_PORT, _CLIENT_PORT = 67, 68
_MESSAGE_TYPE, _SERVER_ID, _PAD, _END = 53, 54, 0, 255


@dataclass(frozen=True, slots=True)
class Offer:
    server: IPv4Address
    offered: IPv4Address


def discover(mac: bytes, transaction: int) -> bytes:
    """A DHCPDISCOVER of at least 300 bytes (RFC 951: some relays drop shorter ones)."""
    zero = bytes(4)
    header = _HEADER.pack(
        1, 1, 6, 0, transaction, 0, _BROADCAST, zero, zero, zero, zero, mac, b"", b""
    )
    message = header + _MAGIC + bytes([_MESSAGE_TYPE, 1, _DISCOVER, _END])
    return message.ljust(300, b"\x00")


def parse_offer(message: bytes, transaction: int, sender: str) -> Offer | None:
    """The offer that answers ``transaction``, None for anything else."""
    if len(message) < _HEADER.size + 4 or message[_HEADER.size :][:4] != _MAGIC:
        return None
    fields = _HEADER.unpack_from(message)
    options = parse_options(message[_HEADER.size + 4 :])
    if fields[0] != 2 or fields[4] != transaction or options.get(_MESSAGE_TYPE) != bytes([_OFFER]):
        return None
    server = options.get(_SERVER_ID, b"")
    return Offer(
        server=IPv4Address(server) if len(server) == 4 else IPv4Address(sender),
        offered=IPv4Address(fields[8]),
    )


def parse_options(data: bytes) -> dict[int, bytes]:
    """Options by code, as far as they are well formed."""
    options: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != _END:
        if data[at] == _PAD:
            at += 1
            continue
        if at + 2 > len(data):
            break
        length = data[at + 1]
        options[data[at]] = data[at + 2 : at + 2 + length]
        at += 2 + length
    return options


async def rogue_servers(interface: str, *, wait_s: float = 3.0, tries: int = 2) -> list[Offer]:
    """Every server that offers on ``interface``. Needs root (CAP_NET_RAW, ports below 1024).

    Raises OSError when the interface cannot be used.
    """
    mac = bytes.fromhex("02") + secrets.token_bytes(5)
    transaction = secrets.randbits(32)
    found: dict[IPv4Address, Offer] = {}
    with _client_socket(interface) as client:
        for _ in range(tries):
            client.sendto(discover(mac, transaction), ("255.255.255.255", _SERVER_PORT))
            try:
                async with asyncio.timeout(wait_s / tries):
                    await _collect(client, transaction, found)
            except TimeoutError:
                continue
    return list(found.values())


async def _collect(
    client: socket.socket, transaction: int, found: dict[IPv4Address, Offer]
) -> None:
    loop = asyncio.get_running_loop()
    while True:
        message, sender = await loop.sock_recvfrom(client, 4096)
        offer = parse_offer(message, transaction, sender[0])
        if offer is not None:
            found[offer.server] = offer


def _client_socket(interface: str) -> socket.socket:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        client.bind(("", _CLIENT_PORT))
    except OSError:
        client.close()
        raise
    return client
