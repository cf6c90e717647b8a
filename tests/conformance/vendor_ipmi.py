"""A second IPMI 2.0 BMC, of another vendor's manners, written from the specification alone.

RMCP+ with cipher suites 3 and 17, few sessions, no mercy: what arrives twice is done twice. Each
datagram, in and out, can be lost or doubled by its number. ``Manners`` says how it misbehaves.
Sections: IPMI 2.0 rev 1.1, 13.6 (RMCP+ packets), 13.17 to 13.24 (session set-up), 13.28 to 13.32
(algorithms), 22.13 to 22.19 (session commands), 28.2 to 28.13 (chassis), table 5-2.
"""

import hmac
import os
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from rackwright.engine.drivers.power.base import Credentials

_USER, _PASSWORD = "operator", "c4n4ry-s3cret"
_RMCP = b"\x06\x00\xff\x07"
_GUID = bytes(range(16))
# Suite: authentication, integrity and confidentiality algorithm, hash, length of the check values.
_SUITES = {3: (1, 1, 1, "sha1", 12), 17: (3, 4, 1, "sha256", 16)}
_ACTIONS = {0: "off", 1: "on", 2: "cycle", 3: "reset"}


@dataclass(frozen=True, slots=True)
class Manners:
    suites: tuple[int, ...] = (3, 17)
    session_limit: int = 3
    deaf_to: frozenset[int] = frozenset()  # datagrams that never arrive, by number from 0
    mute_at: frozenset[int] = frozenset()  # answers that never leave, by number from 0
    twice_at: frozenset[int] = frozenset()  # answers that leave twice
    delay_s: float = 0.0  # before every answer within a session
    lag_s: float = 0.0
    control_code: int = 0  # the first control command gets this completion code
    is_control_done: bool = False  # ... and is done all the same
    hides_control: bool = False  # control commands are done and never answered
    boot_codes: Mapping[int, int] = field(default_factory=dict)  # parameter: completion code
    boot_refusals: int = 1 << 30  # how often
    boot_mask: int = 0xFF  # which bits of the first flag byte are kept
    boot_device: int = -1  # what the device reads back as, whatever was set
    in_progress: bool = False  # another console left "set in progress" behind
    is_strict: bool = False  # ... and until that ends nothing else is set
    privilege_code: int = 0  # Set Session Privilege Level gets this


@dataclass
class Session:
    number: int
    console: int
    suite: int
    client: bytes = b""
    server: bytes = b""
    role: bytes = b""
    sik: bytes = b""
    is_active: bool = False
    sent: int = 0

    def mac(self, key: bytes, data: bytes) -> bytes:
        return hmac.new(key, data, _SUITES[self.suite][3]).digest()

    @property
    def k1(self) -> bytes:
        return self.mac(self.sik, b"\x01" * 20)

    @property
    def aes_key(self) -> bytes:
        return self.mac(self.sik, b"\x02" * 20)[:16]

    @property
    def check_bytes(self) -> int:
        return _SUITES[self.suite][4]


