"""The RMCP+ session of pyghmi's BMC, with cipher suite 17, refusals that say so, and no repeats.

pyghmi's server forces cipher suite 3, drops a wrong user or password without a word and carries
out a retransmitted request twice. Framing, encryption and integrity stay pyghmi's. It does no I/O
of its own: packets come in through ``receive`` and leave through the transport it is given.

Source: IPMI 2.0 rev 1.1, sections 13.17 to 13.24 (RMCP+ session set-up) and 13.28 to 13.32
(algorithms).
"""

import hashlib
import hmac
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyghmi.ipmi.private import constants
from pyghmi.ipmi.private import session as pyghmi_session
from pyghmi.ipmi.private.serversession import ServerSession

ADMINISTRATOR = 4
# RMCP+ and RAKP status codes, table 13-15
_NO_SUCH_NAME = 0x0D
_BAD_INTEGRITY_CHECK = 0x0F
_NO_SUCH_SUITE = 0x11
_ILLEGAL_ROLE = 0x09


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite of table 22-20; algorithm numbers of tables 13-17, 13-18 and 13-19."""

    number: int
    authentication: int
    integrity: int
    confidentiality: int
    digest: Callable[..., Any]
    check_bytes: int  # length of a packet's integrity check


SUITES = (
    Suite(17, 3, 4, 1, hashlib.sha256, 16),  # HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128
    Suite(3, 1, 1, 1, hashlib.sha1, 12),  # HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128
)


@dataclass(frozen=True, slots=True)
class Request:
    """One IPMI request: network function, command, data, and its sequence number."""

    netfn: int
    command: int
    data: bytes
    sequence: int


class Session(ServerSession):  # type: ignore[misc]
    """One client's session. ``pending`` holds the request that waits for its answer."""

    def __new__(cls, *_arguments: Any) -> "Session":
        return object.__new__(cls)  # pyghmi's own takes other arguments

    def __init__(self, bmc: Any, wire: Any, client: Any, open_request: bytes) -> None:
        self.k1: bytes | None = None
        self.localsid = None
        self.sol_handler: Callable[[bytes], None] | None = None
        self.clientpriv = 2
        self.pending: Request | None = None
        self.is_closed = False
        self.is_open = False  # authenticated
        self.suite = SUITES[0]
        self._in_hand: Request | None = None
        self._answered: tuple[Request, bytes, int] | None = None
        super().__init__(bmc.authdata, bmc.kg, client, wire, open_request, bmc.uuid, bmc)
        # pyghmi files sessions in a table of the class; ours are filed by their BMC
        pyghmi_session.Session.bmc_handlers.pop(client, None)

    def receive(self, data: bytes) -> None:
        """Take one RMCP+ packet of this client; sets ``pending`` if it was a request."""
        self._handle_ipmi2_packet(bytearray(data))

    # -- set-up

    def create_open_session_response(self, request: bytearray) -> bytearray:
        self.clientsessionid = bytearray(request[4:8])
        self.managedsessionid = os.urandom(4)
        offered = (request[12] & 0x3F, request[20] & 0x3F, request[28] & 0x3F)
        chosen = next(
            (
                suite
                for suite in SUITES
                if offered == (suite.authentication, suite.integrity, suite.confidentiality)
            ),
            None,
        )
        if chosen is None:
            self.is_closed = True
            return bytearray([request[0], _NO_SUCH_SUITE, 0, 0]) + self.clientsessionid
        self.suite = chosen
        self.currhashlib = chosen.digest
        self.currhashlen = chosen.check_bytes
        algorithms = (chosen.authentication, chosen.integrity, chosen.confidentiality)
        records = b"".join(
            bytes([kind, 0, 0, 8, algorithm, 0, 0, 0]) for kind, algorithm in enumerate(algorithms)
        )
        head = bytearray([request[0], 0, ADMINISTRATOR, 0])
        return head + self.clientsessionid + self.managedsessionid + records

    def _hmac(self, key: bytes, data: bytes | bytearray) -> bytes:
        return hmac.new(key, bytes(data), self.suite.digest).digest()

    def _got_rakp1(self, data: bytearray) -> None:
        tag = data[0]
        self.Rm = bytes(data[8:24])
        self.rolem = data[24]
        self.maxpriv = self.rolem & 0b1111
        self.username = bytes(data[28 : 28 + data[27]])
        password = self.authdata.get(self.username.decode("utf-8", "replace"))
        if not self.username or password is None:
            self._refuse("rakp2", tag, _NO_SUCH_NAME)
            return
        if self.maxpriv > ADMINISTRATOR:
            self._refuse("rakp2", tag, _ILLEGAL_ROLE)
            return
        self.kuid = password.encode("utf-8")
        self.Rc = os.urandom(16)
        self.uuiddata = self.uuid.bytes
        who = bytes([self.rolem, len(self.username)]) + self.username
        ids = bytes(self.clientsessionid) + self.managedsessionid
        code = self._hmac(self.kuid, ids + self.Rm + self.Rc + self.uuiddata + who)
        answer = bytearray([tag, 0, 0, 0]) + self.clientsessionid + self.Rc + self.uuiddata + code
        self._send("rakp2", answer)

    def _got_rakp3(self, data: bytearray) -> None:
        tag = data[0]
        if data[1] != 0 or not hasattr(self, "kuid"):
            self.is_closed = True  # the client did not like our proof: a wrong password there
            return
        who = bytes([self.rolem, len(self.username)]) + self.username
        expected = self._hmac(self.kuid, self.Rc + bytes(self.clientsessionid) + who)
        if not hmac.compare_digest(expected, bytes(data[8:])):
            self._refuse("rakp4", tag, _BAD_INTEGRITY_CHECK)
            return
        self.sik = self._hmac(self.kuid, self.Rm + self.Rc + who)
        self.k1 = self._hmac(self.sik, b"\x01" * 20)
        self.k2 = self._hmac(self.sik, b"\x02" * 20)
        self.aeskey = self.k2[:16]
        self.localsid = struct.unpack("<I", self.managedsessionid)[0]
        self.remseqnumber = None
        self.ipmicallback = self.handle_client_request
        check = self._hmac(self.sik, self.Rm + self.managedsessionid + self.uuiddata)
        answer = bytearray([tag, 0, 0, 0]) + self.clientsessionid
        self._send("rakp4", answer + check[: self.suite.check_bytes])
        self.confalgo = "aes"
        self.integrityalgo = self.suite.integrity
        self.sequencenumber = 1
        self.sessionid = struct.unpack("<I", self.clientsessionid)[0]
        self.is_open = True

    def _refuse(self, message: str, tag: int, status: int) -> None:
        self._send(message, bytearray([tag, status, 0, 0]) + self.clientsessionid)
        self.is_closed = True

    def _send(self, message: str, payload: bytearray) -> None:
        self.send_payload(payload, constants.payload_types[message], retry=False)

    # -- requests

    def handle_client_request(self, request: dict[str, Any]) -> None:
        """Called by pyghmi with a verified, decrypted request; answers a repeated one at once."""
        taken = Request(request["netfn"], request["command"], bytes(request["data"]), self.seqlun)
        if taken == self._in_hand:
            return
        if self._answered is not None and self._answered[0] == taken:
            self.answer(*self._answered)
            return
        self.pending = self._in_hand = taken

    def take(self) -> Request | None:
        """The request that came with the last packet, once."""
        request, self.pending = self.pending, None
        return request

    def answer(self, request: Request, data: bytes = b"", code: int = 0) -> None:
        """Send the response to ``request``, and keep it for a retransmission."""
        self._answered = (request, data, code)
        self._in_hand = None
        # pyghmi answers whatever came last; another packet may have come since
        self.clientnetfn, self.clientcommand = request.netfn + 1, request.command
        self.seqlun = request.sequence
        self._send_ipmi_net_payload(data=data, code=code)

    def send_sol(self, payload: bytes) -> None:
        if not self.is_closed:
            self.send_payload(bytearray(payload), constants.payload_types["sol"], retry=False)
