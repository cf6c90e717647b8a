"""The machine's BMC as IPMI 2.0 over LAN (RMCP+), on pyghmi's BMC class and an asyncio socket.

Requests are carried out one after another; packets are taken at once, so that a slow power action
holds up neither a console nor the answer to a retransmission.

Source: IPMI 2.0 rev 1.1; sections are named at the commands.
"""

import asyncio
import struct
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, cast

from pyghmi.ipmi.bmc import Bmc
from pyghmi.ipmi.private import session as pyghmi_session

from rackwright.lab.bmc import sdr
from rackwright.lab.bmc.ipmi_session import ADMINISTRATOR, SUITES, Request, Session
from rackwright.lab.bmc.sensors import SENSORS
from rackwright.lab.bmc.sol import Payload
from rackwright.lab.chassis.boot import Device, Override
from rackwright.lab.chassis.machine import Machine
from rackwright.lab.errors import LabError
from rackwright.lab.spec import Firmware

PORT = 623
_IDLE_LIMIT_S = 60.0  # session inactivity timeout, section 6.12.15
_OPEN_SESSION = 0x10
_SOL_PAYLOAD = 1
_SOL_LIMIT_BYTES = 200
_BAUD_115200 = 0x0A
_LAN_CHANNEL = 1

# Completion codes, table 5-2, and those of Activate Payload, table 24-2
_OK = 0x00
_ALREADY_ACTIVE = 0x80
_PARAMETER_NOT_SUPPORTED = 0x80
_INVALID_COMMAND = 0xC1
_DATA_LENGTH = 0xC7
_NOT_PRESENT = 0xCB
_INVALID_FIELD = 0xCC
_NOT_IN_THIS_STATE = 0xD5
_UNSPECIFIED = 0xFF

_DEVICES = {0b0000: Device.NONE, 0b0001: Device.PXE, 0b0010: Device.DISK, 0b0011: Device.DISK}
_DEVICE_CODES = {Device.NONE: 0b0000, Device.PXE: 0b0001, Device.DISK: 0b0010}

Reply = tuple[int, bytes]


