"""From a segment to dnsmasq's configuration. Pure: no file is read or written here.

Unknown MACs are ignored (``dhcp-ignore=tag:!known``): only what lies in the hosts directory is
known, and only armed machines lie there. No DNS is served (``port=0``).

Sources: dnsmasq(8) 2.90; RFC 4578 section 2.1 (client architecture; the values that firmware in
the field sends are IANA's "Processor Architecture Types"); iPXE's option 175 marks its requests.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from rackwright.api.dnsmasq.errors import SegmentError

BIOS_LOADER = "undionly.kpxe"
UEFI_LOADER = "ipxe.efi"
ARM64_LOADER = "ipxe-arm64.efi"

_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PATH = re.compile(r"/[A-Za-z0-9._/-]{1,200}")
_LEASE = "15m"


class DhcpMode(StrEnum):
    FULL = "full"  # we give addresses
    PROXY = "proxy"  # another server gives addresses; we add the boot file
    EXTERNAL = "external"  # another server does it all, pointed at our script URL
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Segment:
    """One network that machines boot on."""

    name: str
    interface: str
    subnet: IPv4Network
    boot_server: IPv4Address
    mode: DhcpMode
    dhcp_range: tuple[IPv4Address, IPv4Address] | None = None  # full mode only
    gateway: IPv4Address | None = None
    dns: tuple[IPv4Address, ...] = ()
    ntp: tuple[IPv4Address, ...] = ()
    mtu_bytes: int = 1500
    boot_port: int = 8480

    @property
    def base_url(self) -> str:
        return f"http://{self.boot_server}:{self.boot_port}"

    @property
    def script_url(self) -> str:
        """Expanded by iPXE itself: netX is the NIC it opened last, the one that booted."""
        return f"{self.base_url}/boot/ipxe/${{netX/mac:hexhyp}}"


@dataclass(frozen=True, slots=True)
class StatePaths:
    """Where one dnsmasq keeps its files."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "dnsmasq.conf"

    @property
    def hosts(self) -> Path:
        return self.root / "hosts"

    @property
    def leases(self) -> Path:
        return self.root / "leases"

    @property
    def log(self) -> Path:
        return self.root / "dnsmasq.log"

    @property
    def startup_errors(self) -> Path:
        """What it said before its log was open."""
        return self.root / "stderr"

    @property
    def ready(self) -> Path:
        """dnsmasq's own pid file: it appears once all sockets are bound."""
        return self.root / "ready.pid"

    @property
    def process(self) -> Path:
        """Ours: which process serves which configuration."""
        return self.root / "process.json"

    @property
    def tftp(self) -> Path:
        return self.root / "tftp"


def render(
    segment: Segment,
    paths: StatePaths,
    *,
    user: str,
    loaders: Sequence[str],
    http_boot_url: str = "",
) -> str:
    """The configuration text. ``loaders`` are the file names present in the TFTP root.

    ``http_boot_url`` (of an EFI loader) also answers UEFI HTTP boot. Raises SegmentError.
    """
    check(segment)
    _require(_USER, user, "user")
    _require(_PATH, str(paths.root), "state directory")
    lines = [
        *_process_lines(paths, user),
        f"interface={segment.interface}",
        "except-interface=lo",
        "bind-interfaces",
        *_range_lines(segment),
        "dhcp-ignore=tag:!known",
        f"dhcp-hostsdir={paths.hosts}",
        f"dhcp-leasefile={paths.leases}",
        "log-dhcp",
        *_option_lines(segment),
        *_boot_lines(segment, loaders, http_boot_url),
        "enable-tftp",
        f"tftp-root={paths.tftp}",
        "tftp-no-fail",
    ]
    return "".join(line + "\n" for line in lines)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def check(segment: Segment) -> None:
    """Raises SegmentError where no configuration can serve the segment."""
    _require(_NAME, segment.name, "segment name")
    _require(_INTERFACE, segment.interface, "interface")
    if segment.mode not in (DhcpMode.FULL, DhcpMode.PROXY):
        raise SegmentError(f"segment {segment.name}: DHCP is {segment.mode}, dnsmasq stays off")
    if segment.boot_server not in segment.subnet:
        raise SegmentError(
            f"segment {segment.name}: boot server {segment.boot_server} is not in {segment.subnet}",
            hint="give boot_server the address of this host on the segment",
        )
    if segment.mode is DhcpMode.FULL:
        _check_range(segment)


