"""A DHCP client of its own making, as firmware sends: for tests of whoever serves.

It shares no code with the product. RFC 2131, RFC 4578.
"""

import select
import socket
import struct
import time
from dataclasses import dataclass

from tests.conformance.netns import inside


@dataclass(frozen=True)
class Reply:
    kind: int  # 2 offer, 5 ack
    address: str
    next_server: str
    boot_file: str
    options: dict[int, bytes]


def firmware(arch: int) -> dict[int, bytes]:
    """The options of a PXE ROM of an architecture."""
    return {
        60: f"PXEClient:Arch:{arch:05d}:UNDI:003016".encode(),
        93: struct.pack("!H", arch),
        94: b"\x01\x03\x10",
        97: b"\x00" + bytes(16),
    }


def ipxe(arch: int) -> dict[int, bytes]:
    return firmware(arch) | {77: b"iPXE", 175: b"\xb1\x02\x80\x86"}


class DhcpClient:
    """Raw frames on the client's end of the wire, from any MAC."""

    def __init__(self, namespace: str, interface: str = "c0") -> None:
        self._namespace = namespace
        with inside(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            self._socket.bind((interface, 0))

    def close(self) -> None:
        self._socket.close()

    def discover(
        self, mac: str, options: dict[int, bytes], *, within_s: float = 4.0
    ) -> Reply | None:
        return self._exchange(mac, {53: b"\x01"} | options, within_s)

    def request(
        self, mac: str, options: dict[int, bytes], offer: Reply, *, within_s: float = 4.0
    ) -> Reply | None:
        chosen = {53: b"\x03", 50: socket.inet_aton(offer.address), 54: offer.options[54]}
        return self._exchange(mac, chosen | options, within_s)

    def boot_service(
        self, mac: str, options: dict[int, bytes], ends: tuple[str, str]
    ) -> Reply | None:
        """Ask a proxyDHCP server at port 4011 (PXE 2.1, section 2.2.3); ``ends``: us, it."""
        own, server = ends
        transaction = int(time.monotonic_ns()) & 0xFFFFFFFF
        source = bytes.fromhex(mac.replace(":", ""))
        asked = bytearray(_message(source, transaction, {53: b"\x03"} | options))
        asked[12:16] = socket.inet_aton(own)  # ciaddr
        with inside(self._namespace):
            asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with asking:
            asking.bind((own, 68))
            asking.settimeout(4)
            asking.sendto(asked, (server, 4011))
            try:
                return _read(asking.recv(4096), transaction)
            except TimeoutError:
                return None

    def _exchange(self, mac: str, options: dict[int, bytes], within_s: float) -> Reply | None:
        transaction = int(time.monotonic_ns()) & 0xFFFFFFFF
        source = bytes.fromhex(mac.replace(":", ""))
        frame = _frame(source, _message(source, transaction, options))
        deadline = time.monotonic() + within_s
        resend_at = 0.0
        while time.monotonic() < deadline:
            if time.monotonic() >= resend_at:
                self._socket.send(frame)
                resend_at = time.monotonic() + 1.0
            if not select.select([self._socket], [], [], 0.1)[0]:
                continue
            reply = _parse(self._socket.recv(4096), transaction)
            if reply is not None:
                return reply
        return None


def _message(source: bytes, transaction: int, options: dict[int, bytes]) -> bytes:
    fixed = struct.pack(
        "!BBBBIHH16s16s64s128s", 1, 1, 6, 0, transaction, 0, 0x8000, b"", source, b"", b""
    )
    asked = {55: bytes([1, 3, 6, 12, 13, 15, 43, 54, 60, 66, 67])}
    body = b"".join(bytes([k, len(v)]) + v for k, v in (asked | options).items())
    return (fixed + b"\x63\x82\x53\x63" + body + b"\xff").ljust(300, b"\0")


def _frame(source: bytes, message: bytes) -> bytes:
    udp = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes(4), b"\xff" * 4
    )
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return b"\xff" * 6 + source + b"\x08\x00" + head + udp


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _parse(frame: bytes, transaction: int) -> Reply | None:
    ip = frame[14:]
    if len(ip) < 28 or ip[9] != 17:
        return None
    udp = ip[(ip[0] & 15) * 4 :]
    return _read(udp[8:], transaction) if struct.unpack("!H", udp[2:4])[0] == 68 else None


def _read(message: bytes, transaction: int) -> Reply | None:
    if len(message) < 240 or message[0] != 2:
        return None
    if struct.unpack("!I", message[4:8])[0] != transaction:
        return None
    options = _options(message[240:])
    boot_file = message[108:236].split(b"\0")[0] or options.get(67, b"").split(b"\0")[0]
    return Reply(
        kind=options[53][0],
        address=socket.inet_ntoa(message[16:20]),
        next_server=socket.inet_ntoa(message[20:24]),
        boot_file=boot_file.decode(),
        options=options,
    )


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found