class VendorIpmi:
    """``with VendorIpmi(Manners(lag_s=1)) as bmc: ... bmc.credentials``."""

    def __init__(self, manners: Manners | None = None) -> None:
        self.manners = manners or Manners()
        self.actions: list[str] = []  # control commands that arrived
        self.sessions: dict[int, Session] = {}
        self.most_sessions = 0
        self.power = False
        self.flags = bytes(5)
        self.progress = 1 if self.manners.in_progress else 0
        self.refused_boots = 0
        self.heard = 0
        self.spoken = 0
        self._is_ours = False  # "set in progress" was set by who sets now
        self._changes: list[tuple[float, bool]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port: int = self._socket.getsockname()[1]
        self.credentials = Credentials(f"127.0.0.1:{self.port}", _USER, _PASSWORD, cipher_suite=17)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "VendorIpmi":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(10)
        self._socket.close()

    @property
    def active(self) -> int:
        return sum(session.is_active for session in self.sessions.values())

    def settle(self, within_s: float = 2.0) -> int:
        """Sessions that stay open, once what is under way has arrived."""
        until = time.monotonic() + within_s
        while self.active and time.monotonic() < until:
            time.sleep(0.05)
        return self.active

    def _serve(self) -> None:
        while not self._is_over.is_set():
            try:
                data, peer = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            number, self.heard = self.heard, self.heard + 1
            if number in self.manners.deaf_to or not data.startswith(_RMCP):
                continue
            answer = self._answer(data[4:])
            if answer is not None:
                self._speak(answer, peer)

    def _speak(self, answer: bytes, peer: tuple[str, int]) -> None:
        number, self.spoken = self.spoken, self.spoken + 1
        if number in self.manners.mute_at:
            return
        for _ in range(2 if number in self.manners.twice_at else 1):
            self._socket.sendto(_RMCP + answer, peer)

    def _answer(self, packet: bytes) -> bytes | None:
        if packet[0] != 0x06:
            return self._unsecured(packet)
        kind, number = packet[1], struct.unpack_from("<I", packet, 2)[0]
        length = struct.unpack_from("<H", packet, 10)[0]
        payload = packet[12 : 12 + length]
        match kind & 0x3F:
            case 0x10:
                return self._plain(0x11, self._open(payload))
            case 0x12:
                return self._plain(0x13, self._rakp2(payload))
            case 0x14:
                return self._plain(0x15, self._rakp4(payload))
        session = self.sessions.get(number)
        if kind != 0xC0 or session is None or not session.is_active:
            return None
        time.sleep(self.manners.delay_s)
        answer = self._message(_decrypted(session, payload), session)
        return None if answer is None else _secured(session, answer)

    def _unsecured(self, packet: bytes) -> bytes | None:
        """IPMI 1.5 format without authentication: what may be asked before a session."""
        message = packet[10 : 10 + packet[9]] if packet[0] == 0 else b""
        answer = self._message(message, None) if len(message) >= 7 else None
        return None if answer is None else bytes(9) + bytes([len(answer)]) + answer

    @staticmethod
    def _plain(kind: int, payload: bytes) -> bytes:
        return bytes([0x06, kind]) + bytes(8) + struct.pack("<H", len(payload)) + payload

    def _open(self, asked: bytes) -> bytes:
        tag, console = asked[0], struct.unpack_from("<I", asked, 4)[0]
        wanted = (asked[12] & 0x3F, asked[20] & 0x3F, asked[28] & 0x3F)
        suite = next((n for n in self.manners.suites if _SUITES[n][:3] == wanted), 0)
        status = 0x11 if not suite else 0
        if self.active >= self.manners.session_limit:
            status = 0x01
        if status:
            return bytes([tag, status, 0, 0]) + struct.pack("<I", console)
        number = 0x1000 + len(self.sessions)
        self.sessions[number] = Session(number, console, suite)
        return bytes([tag, 0, 4, 0]) + struct.pack("<II", console, number) + asked[8:32]

    def _rakp2(self, asked: bytes) -> bytes:
        session = self.sessions[struct.unpack_from("<I", asked, 4)[0]]
        session.client, session.server = asked[8:24], os.urandom(16)
        session.role = asked[24:25] + asked[27 : 28 + asked[27]]
        head = bytes([asked[0], 0, 0, 0]) + struct.pack("<I", session.console)
        if asked[28 : 28 + asked[27]].decode() != _USER:
            return bytes([asked[0], 0x0D, 0, 0]) + head[4:]
        ids = struct.pack("<II", session.console, session.number)
        proof = ids + session.client + session.server + _GUID + session.role
        return head + session.server + _GUID + session.mac(_PASSWORD.encode(), proof)

    def _rakp4(self, asked: bytes) -> bytes:
        session = self.sessions[struct.unpack_from("<I", asked, 4)[0]]
        head = struct.pack("<I", session.console)
        proof = session.server + head + session.role
        if asked[1] or asked[8:] != session.mac(_PASSWORD.encode(), proof):
            return bytes([asked[0], 0x0F, 0, 0]) + head
        session.sik = session.mac(
            _PASSWORD.encode(), session.client + session.server + session.role
        )
        session.is_active = True
        self.most_sessions = max(self.most_sessions, self.active)
        check = session.mac(session.sik, session.client + struct.pack("<I", session.number) + _GUID)
        return bytes([asked[0], 0, 0, 0]) + head + check[: session.check_bytes]

    def _message(self, message: bytes, session: Session | None) -> bytes | None:
        function, sequence, command, data = message[1], message[4], message[5], message[6:-1]
        if session is None and (function >> 2, command) not in ((6, 0x38), (6, 0x54)):
            return None
        found = self._command(function >> 2, command, data, session)
        if found is None:
            return None
        head = bytes([0x81, function | 0x04])
        body = bytes([0x20, sequence, command]) + found
        return head + _checksum(head) + body + _checksum(body)

    def _command(
        self, function: int, command: int, data: bytes, session: Session | None
    ) -> bytes | None:
        """Completion code and data; None for no answer."""
        match function, command:
            case 6, 0x38:
                return bytes([0, 1, 0x80, 0x04, 0x02, 0, 0, 0, 0])
            case 6, 0x54:
                return self._suites(data)
            case 6, 0x3B:
                return bytes([self.manners.privilege_code, data[0]])
            case 6, 0x3C:
                closed = self.sessions.get(struct.unpack_from("<I", data)[0])
                if closed is None or not closed.is_active or session is None:
                    return b"\x87"
                answer = b"\0"
                closed.is_active = False
                return answer
            case 6, 1:
                return bytes([0, 0x20, 1, 2, 0x30, 2, 0xBF, 0x57, 1, 0, 0x34, 0x12])
            case 0, 1:
                return bytes([0, int(self._shown()), 0, 0])
            case 0, 2:
                return self._control(data[0] & 0x0F)
            case 0, 8:
                return self._set_boot(data[0] & 0x7F, data[1:])
            case 0, 9:
                return self._get_boot(data[0] & 0x7F)
        return b"\xc1"

    def _suites(self, data: bytes) -> bytes:
        records = b"".join(
            bytes([0xC0, n, _SUITES[n][0], 0x40 | _SUITES[n][1], 0x80 | _SUITES[n][2]])
            for n in self.manners.suites
        )
        start = 16 * (data[2] & 0x3F)
        return b"\0\x01" + records[start : start + 16]

    def _control(self, directive: int) -> bytes | None:
        self.actions.append(_ACTIONS.get(directive, str(directive)))
        code = self.manners.control_code if len(self.actions) == 1 else 0
        if not code and directive in (2, 3) and not self.power:
            code = 0xD5
        if not code or self.manners.is_control_done:
            if not self._changes:
                self._changes.append((-1e9, self.power))
            self.power = directive != 0
            self._changes.append((time.monotonic(), self.power))
            if self.power:
                self.flags = bytes([self.flags[0] & 0x7F, *self.flags[1:]])
        return None if self.manners.hides_control else bytes([code])

    def _shown(self) -> bool:
        until = time.monotonic() - self.manners.lag_s
        shown = [power for at, power in self._changes if at <= until]
        return shown[-1] if shown else self.power

    def _set_boot(self, parameter: int, data: bytes) -> bytes:
        code = self.manners.boot_codes.get(parameter, 0)
        if code and self.refused_boots < self.manners.boot_refusals:
            self.refused_boots += 1
            return bytes([code])
        if parameter == 0:
            if data[0] & 3 == 1 and self.progress:
                return b"\x81"
            self._is_ours = data[0] & 3 == 1
            self.progress = data[0] & 1
        elif self.progress and self.manners.is_strict and not self._is_ours:
            return b"\x81"
        if parameter == 5:
            self.flags = bytes([data[0] & self.manners.boot_mask, *data[1:5]])
        return b"\0"

    def _get_boot(self, parameter: int) -> bytes:
        values = {0: bytes([self.progress]), 5: self._shown_flags()}
        return bytes([0, 1, parameter]) + values.get(parameter, bytes(3))

    def _shown_flags(self) -> bytes:
        if self.manners.boot_device < 0:
            return self.flags
        return bytes([self.flags[0], self.manners.boot_device, *self.flags[2:]])


def _checksum(data: bytes) -> bytes:
    return bytes([-sum(data) & 0xFF])


def _decrypted(session: Session, payload: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(session.aes_key), modes.CBC(payload[:16])).decryptor()
    clear = decryptor.update(payload[16:]) + decryptor.finalize()
    return clear[: -clear[-1] - 1]


def _secured(session: Session, message: bytes) -> bytes:
    pad = -(len(message) + 1) % 16
    clear = message + bytes(range(1, pad + 1)) + bytes([pad])
    iv = os.urandom(16)
    encryptor = Cipher(algorithms.AES(session.aes_key), modes.CBC(iv)).encryptor()
    payload = iv + encryptor.update(clear) + encryptor.finalize()
    session.sent += 1
    packet = (
        b"\x06\xc0" + struct.pack("<IIH", session.console, session.sent, len(payload)) + payload
    )
    filler = -(len(packet) + 2) % 4
    packet += b"\xff" * filler + bytes([filler, 0x07])
    return packet + session.mac(session.k1, packet)[: session.check_bytes]
