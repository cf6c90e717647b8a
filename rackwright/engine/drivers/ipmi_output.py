"""What ipmitool's words mean. Pure; the data cases are recorded exchanges under tests/cases/ipmi.

Sources: IPMI 2.0 rev 1.1, table 5-2 (completion codes) and table 28-14 (boot options, parameter 5);
the words are those of ipmitool 1.8.19.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rackwright.engine.drivers.faults import (
    BusyError,
    NotSentError,
    RefusedError,
    UnansweredError,
)
from rackwright.engine.drivers.power.base import BootDevice, PowerState
from rackwright.engine.drivers.quirks import Identity
from rackwright.engine.drivers.redaction import foreign_text
from rackwright.engine.errors import EngineError, OperatorError

_POWER = re.compile(r"^Chassis Power is (on|off)\s*$", re.MULTILINE)
_BOOT_DATA = re.compile(r"^Boot parameter data: ([0-9a-fA-F]{4,})\s*$", re.MULTILINE)
_RECORDS = re.compile(r"^Record Count\s*:\s*(\d+)", re.MULTILINE)
_DEVICES = {0x04: BootDevice.PXE, 0x08: BootDevice.DISK}

# A completion code, in words, at the end of the command's own complaint.
_COMPLETION = re.compile(
    r"^(?:[A-Z][^\n]*? failed|Unable to send RAW command \([^)\n]*rsp=0x\w+\)): ([^\n]+)$", re.M
)
# Parameters 0 to 4 (progress, partitions, valid bits, acknowledge) are prologue: many a BMC refuses
# one of them and keeps the boot flags of parameter 5, which are read back.
_SET_FAILED = re.compile(r"^Set (?!Chassis Boot Parameter [0-4] )[^\n]*? failed: ", re.M)
_HELD = re.compile(r"Boot Parameter \d+ failed: Attempt to set 'in progress'", re.I)
SET_IN_PROGRESS = 0x81  # IPMI 2.0 section 28.12: another console's setting has not ended
_CREDENTIALS = re.compile(r"RAKP \d HMAC is invalid|unauthorized name|invalid user ?name", re.I)
_CIPHER = re.compile(
    r"no matching cipher suite|no cipher suite match"
    r"|invalid (?:authentication|integrity|confidentiality) algorithm",
    re.I,
)
_PRIVILEGE = re.compile(
    r"insufficient privilege|unauthorized role|privilege level requested"
    r"|Set Session Privilege Level to \w+ failed:",  # without a code its answer was lost
    re.I,
)
_BUSY = re.compile(
    r"node busy|insufficient resources|out of space|in progress|update mode|initialization"
    r"|BMC busy",
    re.I,
)
# The BMC may have done it, and says that it cannot say: completion codes 0xc3 and 0xce.
_UNSURE = re.compile(r"^timeout$|response could not be provided", re.I)
_NO_SESSION = re.compile(
    r"Unable to establish|Get Auth Capabilities error|Could not open socket|Address lookup", re.I
)
_NOISE = re.compile(
    r"^(?:Loading IANA|Running Get|Discovered|Invalid completion code received|Get HPM).*$", re.M
)


@dataclass(frozen=True, slots=True)
class BootFlags:
    """Boot options parameter 5, bytes 1 and 2."""

    is_valid: bool
    is_persistent: bool
    is_efi: bool
    device: BootDevice | None  # None: no override, or one that is none of ours
    first_byte: int


def parse_power(stdout: str) -> PowerState:
    found = _POWER.search(stdout)
    if found is None:
        return PowerState.UNKNOWN
    return PowerState.ON if found[1] == "on" else PowerState.OFF


def parse_boot_flags(stdout: str) -> BootFlags | None:
    """None when the answer holds no parameter data."""
    found = _BOOT_DATA.search(stdout)
    if found is None:
        return None
    first, second = bytes.fromhex(found[1][:4])
    return BootFlags(
        is_valid=bool(first & 0x80),
        is_persistent=bool(first & 0x40),
        is_efi=bool(first & 0x20),
        device=_DEVICES.get(second & 0x3C),
        first_byte=first,
    )


def parse_identity(stdout: str) -> Identity:
    """From ``mc info``; a product without a name is known by its number."""
    values: dict[str, str] = {}
    for line in stdout.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            values.setdefault(key.strip(), value.strip())
    model = values.get("Product Name", "")
    if not model or model.startswith("Unknown"):
        model = values.get("Product ID", "")
    return Identity(values.get("Manufacturer Name", ""), model, values.get("Firmware Revision", ""))


def parse_record_count(stdout: str) -> int:
    found = _RECORDS.search(stdout)
    return int(found[1]) if found else 0


def parse_sensors(stdout: str) -> Mapping[str, str]:
    """``sdr list``: name to reading; sensors without a reading are left out."""
    found: dict[str, str] = {}
    for line in stdout.splitlines():
        parts = [part.strip() for part in line.split("|")]
        if len(parts) != 3 or parts[2] == "ns" or parts[1] in ("no reading", "disabled"):
            continue
        found[parts[0]] = parts[1]
    return found


def has_refused_setting(stderr: str) -> bool:
    """Whether something was not set: ``chassis bootdev`` (1.8.19) exits with 0 all the same."""
    return _SET_FAILED.search(stderr) is not None


def fault_of(stderr: str, name: str, secrets: tuple[str, ...] = ()) -> EngineError:
    """What a failed ipmitool run means. The completion code decides where there is one."""
    said = foreign_text(_NOISE.sub("", stderr), secrets) or "it said nothing"
    code = _COMPLETION.search(stderr)
    if code is not None and _UNSURE.search(code[1].strip()):
        return UnansweredError(f"{name}: the BMC cannot say whether it acted: {said}")
    if _HELD.search(stderr):
        return RefusedError(
            f"{name}: another console holds the boot options: {said}", status=SET_IN_PROGRESS
        )
    if _BUSY.search(stderr):
        return BusyError(f"{name}: the BMC is busy: {said}")
    if _PRIVILEGE.search(stderr):
        return OperatorError(
            f"{name}: the BMC's account lacks a privilege: {said}",
            hint="give it ADMINISTRATOR on the LAN channel, or set the quirk privilege: OPERATOR",
        )
    if _CIPHER.search(stderr):
        return OperatorError(
            f"{name}: the BMC does not speak this cipher suite: {said}",
            hint="set cipher_suite: 3 for this BMC, if its firmware cannot be updated",
        )
    if _CREDENTIALS.search(stderr):
        return OperatorError(
            f"{name}: the BMC rejected the credentials: {said}",
            hint="check user name, password and that IPMI over LAN is enabled for the account",
        )
    if code is not None:
        return RefusedError(f"{name}: the BMC refused: {said}")
    if _NO_SESSION.search(stderr):
        return NotSentError(
            f"{name}: no IPMI session: {said}",
            hint="check the BMC's address, UDP port 623 and that IPMI over LAN is enabled",
        )
    return UnansweredError(f"{name}: no answer: {said}")
