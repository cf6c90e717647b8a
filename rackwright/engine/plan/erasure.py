"""The disks that a plan erases, as ramdisks reported them, and the names of installations."""

from collections.abc import Sequence

from rackwright.engine.machine import Machine
from rackwright.engine.plan.canonical import digest
from rackwright.engine.plan.disks import DiskError, choose_drive
from rackwright.engine.plan.inputs import Inputs
from rackwright.engine.plan.model import Erasure
from rackwright.engine.plan.resolve import ResolvedStage


def erasure_of(given: Inputs, one: ResolvedStage, image_digest: str, machine: Machine) -> Erasure:
    """What stage ``one`` erases on the machine. Raises DiskError where the drive is not clear."""
    drive = choose_drive(machine, given.spec.disks if given.spec else (), given.select)
    generation = machine.installed.generation + 1 if machine.installed else 1
    retries = one.stage.retries or one.spec.retries
    return Erasure(
        machine_id=str(machine.id),
        drive_serial=drive.serial,
        drive_wwn=drive.wwn,
        drive_model=drive.model,
        size_bytes=drive.size_bytes,
        sector_bytes=drive.sector_bytes,
        signatures=tuple(drive.signatures),
        install_id=install_id(machine.id, image_digest, drive.serial, generation),
        generation=generation,
        attempts=1 + retries.max,
        reason="reinstall requested" if machine.installed else "not installed",
        image_digest=image_digest,
    )


def image_digest_of(given: Inputs, one: ResolvedStage) -> str:
    """Of the image that the stage writes; "" if it writes none."""
    image = next((r for r in one.references if r.startswith("image/")), "")
    return given.artifacts.get(image, "")


def install_id(machine_id: str, image_digest: str, drive_serial: str, generation: int) -> str:
    """Names one installation: 16 hex digits, the same for the same four values."""
    return digest([machine_id, image_digest, drive_serial, generation])[:16]


def together(errors: Sequence[DiskError]) -> DiskError:
    """One error that names every machine whose drive is not clear (at most ten)."""
    if len(errors) == 1:
        return errors[0]
    first = errors[0]
    more = "\n".join(e.message for e in errors[1:10])
    first.message = f"{first.message}\n{more}"
    return first
