"""A ``docker load``-able image from one static binary. Same binary, same bytes.

Format: Docker Image Specification v1.2, "Combined Image JSON + Filesystem Changeset Format"
(manifest.json, a config named by its digest, one layer tar).
"""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

from rackwright.engine.images.disk import add_bytes
from rackwright.engine.images.root import EPOCH

_CREATED = "2025-01-01T00:00:00Z"  # EPOCH


def pack_workload(root: Path, work: Path, target: Path, *, binary: str, tag: str) -> None:
    """Write the image tar: the binary, a link for each of its applets, /etc and /tmp."""
    with tarfile.open(root) as tar:
        member = next(
            m for m in tar if m.name.removeprefix("./") in (binary, f"usr/{binary}") and m.isfile()
        )
        stream = tar.extractfile(member)
        assert stream is not None
        body = stream.read()
    program = work / "busybox"  # it acts by the name it is called
    program.write_bytes(body)
    program.chmod(0o755)
    listed = subprocess.run(
        [str(program), "--list"], capture_output=True, text=True, check=True, timeout=30
    )
    layer = make_layer(body, binary, sorted(set(listed.stdout.split()) - {"busybox"}))
    target.write_bytes(make_image(layer, tag))


def make_layer(body: bytes, binary: str, applets: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as out:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime = tarfile.DIRTYPE, mode, EPOCH
            out.addfile(member)
        add_bytes(out, binary, body, 0o755)
        for applet in applets:
            member = tarfile.TarInfo(f"bin/{applet}")
            member.type, member.linkname, member.mtime = tarfile.SYMTYPE, "busybox", EPOCH
            out.addfile(member)
        add_bytes(out, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
        add_bytes(out, "etc/group", b"root:x:0:\n")
    return buffer.getvalue()


def make_image(layer: bytes, tag: str) -> bytes:
    layer_digest = hashlib.sha256(layer).hexdigest()
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": _CREATED,
            "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "history": [{"created": _CREATED, "created_by": "rackwright"}],
        }
    )
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{layer_digest}/layer.tar"
    manifest = _json([{"Config": config_name, "RepoTags": [tag], "Layers": [layer_name]}])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as out:
        add_bytes(out, config_name, config)
        add_bytes(out, layer_name, layer)
        add_bytes(out, "manifest.json", manifest)
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
