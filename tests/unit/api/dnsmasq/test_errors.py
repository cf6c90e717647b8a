"""What dnsmasq says as it ends, and what is told to do about it."""

import pytest

from rackwright.api.dnsmasq.errors import start_hint


@pytest.mark.parametrize(
    ("complaint", "hint"),
    [
        ("dnsmasq: failed to bind DHCP server socket: Address already in use", "ss -lunp"),
        (
            "dnsmasq: failed to create listening socket for 10.20.0.1: Address already in use",
            "ss -lunp",
        ),
        ("dnsmasq: unknown interface eth7", "ip address"),
        ("dnsmasq: cannot open or create lease file: Permission denied", "root"),
    ],
)
def test_a_known_complaint_has_a_hint(complaint: str, hint: str) -> None:
    assert hint in start_hint(complaint)


def test_an_unknown_complaint_has_none() -> None:
    assert start_hint("dnsmasq: bad option at line 3") == ""