class _Wire:
    """What pyghmi takes for its socket."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def setblocking(self, _flag: int) -> None:
        """The transport never blocks."""

    def sendto(self, packet: bytes, client: Any) -> None:
        self._transport.sendto(bytes(packet), client)


class IpmiBmc(Bmc, asyncio.DatagramProtocol):  # type: ignore[misc]
    """The BMC of one machine. ``run`` carries out requests until cancelled."""

    def __init__(self, machine: Machine, username: str, password: str) -> None:
        # pyghmi's own constructor opens a socket and starts a thread; its attributes are these
        self.machine = machine
        self.authdata = {username: password}
        self.kg = None
        self.port = PORT
        self.uuid = uuid.UUID(machine.spec.uuid)
        self.authcap = struct.pack("9B", _OK, _LAN_CHANNEL, 0x80, 0x04, 0x02, 0, 0, 0, 0)
        self._sessions: dict[Any, Session] = {}
        self._seen: dict[Any, float] = {}
        self._requests: asyncio.Queue[tuple[Session, Request]] = asyncio.Queue(64)
        self._sol: Payload | None = None
        self._sol_session: Session | None = None
        self._boot_parameters = {0: b"\0", 3: b"\0", 4: b"\0\0"}
        self._reservation = 0
        machine.console.listen(self._printed)
        handler = Callable[[bytes, Session], Awaitable[Reply]]
        self._handlers: dict[tuple[int, int], handler] = {
            (0x06, 0x01): self._get_device_id,
            (0x06, 0x37): self._get_guid,
            (0x06, 0x38): self._get_authentication,
            (0x06, 0x3B): self._set_privilege,
            (0x06, 0x3C): self._close_session,
            (0x06, 0x42): self._get_channel,
            (0x06, 0x48): self._activate_payload,
            (0x06, 0x49): self._deactivate_payload,
            (0x06, 0x4A): self._get_payload_status,
            (0x06, 0x54): self._get_suites,
            (0x00, 0x00): self._get_chassis_capabilities,
            (0x00, 0x01): self._get_chassis_status,
            (0x00, 0x02): self._control_chassis,
            (0x00, 0x08): self._set_boot_options,
            (0x00, 0x09): self._get_boot_options,
            (0x04, 0x27): self._get_thresholds,
            (0x04, 0x2D): self._get_reading,
            (0x0A, 0x20): self._get_sdr_info,
            (0x0A, 0x22): self._reserve_sdr,
            (0x0A, 0x23): self._get_sdr,
            (0x0C, 0x21): self._set_sol,
            (0x0C, 0x22): self._get_sol,
        }

    # -- packets

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.serversocket = _Wire(cast(asyncio.DatagramTransport, transport))

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Take one packet; a malformed one is dropped, as the network may bring anything."""
        try:
            self._take(data, addr)
        except (IndexError, struct.error, ValueError, AttributeError, KeyError):
            return

    def _take(self, data: bytes, client: Any) -> None:
        self._forget_idle()
        if len(data) < 16 or data[:4] not in (b"\x06\x00\xff\x07", b"\x06\x00\x00\x07"):
            return
        if data[4] == 6 and data[5] & 0x3F == _OPEN_SESSION:
            self._end(client)
            session = Session(self, self.serversocket, client, data[16:])
            if not session.is_closed:
                self._sessions[client] = session
                self._seen[client] = time.monotonic()
            return
        session_id = int.from_bytes(data[6:10], "little")
        known = self._sessions.get(client)
        if data[4] != 6 or (data[5] & 0x3F == 0 and session_id == 0) or known is None:
            self.sessionless_data(data, client)
            return
        known.receive(data)
        self._seen[client] = time.monotonic()
        if known.is_closed:
            self._end(client)
        request = known.take()
        if request is not None and not self._requests.full():
            self._requests.put_nowait((known, request))

    def send_cipher_suites(
        self,
        myaddr: int,
        mylun: int,
        clientaddr: int,
        clientlun: int,
        clientseq: int,
        data: bytes,
        sockaddr: Any,
    ) -> None:
        """Get Channel Cipher Suites outside a session, section 22.15; ``data`` as pyghmi cut it."""
        header = bytearray(b"\x06\x00\xff\x07\x06\x00" + bytes(8))
        answer = bytearray([clientaddr, clientlun | (7 << 2)])
        answer.append(pyghmi_session._checksum(*answer))
        body = bytearray([myaddr, mylun | clientseq << 2, 0x54, _OK])
        body += _suite_records(data[22] & 0x3F if len(data) > 22 else 0)
        body.append(pyghmi_session._checksum(*body))
        answer += body
        packet = bytes(header) + struct.pack("<H", len(answer)) + bytes(answer)
        self.serversocket.sendto(packet, sockaddr)

    def _forget_idle(self) -> None:
        now = time.monotonic()
        for client in [key for key, seen in self._seen.items() if now - seen > _IDLE_LIMIT_S]:
            self._end(client)

    def _end(self, client: Any) -> None:
        self._seen.pop(client, None)
        session = self._sessions.pop(client, None)
        if session is not None:
            session.is_closed = True
            if session is self._sol_session:
                self._end_sol()

    # -- requests

    async def run(self) -> None:
        """Carry out requests, one after another."""
        while True:
            session, request = await self._requests.get()
            handler = self._handlers.get((request.netfn, request.command))
            if not session.is_open:
                continue
            code, data = _INVALID_COMMAND, b""
            if handler is not None:
                try:
                    code, data = await handler(request.data, session)
                except (IndexError, struct.error):
                    code = _DATA_LENGTH
                except (LabError, OSError) as error:
                    print(error, flush=True)  # noqa: T201 -- the chassis' log
                    code = _UNSPECIFIED
            session.answer(request, data, code)
            if (request.netfn, request.command, code) == (0x06, 0x3C, _OK):
                self._end(session.sockaddr)

    async def _get_device_id(self, _data: bytes, _session: Session) -> Reply:  # section 20.1
        # chassis, FRU-less, SDR repository and sensor device; no manufacturer's number
        return _OK, bytes([0x20, 0x01, 0x01, 0x00, 0x02, 0x83, 0, 0, 0, 0, 0])

    async def _get_guid(self, _data: bytes, _session: Session) -> Reply:  # section 22.14
        return _OK, self.uuid.bytes_le

    async def _get_authentication(self, _data: bytes, _session: Session) -> Reply:  # section 22.13
        return _OK, self.authcap[1:]

    async def _set_privilege(self, data: bytes, session: Session) -> Reply:  # section 22.18
        wanted = data[0] & 0x0F
        if wanted > session.maxpriv:
            return 0x81, b""
        if wanted > 1:
            session.clientpriv = wanted
        return _OK, bytes([session.clientpriv])

    async def _close_session(self, data: bytes, session: Session) -> Reply:  # section 22.19
        own = data[:4] == session.managedsessionid
        return (_OK, b"") if own else (0x87, b"")

    async def _get_channel(self, _data: bytes, _session: Session) -> Reply:  # section 22.24
        return _OK, bytes([_LAN_CHANNEL, 0x04, 0x01, 0x80, 0xF2, 0x1B, 0x00, 0x00, 0x00])

    async def _get_suites(self, data: bytes, _session: Session) -> Reply:  # section 22.15
        return _OK, _suite_records(data[2] & 0x3F)

    async def _get_chassis_capabilities(self, _data: bytes, _session: Session) -> Reply:  # 28.1
        return _OK, bytes([0x00, 0x20, 0x20, 0x20, 0x20])

    async def _get_chassis_status(self, _data: bytes, _session: Session) -> Reply:  # section 28.2
        return _OK, bytes([0x01 if self.machine.is_on else 0x00, 0x00, 0x00])

    async def _control_chassis(self, data: bytes, session: Session) -> Reply:  # section 28.3
        if session.clientpriv < ADMINISTRATOR - 1:  # operator
            return 0xD4, b""
        action = data[0] & 0x0F
        if action in (2, 3, 4, 5) and not self.machine.is_on:
            return _NOT_IN_THIS_STATE, b""
        match action:
            case 0:
                await self.machine.power_off()
            case 1:
                await self.machine.power_on()
            case 2 | 3:
                await self.machine.power_cycle()
            case 4:
                self.machine.interrupt()
            case 5:
                self.machine.press_power_button()
            case _:
                return _INVALID_FIELD, b""
        return _OK, b""

    async def _set_boot_options(self, data: bytes, _session: Session) -> Reply:  # section 28.12
        parameter = data[0] & 0x7F
        if parameter in self._boot_parameters:
            self._boot_parameters[parameter] = data[1:]
            return _OK, b""
        if parameter != 5:
            return _PARAMETER_NOT_SUPPORTED, b""
        flags, device = data[1], _DEVICES.get(data[2] >> 2 & 0x0F)
        if device is None:
            return _INVALID_FIELD, b""
        self.machine.set_override(
            Override(
                device if flags & 0x80 else Device.NONE,
                is_persistent=bool(flags & 0x40),
                mode=Firmware.UEFI if flags & 0x20 else Firmware.BIOS,
            )
        )
        return _OK, b""

    async def _get_boot_options(self, data: bytes, _session: Session) -> Reply:  # section 28.13
        parameter = data[0] & 0x7F
        if parameter in self._boot_parameters:
            return _OK, bytes([0x01, parameter]) + self._boot_parameters[parameter]
        if parameter != 5:
            return _PARAMETER_NOT_SUPPORTED, b""
        override = self.machine.override
        if override.device is Device.NONE:
            return _OK, bytes([0x01, 0x05, 0, 0, 0, 0, 0])
        flags = 0x80 | 0x40 * override.is_persistent | 0x20 * (override.mode is Firmware.UEFI)
        return _OK, bytes([0x01, 0x05, flags, _DEVICE_CODES[override.device] << 2, 0, 0, 0])

    async def _get_thresholds(self, data: bytes, _session: Session) -> Reply:  # section 35.9
        sensor = next((sensor for sensor in SENSORS if sensor.number == data[0]), None)
        return (_OK, sdr.thresholds(sensor)) if sensor else (_NOT_PRESENT, b"")

    async def _get_reading(self, data: bytes, _session: Session) -> Reply:  # section 35.14
        sensor = next((sensor for sensor in SENSORS if sensor.number == data[0]), None)
        return (_OK, sdr.reading(sensor, self.machine.is_on)) if sensor else (_NOT_PRESENT, b"")

    async def _get_sdr_info(self, _data: bytes, _session: Session) -> Reply:  # section 33.9
        return _OK, struct.pack("<BHHIIB", 0x51, len(SENSORS), 0xFFFF, 0, 0, 0x02)

    async def _reserve_sdr(self, _data: bytes, _session: Session) -> Reply:  # section 33.11
        self._reservation = self._reservation % 0xFFFF + 1
        return _OK, struct.pack("<H", self._reservation)

    async def _get_sdr(self, data: bytes, _session: Session) -> Reply:  # section 33.12
        reservation, record, offset, count = struct.unpack("<HHBB", data[:6])
        if offset and reservation != self._reservation:
            return 0xC5, b""
        found = sdr.read(SENSORS, record, offset, count)
        return (_NOT_PRESENT, b"") if found is None else (_OK, found)

    # -- serial over LAN

    def _printed(self, data: bytes) -> None:
        if self._sol is not None:
            self._sol.show(data)

    def _end_sol(self, *, tell: bool = False) -> None:
        if self._sol is not None:
            self._sol.close(tell=tell)
        if self._sol_session is not None:
            self._sol_session.sol_handler = None
        self._sol = self._sol_session = None

    async def _activate_payload(self, data: bytes, session: Session) -> Reply:  # section 24.1
        if data[0] & 0x3F != _SOL_PAYLOAD or data[1] & 0x0F != 1:
            return _INVALID_FIELD, b""
        if self._sol is not None and self._sol_session is not session:
            return _ALREADY_ACTIVE, b""
        self._end_sol()
        loop = asyncio.get_running_loop()
        self._sol = Payload(session.send_sol, self.machine.console.write, self._end_sol, loop)
        self._sol_session = session
        session.sol_handler = self._sol.receive
        sizes = struct.pack("<HHHH", _SOL_LIMIT_BYTES, _SOL_LIMIT_BYTES, PORT, 0xFFFF)
        return _OK, bytes(4) + sizes

    async def _deactivate_payload(self, data: bytes, session: Session) -> Reply:  # section 24.2
        if data[0] & 0x3F != _SOL_PAYLOAD or data[1] & 0x0F != 1:
            return _INVALID_FIELD, b""
        if self._sol is None:
            return _ALREADY_ACTIVE, b""  # 80h: payload already deactivated
        self._end_sol(tell=self._sol_session is not session)
        return _OK, b""

    async def _get_payload_status(self, _data: bytes, _session: Session) -> Reply:  # section 24.4
        return _OK, bytes([1, 0x01 if self._sol is not None else 0x00, 0x00])

    async def _set_sol(self, _data: bytes, _session: Session) -> Reply:  # section 26.2
        return _OK, b""  # speed and retries are what they are

    async def _get_sol(self, data: bytes, _session: Session) -> Reply:  # section 26.3
        values = {
            0: b"\x00",  # set complete
            1: b"\x01",  # enabled
            2: b"\xc4",  # encryption and authentication forced, administrator
            3: b"\x0c\x60",  # accumulate 60 ms, 96 characters
            4: b"\x07\x32",  # 7 retries, 500 ms
            5: bytes([_BAUD_115200]),
            6: bytes([_BAUD_115200]),
            7: bytes([_LAN_CHANNEL]),
            8: struct.pack("<H", PORT),
        }
        value = values.get(data[1])
        return (_PARAMETER_NOT_SUPPORTED, b"") if value is None else (_OK, b"\x11" + value)


def _suite_records(index: int) -> bytes:
    """Channel number and the 16 bytes of suite records at list index ``index``, section 22.15."""
    records = b"".join(
        bytes([0xC0, s.number, s.authentication, 0x40 | s.integrity, 0x80 | s.confidentiality])
        for s in SUITES
    )
    return bytes([_LAN_CHANNEL]) + records[index * 16 : index * 16 + 16]
