"""The container image: what `docker load` reads, and the same bytes every time."""

import hashlib
import io
import json
import tarfile

from rackwright.engine.images.workload import make_image, make_layer

LAYER = make_layer(b"\x7fELF", "bin/busybox", ["cat", "sh"])


def read(data: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        stream = tar.extractfile(name)
        assert stream is not None
        return stream.read()


def test_manifest_names_the_config_by_digest_and_the_layer() -> None:
    image = make_image(LAYER, "rackwright/busybox:1")
    (entry,) = json.loads(read(image, "manifest.json"))
    assert entry["RepoTags"] == ["rackwright/busybox:1"]
    config = read(image, entry["Config"])
    assert entry["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    layer = read(image, entry["Layers"][0])
    assert json.loads(config)["rootfs"]["diff_ids"] == [
        f"sha256:{hashlib.sha256(layer).hexdigest()}"
    ]


def test_layer_holds_the_binary_and_a_link_for_each_applet() -> None:
    with tarfile.open(fileobj=io.BytesIO(LAYER)) as tar:
        assert tar.getmember("bin/busybox").mode == 0o755
        assert tar.getmember("bin/sh").linkname == "busybox"
        assert tar.getmember("tmp").mode == 0o1777


def test_the_same_binary_gives_the_same_bytes() -> None:
    assert make_layer(b"\x7fELF", "bin/busybox", ["cat", "sh"]) == LAYER
    assert make_image(LAYER, "a:1") == make_image(LAYER, "a:1")
