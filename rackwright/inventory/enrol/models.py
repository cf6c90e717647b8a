"""Input models of an enrolment: they validate what the tables will not.

Nothing that passes here can be an option of a program, a second shell word, or a second line.
"""

import base64
import binascii
import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from rackwright.inventory.errors import ConflictError
from rackwright.inventory.identity import mac_of, serial_of, uuid_of
from rackwright.inventory.machines import check_label

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")  # RFC 1123, section 2.1
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_CONSOLE = re.compile(r"tty[A-Za-z]{1,4}[0-9]{1,3}(?:,[0-9]{3,7}(?:[noe][5-8]r?)?)?")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,14}")  # IFNAMSIZ - 1
_SYSTEM = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._:-]{0,127})?")
_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
              "ssh-rsa")  # fmt: skip
_SUITES = (3, 17)  # RAKP-HMAC-SHA1/AES-128 and RAKP-HMAC-SHA256/AES-128: those that authenticate
_DHCP_RANGE_ENDS = 2
_IPV4 = 4
_SEGMENT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text[:80]!r} is not {what}")
        return text

    return AfterValidator(check)


def _plain_values(quirks: dict[str, Any]) -> dict[str, Any]:
    """Documents give texts; a quirk's number is a number."""
    return {
        key: int(value) if isinstance(value, str) and value.isdecimal() else value
        for key, value in quirks.items()
    }


def _host(text: str) -> str:
    """A name or address, optionally with a port; IPv6 with a port in brackets (RFC 3986, 3.2.2)."""
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text[:80]!r} is not an address")
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{text[:80]!r} has no valid port")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not _HOSTNAME.fullmatch(host.lower()) or host.replace(".", "").isdecimal():
            raise ValueError(f"{text[:80]!r} is not an address or host name") from None
    return text


