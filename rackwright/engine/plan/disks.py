"""Which drive of a machine is meant: by rule, from what a ramdisk reported, never by guess.

Ambiguity is refused. Removable, USB, iSCSI, FC and virtual-media drives match only by explicit
WWN. Paths to one drive (the same WWN, or the same serial, size and model without one) count once.
"""

import re
from collections.abc import Callable, Sequence

from rackwright.engine.content.quantities import size_text
from rackwright.engine.errors import OperatorError
from rackwright.engine.machine import Drive, Machine
from rackwright.engine.plan.spec import DiskRule

Select = Callable[[str, Machine], bool]

_EXTERNAL_TRANSPORTS = frozenset(("usb", "iscsi", "fc", "fcoe", "firewire", "ieee1394", "sbp"))
# Drives that BMCs present over USB or as a floppy: AMI, Dell, HPE, Lenovo and Supermicro say
# "Virtual" in the model; kept as a second net behind transport and removable.
_VIRTUAL_MEDIA = re.compile(
    r"virtual (?:cd|dvd|floppy|hdisk|media|disk image)|\bvirtual\d|ilo virtual|lcdrive", re.I
)
_PLACEHOLDERS = frozenset(
    ("", "0", "none", "unknown", "n/a", "na", "null", "default", "default string", "0123456789")
)
_SIZE_TOLERANCE = 0.05  # "480GB" drives differ by vendor


class DiskError(OperatorError):
    """No drive, or more than one, fits the rule; ``candidates`` are those in question."""

    def __init__(self, machine: str, message: str, candidates: Sequence[Drive], hint: str) -> None:
        listed = "; ".join(drive_text(d) for d in candidates[:10])
        super().__init__(
            f"machine {machine}: {message}{': ' if listed else ''}{listed}",
            hint=hint,
            machine=machine,
        )
        self.candidates = tuple(candidates)


def drive_text(drive: Drive) -> str:
    """A drive for people: serial (or WWN), model, size, what it holds."""
    name = f"serial {drive.serial}" if drive.serial else f"wwn {drive.wwn or 'none'}"
    held = f", holds {', '.join(drive.signatures) or 'data'}" if drive.has_data else ""
    return f"{name} ({drive.model or 'no model'}, {size_text(drive.size_bytes)}{held})"


def choose_drive(machine: Machine, rules: Sequence[DiskRule], select: Select) -> Drive:
    """The one drive that the first rule for this machine matches. Raises DiskError."""
    rule = next((r for r in rules if select(r.selector, machine)), DiskRule())
    drives = distinct_drives(machine.drives or ())
    found = [d for d in drives if matches(rule, d)]
    if not found:
        raise DiskError(
            machine.name,
            f"no drive fits {rule}" if drives else "it has no drives",
            drives,
            "change the disk rule; removable and network drives need their wwn"
            if drives
            else "check the controller, then discover again",
        )
    if len(found) > 1:
        raise DiskError(
            machine.name,
            f"{len(found)} drives fit {rule}",
            found,
            f'add a rule, such as {{selector: "name={machine.name}", serial: {found[0].serial}}}',
        )
    _refuse_unidentified(machine, found[0], drives, rule)
    return found[0]


def distinct_drives(drives: Sequence[Drive]) -> tuple[Drive, ...]:
    """Each drive once, however many paths lead to it, in an order of its own."""
    if len(drives) < 2:
        return tuple(drives)
    by_identity: dict[tuple[object, ...], Drive] = {}
    for index, drive in enumerate(sorted(drives, key=_order)):
        by_identity.setdefault(_identity(drive, index), drive)
    return tuple(by_identity.values())


def matches(rule: DiskRule, drive: Drive) -> bool:
    """Whether every condition of the rule holds for the drive."""
    if rule.wwn:
        if bare_wwn(rule.wwn) != bare_wwn(drive.wwn):
            return False
    elif is_external(drive):
        return False
    if drive.size_bytes <= 0 or (rule.serial and rule.serial.strip() != drive.serial.strip()):
        return False
    if rule.model and rule.model.lower() not in drive.model.lower():
        return False
    return _fits_size(rule, drive) and (not rule.type or rule.type == drive_type(drive))


def is_external(drive: Drive) -> bool:
    return (
        drive.removable
        or drive.transport.lower() in _EXTERNAL_TRANSPORTS
        or _VIRTUAL_MEDIA.search(drive.model) is not None
    )


def drive_type(drive: Drive) -> str:
    """nvme, virtio, ssd or hdd; an NVMe drive is not called ssd, so that a rule can tell them."""
    transport = drive.transport.lower()
    if transport in ("nvme", "virtio"):
        return transport
    return "hdd" if drive.rotational else "ssd"


def bare_wwn(wwn: str) -> str:
    """Without the prefixes that tools put before it: ``0x5000...``, ``naa.``, ``eui.``."""
    return re.sub(r"\A(0x|naa\.|eui\.|nvme\.|t10\.|uuid\.|wwn-)+", "", wwn.strip().lower())


def _fits_size(rule: DiskRule, drive: Drive) -> bool:
    size = drive.size_bytes
    if rule.size_bytes is not None and abs(size - rule.size_bytes) > (
        rule.size_bytes * _SIZE_TOLERANCE
    ):
        return False
    if rule.min_size_bytes is not None and size < rule.min_size_bytes:
        return False
    return rule.max_size_bytes is None or size <= rule.max_size_bytes


def _order(drive: Drive) -> tuple[bool, str, str, str]:
    """External paths first: a drive that one of them leads to counts as external."""
    return (not is_external(drive), drive.serial, drive.wwn, repr(drive))


def _is_real(text: str) -> bool:
    bare = text.strip().lower()
    return bare not in _PLACEHOLDERS and len(set(bare)) > 1


def _identity(drive: Drive, index: int) -> tuple[object, ...]:
    wwn = bare_wwn(drive.wwn)
    if _is_real(wwn):
        return ("wwn", wwn)
    if _is_real(drive.serial):
        return ("serial", drive.serial.strip(), drive.size_bytes, drive.model)
    return ("unidentified", index)


def _refuse_unidentified(
    machine: Machine, drive: Drive, drives: Sequence[Drive], rule: DiskRule
) -> None:
    """The ramdisk re-reads serial and size before it writes: they must tell this drive."""
    if not _is_real(drive.serial):
        raise DiskError(
            machine.name,
            "the drive has no serial of its own and could not be told from another",
            (drive,),
            "choose another drive",
        )
    twins = [d for d in drives if d.serial.strip() == drive.serial.strip()]
    if len(twins) > 1 and not rule.wwn:
        raise DiskError(
            machine.name,
            f"{len(twins)} drives report one serial",
            twins,
            "name the drive by its wwn",
        )
