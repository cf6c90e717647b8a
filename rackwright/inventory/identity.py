"""Identities of hardware: MAC addresses, UUIDs, serials, and the placeholders that are none."""

import re
import uuid as uuids

_MAC = re.compile(r"[0-9a-f]{2}([:-]?)(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}")
_PLACEHOLDERS = frozenset(
    {
        "", "0", "00000000", "0123456789", "123456789", "1234567890", "n/a", "na", "none", "null",
        "default", "default string", "empty", "invalid", "not applicable", "not available",
        "not provided", "not specified", "not set", "o.e.m.", "oem", "serial", "serial number",
        "system serial number", "chassis serial number", "to be filled by o.e.m.",
        "to be filled by o.e.m", "to be filled by oem", "unknown", "undefined", "xxxxxxxx", "bochs",
    }
)  # fmt: skip
# UUIDs that whole product lines share: AMI's and others' firmware defaults
_SHARED_UUIDS = frozenset(
    {
        "00020003-0004-0005-0006-000700080009",
        "03000200-0400-0500-0006-000700080009",
        "12345678-1234-5678-90ab-cddeefaabbcc",
        "12345678-1234-1234-1234-123456789abc",
    }
)


def mac_of(text: str) -> str:
    """A MAC address in lower case with colons. Raises ValueError when it names no single NIC."""
    lowered = text.strip().lower()
    if not _MAC.fullmatch(lowered):
        raise ValueError(f"{text!r} is not a MAC address such as 52:54:00:12:34:56")
    digits = lowered.replace(":", "").replace("-", "")
    if digits in ("0" * 12, "f" * 12) or int(digits[:2], 16) & 1:
        raise ValueError(f"{text!r} is a multicast, broadcast or all-zero address, not a NIC's")
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def serial_of(text: str | None) -> str | None:
    """A serial number, None where firmware vendors left a placeholder."""
    trimmed = " ".join((text or "").split())
    if trimmed.lower() in _PLACEHOLDERS or (len(set(trimmed)) == 1 and trimmed[0] in "0xXfF.-*"):
        return None
    return trimmed


def uuid_of(text: str | None) -> str | None:
    """A UUID in lower case, None for a placeholder. Raises ValueError when it is no UUID."""
    trimmed = (text or "").strip()
    if trimmed.lower() in _PLACEHOLDERS:
        return None
    try:
        parsed = str(uuids.UUID(trimmed))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a UUID") from error
    digits = parsed.replace("-", "")
    return None if len(set(digits)) == 1 or parsed in _SHARED_UUIDS else parsed


def same_uuid(left: str, right: str) -> bool:
    """Whether two UUIDs are one, read in either byte order.

    SMBIOS before 2.6 did not say in which order the first three fields stand (DSP0134 3.6, 7.2.1),
    so firmware, boot loader and kernel may differ.
    """
    first, second = uuids.UUID(left), uuids.UUID(right)
    return first == second or first.bytes_le == second.bytes
