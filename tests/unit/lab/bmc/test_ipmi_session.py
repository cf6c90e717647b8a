"""RMCP+ sessions: suites offered, refusals, and requests that come twice.

The whole handshake is held by ipmitool in tests/e2e/test_lab_rack.py.
"""

import uuid
from typing import Any

import pytest

from rackwright.lab.bmc.ipmi_session import Request, Session

CLIENT = ("192.0.2.1", 40000)
OPEN_RESPONSE, RAKP1, RAKP2 = 0x11, 0x12, 0x13


class Wire:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def setblocking(self, _flag: int) -> None:
        pass

    def sendto(self, packet: bytes, _client: Any) -> None:
        self.sent.append(bytes(packet))


class Owner:
    """What a session needs of its BMC."""

    authdata = {"admin": "secret"}  # noqa: RUF012
    kg = None
    port = 623
    uuid = uuid.UUID(int=7)


def open_request(authentication: int, integrity: int, confidentiality: int) -> bytes:
    """IPMI 2.0 table 13-9."""
    numbers = (authentication, integrity, confidentiality)
    records = [bytes([kind, 0, 0, 8, value, 0, 0, 0]) for kind, value in enumerate(numbers)]
    return bytes([9, 0, 0, 0]) + b"\xa4\xa3\xa2\xa1" + b"".join(records)


def opened(wire: Wire, suite: tuple[int, int, int] = (3, 4, 1)) -> Session:
    return Session(Owner(), wire, CLIENT, open_request(*suite))


def message(packet: bytes) -> bytes:
    return packet[16:]


def rakp1(session: Session, username: bytes) -> bytes:
    """IPMI 2.0 table 13-11."""
    body = bytes([9, 0, 0, 0]) + session.managedsessionid + bytes(16) + bytes([0x14, 0, 0])
    body += bytes([len(username)]) + username
    head = b"\x06\x00\xff\x07\x06" + bytes([RAKP1]) + bytes(8) + len(body).to_bytes(2, "little")
    return head + body


@pytest.mark.parametrize(("suite", "number"), [((3, 4, 1), 17), ((1, 1, 1), 3)])
def test_suites_17_and_3_are_accepted(suite: tuple[int, int, int], number: int) -> None:
    wire = Wire()
    session = opened(wire, suite)
    assert session.suite.number == number
    assert wire.sent[0][5] == OPEN_RESPONSE
    answer = message(wire.sent[0])
    assert answer[1] == 0
    assert (answer[16], answer[24], answer[32]) == suite


def test_other_suite_is_refused_with_a_status() -> None:
    wire = Wire()
    session = opened(wire, (0, 0, 0))
    assert session.is_closed
    assert message(wire.sent[0])[1] == 0x11


def test_unknown_user_is_refused_with_a_status() -> None:
    wire = Wire()
    session = opened(wire)
    session.receive(rakp1(session, b"nobody"))
    assert wire.sent[1][5] == RAKP2
    assert message(wire.sent[1])[1] == 0x0D
    assert session.is_closed


def test_known_user_is_challenged_and_not_let_in_yet() -> None:
    wire = Wire()
    session = opened(wire)
    session.receive(rakp1(session, b"admin"))
    answer = message(wire.sent[1])
    assert answer[1] == 0
    assert len(answer) == 40 + 32  # an HMAC-SHA256 at its end
    assert not session.is_open


def test_wrong_proof_is_refused() -> None:
    wire = Wire()
    session = opened(wire)
    session.receive(rakp1(session, b"admin"))
    session._got_rakp3(bytearray([9, 0, 0, 0]) + session.managedsessionid + bytes(32))
    assert message(wire.sent[2])[1] == 0x0F
    assert session.is_closed
    assert not session.is_open


def test_request_before_login_is_not_taken() -> None:
    wire = Wire()
    session = opened(wire)
    payload = b"\x20\x00\xe0\x81\x04\x02\x01\x78"  # chassis control: power on
    head = b"\x06\x00\xff\x07\x06\x00" + session.managedsessionid + bytes(4)
    session.receive(head + len(payload).to_bytes(2, "little") + payload + bytes(16))
    assert session.take() is None


def test_repeated_request_is_carried_out_once_and_answered_twice() -> None:
    wire = Wire()
    session = opened(wire)
    session.rqlun, session.clientaddr, session.seqlun = 0, 0x81, 5
    cycle = {"netfn": 0, "command": 2, "data": bytearray(b"\x02")}
    session.handle_client_request(cycle)
    request = session.take()
    assert request == Request(0, 2, b"\x02", 5)
    session.handle_client_request(cycle)  # while it is being carried out
    assert session.take() is None
    assert len(wire.sent) == 1
    session.answer(request)
    session.handle_client_request(cycle)  # its answer was lost
    assert session.take() is None
    assert wire.sent[1] == wire.sent[2]
    session.seqlun = 6
    session.handle_client_request(cycle)  # a new one
    assert session.take() == Request(0, 2, b"\x02", 6)
