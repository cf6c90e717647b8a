from ipaddress import IPv4Address

import pytest

from rackwright.api.dnsmasq.rogue import Offer, discover, parse_offer, parse_options

MAC = bytes.fromhex("020000000001")


def offer(transaction: int, kind: int = 2, server: bytes = bytes([10, 0, 0, 9])) -> bytes:
    message = bytearray(discover(MAC, transaction)[:240])
    message[0] = 2
    message[16:20] = bytes([10, 0, 0, 50])
    identifier = b"\x36\x04" + server if server else b""
    return bytes(message) + b"\x00\x35\x01" + bytes([kind]) + identifier + b"\xff"


def test_discover_is_a_broadcast_boot_request() -> None:
    message = discover(MAC, 0x01020304)
    assert len(message) >= 300
    assert message[:4] == b"\x01\x01\x06\x00"
    assert message[4:8] == b"\x01\x02\x03\x04"
    assert message[10:12] == b"\x80\x00"
    assert message[28:34] == MAC
    assert message[236:244] == b"\x63\x82\x53\x63\x35\x01\x01\xff"


def test_offer_names_its_server() -> None:
    expected = Offer(IPv4Address("10.0.0.9"), IPv4Address("10.0.0.50"))
    assert parse_offer(offer(7), 7, "10.0.0.1") == expected


def test_offer_without_an_identifier_is_its_senders() -> None:
    found = parse_offer(offer(7, server=b""), 7, "10.0.0.1")
    assert found is not None
    assert found.server == IPv4Address("10.0.0.1")


@pytest.mark.parametrize(
    "message",
    [b"", b"x" * 236, b"x" * 400, offer(8), offer(7, kind=5), discover(MAC, 7), offer(7)[:240]],
)
def test_anything_else_is_no_offer(message: bytes) -> None:
    assert parse_offer(message, 7, "10.0.0.1") is None


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (b"", {}),
        (b"\xff\x01\x01\x01", {}),
        (b"\x00\x00\x01\x02ab\xff", {1: b"ab"}),
        (b"\x01", {}),
        (b"\x01\xff", {1: b""}),
        (b"\x01\x09ab", {1: b"ab"}),
    ],
)
def test_options_as_far_as_they_are_well_formed(data: bytes, options: dict[int, bytes]) -> None:
    assert parse_options(data) == options
