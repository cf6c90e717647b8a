"""The OS image's files out of a root: a minimal ext4 (``rootfs.ext4.zst``), and the package bundle.

The filesystem uses 4096-byte blocks, so that it fits drives of either sector size, and is made
without a mount. Its UUID is fixed here and made anew by the install.
"""

import hashlib
import io
import json
import re
import subprocess
import tarfile
from pathlib import Path

from rackwright.engine.images.package import with_fast_data
from rackwright.engine.images.root import EPOCH

ROOTFS, ABOUT = "rootfs.ext4.zst", "image.json"
_BUNDLE_PREFIX = "./rackwright-bundle/"
_UUID = "00000000-0000-4000-8000-000000000012"
_BLOCK_BYTES = 4096
# Named one by one, so that the build host's defaults do not matter: what GRUB 2.06 and Linux 6.1
# read. With metadata_csum_seed the install gives a new UUID without rewriting every checksum.
_FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,"
    "large_file,huge_file,dir_nlink,extra_isize,metadata_csum,metadata_csum_seed"
)
# The filesystem can grow in place to this many blocks (16 TiB) before its descriptors move.
_RESIZE_BLOCKS = 1 << 32


def pack_disk(root: Path, work: Path, into: Path) -> dict[str, object]:
    """Write ``rootfs.ext4.zst`` and ``image.json`` into the folder; returns the manifest's meta."""
    tree = work / "tree"
    tree.mkdir(mode=0o755)
    _run(
        [
            *("tar", "--extract", "--file", str(root), "--directory", str(tree)),
            *("--same-owner", "--same-permissions", "--numeric-owner", "--xattrs"),
            *("--xattrs-include=*", "--exclude=./dev/*", f"--exclude={_BUNDLE_PREFIX}*"),
        ]
    )
    (tree / "rackwright-bundle").rmdir()
    filesystem = work / "rootfs.ext4"
    with tarfile.open(root) as tar:
        content_bytes = sum(
            -(-m.size // _BLOCK_BYTES) * _BLOCK_BYTES + 512
            for m in tar
            if not m.name.startswith(_BUNDLE_PREFIX)
        )
    filesystem_bytes = make_filesystem(tree, filesystem, content_bytes)
    _run(["zstd", "-q", "-12", "-T0", "-o", str(into / ROOTFS), str(filesystem)])
    release = next(iter((tree / "boot").glob("vmlinuz-*"))).name.removeprefix("vmlinuz-")
    initrd_bytes = (tree / "boot" / f"initrd.img-{release}").stat().st_size
    meta: dict[str, object] = {
        "kernel_release": release,
        "filesystem": "ext4",
        "filesystem_bytes": filesystem_bytes,
        "initrd_bytes": initrd_bytes,
        "os": _pretty_name(tree),
    }
    # what the install must know beforehand travels with the image, under its digest
    (into / ABOUT).write_text(json.dumps(meta, sort_keys=True) + "\n")
    return meta


def make_filesystem(tree: Path, filesystem: Path, content_bytes: int) -> int:
    """An ext4 of minimal size holding the tree; returns its size in bytes."""
    room_bytes = content_bytes * 5 // 4 + (128 << 20)
    with filesystem.open("wb") as stream:
        stream.truncate(room_bytes)
    environment = {"E2FSPROGS_FAKE_TIME": str(EPOCH), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    _run(
        [
            *("mkfs.ext4", "-q", "-F", "-b", str(_BLOCK_BYTES), "-i", "16384", "-m", "1"),
            *("-I", "256", "-J", "size=32", "-O", _FEATURES, "-L", "root"),
            *("-U", _UUID, "-E", f"hash_seed={_UUID},resize={_RESIZE_BLOCKS - 1}"),
            *("-d", str(tree), str(filesystem)),
        ],
        environment,
    )
    _run(["resize2fs", "-M", str(filesystem)], environment)
    listed = _run(["dumpe2fs", "-h", str(filesystem)], environment)
    match = re.search(r"^Block count:\s+(\d+)$", listed, re.MULTILINE)
    if not match:
        raise ValueError("dumpe2fs names no block count")
    size_bytes = int(match[1]) * _BLOCK_BYTES
    with filesystem.open("r+b") as stream:
        stream.truncate(size_bytes)
    return size_bytes


def pack_bundle(root: Path, target: Path) -> dict[str, object]:
    """A plain tar of the packages, recompressed, and their ``SHA256SUMS``; returns the meta."""
    names, sums = [], []
    with tarfile.open(root) as tar, tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as out:
        members = [m for m in tar if m.name.startswith(_BUNDLE_PREFIX) and m.isfile()]
        for member in sorted(members, key=lambda m: m.name):
            name = member.name.removeprefix(_BUNDLE_PREFIX)
            if not name.endswith(".deb"):
                continue
            stream = tar.extractfile(member)
            assert stream is not None
            body = with_fast_data(stream.read())
            sums.append(f"{hashlib.sha256(body).hexdigest()}  {name}\n")
            names.append(name)
            add_bytes(out, name, body)
        if not names:
            raise ValueError("the bundle holds no package")
        add_bytes(out, "SHA256SUMS", "".join(sums).encode())
    return {"packages": names}


def add_bytes(out: tarfile.TarFile, name: str, body: bytes, mode: int = 0o644) -> None:
    """One regular file, root's, with the fixed time."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(body), mode, EPOCH
    out.addfile(member, io.BytesIO(body))


def _pretty_name(tree: Path) -> str:
    text = (tree / "usr/lib/os-release").read_text()
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', text, re.MULTILINE)
    return match[1] if match else ""


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout
