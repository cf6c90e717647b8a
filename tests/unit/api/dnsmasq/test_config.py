from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from rackwright.api.dnsmasq.config import DhcpMode, Segment, StatePaths, check, digest, render
from rackwright.api.dnsmasq.errors import SegmentError

PATHS = StatePaths(Path("/run/rackwright/x/dnsmasq-lab"))
LOADERS = ("undionly.kpxe", "ipxe.efi")
FULL = Segment(
    name="lab",
    interface="rw0",
    subnet=IPv4Network("10.77.0.0/24"),
    boot_server=IPv4Address("10.77.0.1"),
    mode=DhcpMode.FULL,
    dhcp_range=(IPv4Address("10.77.0.100"), IPv4Address("10.77.0.199")),
)
PROXY = replace(FULL, mode=DhcpMode.PROXY, dhcp_range=None)


def lines(segment: Segment, **options: str) -> list[str]:
    return render(segment, PATHS, user="dnsmasq", loaders=LOADERS, **options).splitlines()


def test_full_mode() -> None:
    assert lines(FULL) == [
        "port=0",
        "no-resolv",
        "no-hosts",
        "user=dnsmasq",
        "pid-file=/run/rackwright/x/dnsmasq-lab/ready.pid",
        "log-facility=/run/rackwright/x/dnsmasq-lab/dnsmasq.log",
        "interface=rw0",
        "except-interface=lo",
        "bind-interfaces",
        "dhcp-authoritative",
        "dhcp-range=10.77.0.100,10.77.0.199,255.255.255.0,15m",
        "dhcp-ignore=tag:!known",
        "dhcp-hostsdir=/run/rackwright/x/dnsmasq-lab/hosts",
        "dhcp-leasefile=/run/rackwright/x/dnsmasq-lab/leases",
        "log-dhcp",
        "dhcp-option=option:router",
        "dhcp-option=option:dns-server",
        "dhcp-match=set:ipxe,175",
        "dhcp-match=set:bios,option:client-arch,0",
        "dhcp-match=set:efi64,option:client-arch,7",
        "dhcp-match=set:efi64,option:client-arch,9",
        "dhcp-match=set:arm64,option:client-arch,11",
        "dhcp-boot=tag:ipxe,http://10.77.0.1:8480/boot/ipxe/${netX/mac:hexhyp},,10.77.0.1",
        "dhcp-boot=tag:!ipxe,tag:bios,undionly.kpxe,,10.77.0.1",
        "dhcp-boot=tag:!ipxe,tag:efi64,ipxe.efi,,10.77.0.1",
        "enable-tftp",
        "tftp-root=/run/rackwright/x/dnsmasq-lab/tftp",
        "tftp-no-fail",
    ]


def test_options_of_the_segment() -> None:
    told = lines(
        replace(
            FULL,
            gateway=IPv4Address("10.77.0.254"),
            dns=(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")),
            ntp=(IPv4Address("10.0.0.3"),),
            mtu_bytes=9000,
        )
    )
    assert "dhcp-option=option:router,10.77.0.254" in told
    assert "dhcp-option=option:dns-server,10.0.0.1,10.0.0.2" in told
    assert "dhcp-option=option:ntp-server,10.0.0.3" in told
    assert "dhcp-option=option:mtu,9000" in told


def test_proxy_mode_gives_no_address_and_no_options() -> None:
    told = lines(PROXY)
    assert "dhcp-range=10.77.0.0,proxy,255.255.255.0" in told
    assert "dhcp-authoritative" not in told
    assert not [line for line in told if line.startswith("dhcp-option")]
    assert "pxe-service=tag:!ipxe,X86-64_EFI,Rackwright,ipxe.efi" in told


def test_loader_that_is_not_there_is_not_offered() -> None:
    told = render(FULL, PATHS, user="dnsmasq", loaders=("ipxe-arm64.efi",))
    assert "dhcp-boot=tag:!ipxe,tag:arm64,ipxe-arm64.efi,,10.77.0.1" in told
    assert "undionly" not in told


def test_http_boot_is_offered_where_asked_for() -> None:
    told = lines(FULL, http_boot_url="http://10.77.0.1:8480/x.efi")
    assert "dhcp-option-force=tag:efihttp,option:vendor-class,HTTPClient" in told
    assert "dhcp-boot=tag:efihttp,http://10.77.0.1:8480/x.efi" in told


@pytest.mark.parametrize(
    ("segment", "says"),
    [
        (replace(FULL, mode=DhcpMode.NONE), "DHCP is none"),
        (replace(FULL, mode=DhcpMode.EXTERNAL), "DHCP is external"),
        (replace(FULL, dhcp_range=None), "without dhcp_range"),
        (replace(FULL, boot_server=IPv4Address("10.78.0.1")), "boot server"),
        (replace(FULL, dhcp_range=(IPv4Address("10.77.0.9"), IPv4Address("10.77.0.2"))), "range"),
        (replace(FULL, dhcp_range=(IPv4Address("10.77.0.1"), IPv4Address("10.77.0.9"))), "holds"),
        (replace(FULL, dhcp_range=(IPv4Address("10.7.0.1"), IPv4Address("10.77.0.9"))), "range"),
        (replace(FULL, interface="rw0\nenable-dbus"), "interface"),
        (replace(FULL, interface="a b"), "interface"),
        (replace(FULL, name="../x"), "segment name"),
    ],
)
def test_what_cannot_be_served_is_refused(segment: Segment, says: str) -> None:
    with pytest.raises(SegmentError, match=says):
        check(segment)


def test_state_directory_and_user_cannot_smuggle_lines() -> None:
    with pytest.raises(SegmentError):
        render(FULL, StatePaths(Path("/run/x\nuser=root")), user="dnsmasq", loaders=LOADERS)
    with pytest.raises(SegmentError):
        render(FULL, PATHS, user="root\nport=53", loaders=LOADERS)


def test_digest_follows_the_text() -> None:
    assert digest("a") == digest("a") != digest("b")
