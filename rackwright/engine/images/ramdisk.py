"""The ramdisk's files out of a root: ``vmlinuz`` and ``initrd.zst`` (the whole root, packed)."""

import shutil
import subprocess
import tarfile
from pathlib import Path

from rackwright.engine.images.cpio import early_microcode, write_initramfs

KERNEL, INITRD = "vmlinuz", "initrd.zst"
# What the ramdisk wants on its command line beside console, controller and token.
CMDLINE = "systemd.gpt_auto=0 raid=noautodetect"
# The kernel is a file of its own; mmdebstrap itself needs apt's folders up to its end.
_MICROCODE = ("usr/lib/firmware/intel-ucode/", "usr/lib/firmware/amd-ucode/")
_LEFT_OUT = ("boot/", "etc/apt/", "var/lib/apt/")


def pack_ramdisk(root: Path, into: Path) -> dict[str, object]:
    """Write both files; returns the manifest's meta."""
    with tarfile.open(root) as tar:
        release = extract_kernel(tar, into / KERNEL)
        with (into / INITRD).open("wb") as early:
            early.write(early_microcode(_microcode(tar)))
        with (
            (into / INITRD).open("ab") as sink,
            subprocess.Popen(
                ["zstd", "-q", "-12", "-T0", "-c"], stdin=subprocess.PIPE, stdout=sink
            ) as zstd,
        ):
            assert zstd.stdin is not None
            write_initramfs(tar, zstd.stdin, _is_left_out)
            zstd.stdin.close()
            if zstd.wait() != 0:
                raise OSError(f"zstd ended with {zstd.returncode}")
    return {"kernel_release": release, "cmdline": CMDLINE}


def _is_left_out(name: str) -> bool:
    return name.startswith((*_LEFT_OUT, *_MICROCODE))


def _microcode(tar: tarfile.TarFile) -> dict[str, bytes]:
    found = {}
    for member in tar:
        name = member.name.removeprefix("./")
        if (
            name.startswith(_MICROCODE)
            and (member.isfile() or member.islnk())
            and not name.endswith((".asc", ".txt"))
        ):
            stream = tar.extractfile(member)
            found[name] = stream.read() if stream else b""
    return found


def extract_kernel(tar: tarfile.TarFile, target: Path) -> str:
    """Copy the only kernel of a root out of it; returns its release."""
    kernels = [m for m in tar.getmembers() if m.name.startswith("./boot/vmlinuz-")]
    if len(kernels) != 1:
        raise ValueError(f"expected one kernel in the root, found {len(kernels)}")
    stream = tar.extractfile(kernels[0])
    assert stream is not None
    with target.open("wb") as sink:
        shutil.copyfileobj(stream, sink)
    return kernels[0].name.removeprefix("./boot/vmlinuz-")