def _check_range(segment: Segment) -> None:
    if segment.dhcp_range is None:
        raise SegmentError(
            f"segment {segment.name}: full DHCP without dhcp_range",
            hint="set dhcp_range: [first, last]",
        )
    first, last = segment.dhcp_range
    if first not in segment.subnet or last not in segment.subnet or first > last:
        raise SegmentError(
            f"segment {segment.name}: {first}-{last} is no range in {segment.subnet}"
        )
    if first <= segment.boot_server <= last:
        raise SegmentError(
            f"segment {segment.name}: dhcp_range holds the boot server {segment.boot_server}"
        )


def _process_lines(paths: StatePaths, user: str) -> list[str]:
    return [
        "port=0",
        "no-resolv",
        "no-hosts",
        f"user={user}",
        f"pid-file={paths.ready}",
        f"log-facility={paths.log}",
    ]


def _range_lines(segment: Segment) -> list[str]:
    mask = segment.subnet.netmask
    if segment.mode is DhcpMode.PROXY:
        return [f"dhcp-range={segment.subnet.network_address},proxy,{mask}"]
    if segment.dhcp_range is None:
        raise AssertionError("check() lets no full segment without a range through")
    first, last = segment.dhcp_range
    return ["dhcp-authoritative", f"dhcp-range={first},{last},{mask},{_LEASE}"]


def _option_lines(segment: Segment) -> list[str]:
    if segment.mode is DhcpMode.PROXY:
        return []
    router = str(segment.gateway) if segment.gateway else ""
    lines = [
        _option("router", router),
        _option("dns-server", ",".join(map(str, segment.dns))),
    ]
    if segment.ntp:
        lines.append(_option("ntp-server", ",".join(map(str, segment.ntp))))
    if segment.mtu_bytes != 1500:
        lines.append(_option("mtu", str(segment.mtu_bytes)))
    return lines


def _option(name: str, value: str) -> str:
    """An option without a value is not sent at all, not even dnsmasq's default for it."""
    return f"dhcp-option=option:{name},{value}" if value else f"dhcp-option=option:{name}"


def _boot_lines(segment: Segment, loaders: Sequence[str], http_boot_url: str) -> list[str]:
    lines = [
        "dhcp-match=set:ipxe,175",
        "dhcp-match=set:bios,option:client-arch,0",
        "dhcp-match=set:efi64,option:client-arch,7",
        "dhcp-match=set:efi64,option:client-arch,9",
        "dhcp-match=set:arm64,option:client-arch,11",
        f"dhcp-boot=tag:ipxe,{segment.script_url},,{segment.boot_server}",
    ]
    if segment.mode is DhcpMode.PROXY:
        lines += ["pxe-prompt=tag:!ipxe,Rackwright,0"]
    for tag, service, loader in (
        ("bios", "x86PC", BIOS_LOADER),
        ("efi64", "X86-64_EFI", UEFI_LOADER),
        ("efi64", "BC_EFI", UEFI_LOADER),
        ("arm64", "ARM64_EFI", ARM64_LOADER),
    ):
        if loader not in loaders:
            continue
        boot = f"dhcp-boot=tag:!ipxe,tag:{tag},{loader},,{segment.boot_server}"
        if boot not in lines:
            lines.append(boot)
        if segment.mode is DhcpMode.PROXY:
            lines.append(f"pxe-service=tag:!ipxe,{service},Rackwright,{loader}")
    if http_boot_url:
        lines += [
            "dhcp-match=set:efihttp,option:client-arch,16",
            "dhcp-option-force=tag:efihttp,option:vendor-class,HTTPClient",
            f"dhcp-boot=tag:efihttp,{http_boot_url}",
        ]
    return lines


def _require(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.fullmatch(value):
        raise SegmentError(f"{what} {value!r} cannot stand in dnsmasq's configuration")
