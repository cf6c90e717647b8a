"""Read a ramdisk's contact: bounded bytes, bounded depth, checked shape.

A machine on the provisioning network is not trusted: nothing here may cost more than its bytes.
"""

import json
import re

from rackwright.api.boot.ipxe import normal_mac
from rackwright.api.boot.ports import Contact, Firmware

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8
_MAX_TEXT = 256
_MAX_MACS = 64
_BOOT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MACHINE_ID = re.compile(r"([0-9a-f]{32})?")
_DIGEST = re.compile(r"([0-9a-f]{64})?")
# RFC 8709 section 4: the ed25519 blob is 51 bytes, 68 characters of base64 without padding.
_HOST_KEY = re.compile(r"ssh-ed25519 (AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43})( .{0,256})?")


class InvalidContactError(ValueError):
    """The body is not a contact; ``field`` names what is wrong, never its value."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field}: missing or malformed")
        self.field = field


def parse_contact(body: bytes) -> Contact:
    """The contact in a JSON body of at most MAX_BYTES. Raises InvalidContactError.

    DMI strings are cleaned of control characters and cut; MACs that are not six bytes long (an
    InfiniBand port's) are left out.
    """
    fields = _object(body)
    return Contact(
        uuid=_text(fields, "uuid").lower(),
        serial=_text(fields, "serial"),
        vendor=_text(fields, "vendor"),
        product=_text(fields, "product"),
        macs=_macs(fields),
        boot_id=_matching(fields, "boot_id", _BOOT_ID),
        machine_id=_matching(fields, "machine_id", _MACHINE_ID),
        firmware=_firmware(fields),
        host_key=_host_key(fields),
        ramdisk=_matching(fields, "ramdisk", _DIGEST),
    )


def depth_of(body: bytes) -> int:
    """The deepest nesting of arrays and objects, without parsing. Linear in the bytes.

    Strings are skipped; an unterminated one runs to the end.
    """
    depth = deepest = 0
    for mark in re.finditer(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', body, re.DOTALL):
        match mark.group()[:1]:
            case b"[" | b"{":
                depth += 1
                deepest = max(deepest, depth)
            case b"]" | b"}":
                depth -= 1
    return deepest


def _object(body: bytes) -> dict[str, object]:
    if len(body) > MAX_BYTES or depth_of(body) > MAX_DEPTH:
        raise InvalidContactError("body")
    try:
        value = json.loads(body)
    except ValueError as cause:
        raise InvalidContactError("body") from cause
    if not isinstance(value, dict):
        raise InvalidContactError("body")
    return value


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise InvalidContactError(name)
    return "".join(c for c in value if c.isprintable()).strip()[:_MAX_TEXT]


def _matching(fields: dict[str, object], name: str, pattern: re.Pattern[str]) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidContactError(name)
    return value


def _macs(fields: dict[str, object]) -> tuple[str, ...]:
    value = fields.get("macs")
    if not isinstance(value, list) or len(value) > _MAX_MACS:
        raise InvalidContactError("macs")
    if not all(isinstance(item, str) for item in value):
        raise InvalidContactError("macs")
    return tuple(mac for item in value if (mac := normal_mac(item)))


def _firmware(fields: dict[str, object]) -> Firmware:
    match fields.get("firmware"):
        case "bios":
            return "bios"
        case "uefi":
            return "uefi"
        case _:
            raise InvalidContactError("firmware")


def _host_key(fields: dict[str, object]) -> str:
    value = fields.get("host_key")
    found = _HOST_KEY.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise InvalidContactError("host_key")
    return f"ssh-ed25519 {found.group(1)}"