def _ip(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _interface_address(text: str) -> str:
    if "/" not in text:
        raise ValueError(f"{text[:80]!r} has no prefix length: write it like 10.0.0.5/24")
    found = ipaddress.ip_interface(text)
    network = found.network
    is_small = network.prefixlen >= network.max_prefixlen - 1
    if not is_small and found.ip in (network.network_address, network.broadcast_address):
        raise ValueError(f"{text[:80]!r} is a network or broadcast address, not a machine's")
    return str(found)


def _subnet(text: str) -> str:
    return str(ipaddress.ip_network(text))


def _host_key(text: str) -> str:
    """An OpenSSH public key line whose blob says what the line says (RFC 4253, section 6.6)."""
    parts = text.split()
    if len(parts) < 2 or parts[0] not in _KEY_TYPES or "\n" in text.strip():
        raise ValueError("not an OpenSSH public host key such as 'ssh-ed25519 AAAA...'")
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except binascii.Error as error:
        raise ValueError("the host key's second word is not base64") from error
    length = int.from_bytes(blob[:4])
    if blob[4 : 4 + length] != parts[0].encode():
        raise ValueError("the host key's type and its content differ")
    return f"{parts[0]} {parts[1]}"


def _printable(text: str) -> str:
    if not text.isprintable() or len(text) > 256:
        raise ValueError("has unprintable characters, or is longer than 256")
    return text


def _user_name(text: str) -> str:
    if text.startswith("-"):
        raise ValueError("must not begin with '-'")
    return _printable(text)


def _secret_text(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not text.isprintable() or len(text) > 256:
        raise ValueError("has unprintable characters, or is longer than 256")
    return secret


def _absent(text: Any) -> Any:
    return "" if text is None else text


Host = Annotated[str, AfterValidator(_host)]
Ip = Annotated[str, AfterValidator(_ip)]
Cidr = Annotated[str, AfterValidator(_interface_address)]
Word = Annotated[str, _matching(_WORD, "a name of letters, digits and ._- inside")]
Printable = Annotated[str, BeforeValidator(_absent), AfterValidator(_printable)]


class Input(BaseModel):
    """Base: unknown keys are refused, and input values stand in no error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class BmcInput(Input):
    protocol: Literal["redfish", "ipmi", "manual", "none"]
    address: Host | None = None
    username: Annotated[str, AfterValidator(_user_name)] = ""
    password: Annotated[SecretStr, AfterValidator(_secret_text)] | None = None
    system: Annotated[str, _matching(_SYSTEM, "a Redfish system id")] = ""
    certificate_pem: str = Field(default="", max_length=65536)
    cipher_suite: int = 17
    quirks: Annotated[dict[str, Any], AfterValidator(_plain_values)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _reachable(self) -> "BmcInput":
        if self.protocol in ("redfish", "ipmi") and not self.address:
            raise ValueError(f"a BMC that speaks {self.protocol} needs an address")
        if self.protocol in ("redfish", "ipmi") and not self.username:
            raise ValueError(f"a BMC that speaks {self.protocol} needs a username")
        if self.cipher_suite not in _SUITES:
            raise ValueError("cipher_suite must be 17, or 3 for old BMCs: others do not protect")
        if self.certificate_pem and "BEGIN CERTIFICATE" not in self.certificate_pem:
            raise ValueError("certificate_pem is not a PEM certificate")
        return self


class NicInput(Input):
    mac: Annotated[str, AfterValidator(mac_of)]
    pxe: bool = False
    name: Annotated[str, _matching(_INTERFACE, "an interface name")] | None = None


class SshInput(Input):
    address: Host
    port: int = Field(default=22, ge=1, le=65535)
    user: Annotated[str, _matching(_USER, "a user name")]
    host_key: Annotated[str, AfterValidator(_host_key)]


class MachineInput(Input):
    name: Annotated[str, _matching(_HOSTNAME, "a host name (lower case letters, digits, -)")]
    site: Word = "default"
    rack: Word | None = None
    machine_class: Word | None = Field(default=None, alias="class")
    labels: dict[str, str] = Field(default_factory=dict)
    bmc: BmcInput | None = None
    nics: list[NicInput] = Field(default_factory=list, max_length=64)
    segment: Word | None = None
    address: Cidr | None = None
    cluster_address: Cidr | None = None
    uuid: Annotated[str | None, BeforeValidator(uuid_of)] = None
    serial: Annotated[str | None, BeforeValidator(serial_of), AfterValidator(_absent)] = None
    firmware: Literal["bios", "uefi"] | None = None
    protected: bool = False
    console: Annotated[str, _matching(_CONSOLE, "a console such as ttyS0,115200n8")] = (
        "ttyS0,115200n8"
    )
    boot_method: Literal["pxe", "httpboot", "virtual_media", "local"] = "pxe"
    boot_deadline_s: float = Field(default=1200.0, ge=30, le=7200)
    leave_netboot: Literal["auto", "exit", "sanboot"] = "auto"
    bios_disk: int = Field(default=0, ge=0, le=127)
    ssh: SshInput | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "MachineInput":
        if self.ssh is None and not self.nics:
            raise ValueError(
                "needs nics with the MAC that boots from the network, or ssh if it has an OS"
            )
        if sum(nic.pxe for nic in self.nics) > 1:
            raise ValueError("more than one NIC says pxe: true")
        if self.serial and not self.serial.isprintable():
            raise ValueError("the serial has unprintable characters")
        for key, value in self.labels.items():
            try:
                check_label(key, value)
            except ConflictError as error:
                raise ValueError(str(error)) from error
        return self

    @property
    def pxe_mac(self) -> str | None:
        """The NIC that says so, else the first."""
        chosen = [nic.mac for nic in self.nics if nic.pxe] or [nic.mac for nic in self.nics]
        return chosen[0] if chosen else None


class SegmentInput(Input):
    name: Annotated[str, _matching(_SEGMENT, "a segment name: lower case, digits and dashes")]
    site: Word = "default"
    subnet: Annotated[str, AfterValidator(_subnet)]
    vlan: int | None = Field(default=None, ge=1, le=4094)
    gateway: Ip | None = None
    mtu_bytes: int = Field(default=1500, ge=576, le=65535)
    dns: list[Ip] = Field(default_factory=list, max_length=8)
    ntp: list[Ip] = Field(default_factory=list, max_length=8)
    dhcp: Literal["full", "proxy", "external", "none"] = "none"
    dhcp_range: list[Ip] = Field(default_factory=list)
    relay: Ip | None = None
    interface: Annotated[str, _matching(_INTERFACE, "an interface name")] | None = None
    boot_server: Ip | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "SegmentInput":
        network = ipaddress.ip_network(self.subnet)
        for name, text in (("gateway", self.gateway), ("dhcp_range", self._first), *self._last):
            if text and ipaddress.ip_address(text) not in network:
                raise ValueError(f"{name} {text} is not in subnet {self.subnet}")
        if self.dhcp in ("full", "proxy") and not self.interface:
            raise ValueError(f"dhcp: {self.dhcp} needs the interface to serve")
        if self.dhcp == "full" and len(self.dhcp_range) != _DHCP_RANGE_ENDS:
            raise ValueError("dhcp: full needs dhcp_range: [first, last]")
        if self.dhcp != "none" and not self.boot_server:
            raise ValueError(f"dhcp: {self.dhcp} needs boot_server, our address on this segment")
        if self.dhcp != "none" and network.version != _IPV4:
            raise ValueError("machines boot over IPv4 only: give the segment an IPv4 subnet")
        if self.dhcp_range and not self._first_is_lower():
            raise ValueError("dhcp_range must be [first, last]")
        return self

    @property
    def _first(self) -> str | None:
        return self.dhcp_range[0] if self.dhcp_range else None

    @property
    def _last(self) -> list[tuple[str, str]]:
        return [("dhcp_range", end) for end in self.dhcp_range[1:]]

    def _first_is_lower(self) -> bool:
        ends = [ipaddress.ip_address(end) for end in self.dhcp_range]
        return len(ends) == _DHCP_RANGE_ENDS and int(ends[0]) <= int(ends[1])


class EnrolmentInput(Input):
    segments: list[SegmentInput] = Field(default_factory=list)
    machines: list[MachineInput] = Field(default_factory=list)


MODEL_AT: dict[str, type[Input]] = {
    "segments": SegmentInput,
    "machines": MachineInput,
    "nics": NicInput,
    "bmc": BmcInput,
    "ssh": SshInput,
}
