"""iPXE scripts. Every interpolated value is checked against a whitelist first.

iPXE expands ``${...}``, splits at spaces, and reads ``&&``, ``||`` and ``#``; none of these can
pass. (iPXE, src/core/exec.c and settings.c.)
"""

import re
from collections.abc import Sequence
from typing import Literal

KERNEL = "vmlinuz"
INITRD = "initrd.zst"

_BASE_URL = re.compile(r"http://[0-9A-Za-z.-]{1,253}(:[0-9]{1,5})?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}")
_KERNEL_ARG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,:=/+@%-]{0,254}")
_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}")
_RESERVED = ("rackwright.", "initrd=")


class UnsafeValueError(ValueError):
    """A value may not stand in a boot script. The message never quotes the value."""


def normal_mac(text: str) -> str | None:
    """The MAC in lower case with colons, None if ``text`` is not one."""
    lowered = text.lower()
    return lowered.replace("-", ":") if _MAC.fullmatch(lowered) else None


def boot_script(*, base_url: str, digest: str, token: str, kernel_args: Sequence[str]) -> str:
    """Boot the ramdisk; when a download fails, ask again (for a new token) after five seconds.

    Raises UnsafeValueError.
    """
    base = checked_base_url(base_url)
    _require(_DIGEST, digest, "ramdisk digest")
    _require(_TOKEN, token, "token")
    for arg in kernel_args:
        check_kernel_arg(arg)
    line = " ".join(
        [
            f"initrd={INITRD}",
            *kernel_args,
            f"rackwright.controller={base}",
            f"rackwright.token={token}",
        ]
    )
    files = f"{base}/boot/file/{digest}"
    return (
        "#!ipxe\n"
        "imgfree\n"
        f"kernel {files}/{KERNEL} {line} || goto again\n"
        f"initrd --name {INITRD} {files}/{INITRD} || goto again\n"
        "boot || goto again\n"
        ":again\n"
        "echo Rackwright: the boot failed, asking again\n"
        "sleep 5\n"
        f"chain --replace {base}/boot/ipxe/${{netX/mac:hexhyp}}\n"
    )


def leave_script(leave: Literal["auto", "exit", "sanboot"] = "auto", bios_disk: int = 0) -> str:
    """Give the machine back to its firmware: ``exit 1`` on UEFI, a disk on BIOS.

    Raises UnsafeValueError for a disk that the BIOS cannot count.
    """
    if not 0 <= bios_disk < 0x80:
        raise UnsafeValueError("BIOS disk: 0 to 127")
    disk = f"sanboot --no-describe --drive {0x80 + bios_disk:#x}\n"
    match leave:
        case "exit":
            return "#!ipxe\nexit 1\n"
        case "sanboot":
            return f"#!ipxe\n{disk}"
        case "auto":
            return f"#!ipxe\niseq ${{platform}} pcbios && goto disk || exit 1\n:disk\n{disk}"


def checked_base_url(base_url: str) -> str:
    """``base_url`` itself. Raises UnsafeValueError."""
    return _require(_BASE_URL, base_url, "boot server URL")


def check_kernel_arg(arg: str) -> str:
    """``arg`` itself, if it is one harmless word and none of ours. Raises UnsafeValueError."""
    _require(_KERNEL_ARG, arg, "kernel argument")
    if arg.startswith(_RESERVED):
        raise UnsafeValueError("kernel argument: rackwright.* and initrd= are set by us alone")
    return arg


def _require(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.fullmatch(value):
        raise UnsafeValueError(f"{what}: a character or a length that is not allowed there")
    return value
