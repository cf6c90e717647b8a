"""Building: the same inputs build nothing; an image and its bundle belong together."""

from pathlib import Path

import pytest

from rackwright.engine.errors import OperatorError
from rackwright.engine.images.artifact import Artifact, Manifest, hash_file, load, publish
from rackwright.engine.images.build import build
from rackwright.engine.images.recipe import load_recipe

NOWHERE = {"RACKWRIGHT_DEBIAN_MIRROR": "http://127.0.0.1:9/debian"}


def put(store: Path, name: str, *, body: bytes = b"x", inputs: str = "") -> Artifact:
    """An artifact as if built from the present recipe, or from other inputs."""
    staged = store / ".build-test" / name.replace("/", "_") / body.decode()
    staged.mkdir(parents=True)
    (staged / "file").write_bytes(body)
    digest = inputs or load_recipe(name, "virtual").input_digest
    files = {"file": hash_file(staged / "file")}
    return publish(store, staged, Manifest(name, "virtual", files, {"input_digest": digest}))


def test_the_same_inputs_build_nothing_and_become_current(tmp_path: Path) -> None:
    wanted = put(tmp_path, "ramdisk")
    put(tmp_path, "ramdisk", body=b"newer", inputs="of another recipe")
    told: list[str] = []
    built = build(
        "ramdisk", variant="virtual", store=tmp_path, report=told.append, environment=NOWHERE
    )
    assert built == wanted
    assert load(tmp_path, "ramdisk", "virtual") == wanted
    assert told == [f"ramdisk (virtual) is built: {wanted.digest[:12]}"]


def test_an_image_with_its_bundle_is_reused(tmp_path: Path) -> None:
    image = put(tmp_path, "image/debian-12")
    bundle = put(tmp_path, "bundle/docker-debian-12")
    for wanted in (image, bundle):
        found = build(
            wanted.name, variant="virtual", store=tmp_path, report=print, environment=NOWHERE
        )
        assert found == wanted


@pytest.mark.parametrize(("name", "variant"), [("floppy", "virtual"), ("ramdisk", "risc")])
def test_unknown_names_leave_no_trace(tmp_path: Path, name: str, variant: str) -> None:
    store = tmp_path / "store"
    with pytest.raises(OperatorError):
        build(name, variant=variant, store=store, report=print, environment=NOWHERE)
    assert not store.exists()


@pytest.mark.parametrize("rebuild", [False, True])
def test_missing_tools_leave_no_trace(
    tmp_path: Path, rebuild: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    store = tmp_path / "store"
    with pytest.raises(OperatorError) as caught:
        build(
            "ramdisk",
            variant="virtual",
            store=store,
            report=print,
            environment=NOWHERE,
            rebuild=rebuild,
        )
    assert caught.value.hint
    assert not store.exists()
