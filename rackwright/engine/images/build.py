"""Build artifacts into a store, atomically: a temporary folder in the store, then a rename.

The same inputs build nothing. A failure or Ctrl-C leaves nothing but what the next build removes.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rackwright.engine.images import ramdisk
from rackwright.engine.images.artifact import (
    Artifact,
    Manifest,
    find_built,
    hash_file,
    load,
    make_current,
    publish,
    verify,
)
from rackwright.engine.images.disk import pack_bundle, pack_disk
from rackwright.engine.images.mirror import find_mirror
from rackwright.engine.images.recipe import NAMES, Recipe, load_recipe
from rackwright.engine.images.root import BuildFailedError, Report, make_root, require_tools
from rackwright.engine.images.workload import pack_workload

__all__ = ["NAMES", "Artifact", "build", "load", "verify"]

ETC_APT = Path("/etc/apt")


def build(
    name: str,
    *,
    variant: str,
    store: Path,
    report: Report,
    environment: Mapping[str, str] = os.environ,
    rebuild: bool = False,
) -> Artifact:
    """The artifact, built if the store has none made of the same inputs (or ``rebuild``: to take
    the mirror's newer packages), and made current.

    An image and its bundle come from one run, so that the bundle is the closure relative to that
    very image; asking for either builds both. Raises OperatorError or BuildFailedError.
    """
    recipe = load_recipe(name, variant)
    if rebuild or not _built(store, name, recipe):
        require_tools()  # before anything is made
    store.mkdir(parents=True, exist_ok=True)
    with _lock(store, NAMES[name]):
        if not rebuild and (found := _reuse(store, name, recipe)):
            report(f"{name} ({variant}) is built: {found.digest[:12]}")
            return found
        mirror = find_mirror(ETC_APT, environment)
        report(f"building {name} ({variant}) from Debian {recipe.suite}")
        with _workspace(store, NAMES[name]) as work:
            root = make_root(recipe, mirror, work, report)
            report("packing")
            try:
                built = _pack(recipe, root, work, store)
            except (OSError, ValueError, StopIteration) as error:
                raise BuildFailedError(f"{name} could not be packed: {error}") from error
    report(f"built {name} ({variant}): {built[name].digest[:12]}")
    return built[name]


def _built(store: Path, name: str, recipe: Recipe) -> Mapping[str, Artifact]:
    """What belongs to ``name``, by name: all of it, or nothing."""
    names = [name]
    if recipe.kind == "disk":
        names = [n for n, folder in NAMES.items() if folder == NAMES[name]]
    found = {n: find_built(store, n, recipe.input_digest) for n in names}
    artifacts = {n: artifact for n, artifact in found.items() if artifact is not None}
    return artifacts if len(artifacts) == len(names) else {}


def _reuse(store: Path, name: str, recipe: Recipe) -> Artifact | None:
    artifacts = _built(store, name, recipe)
    if not artifacts:
        return None
    for artifact in artifacts.values():
        make_current(store, artifact)
    return artifacts[name]


def _pack(recipe: Recipe, root: Path, work: Path, store: Path) -> dict[str, Artifact]:
    if recipe.kind == "ramdisk":
        staged = _stage(work, "ramdisk")
        meta = ramdisk.pack_ramdisk(root, staged)
        return {"ramdisk": _publish(store, staged, "ramdisk", recipe, meta)}
    if recipe.kind == "workload":
        staged = _stage(work, "workload")
        image = recipe.image
        target = staged / image["file"]
        pack_workload(root, work, target, binary=image["binary"], tag=image["tag"])
        meta = {"tag": image["tag"]}
        return {"workload/busybox": _publish(store, staged, "workload/busybox", recipe, meta)}
    image_name = next(n for n, f in NAMES.items() if f == recipe.folder.name and "image/" in n)
    bundle_name = str(recipe.bundle["name"])
    staged, beside = _stage(work, "image"), _stage(work, "bundle")
    meta = pack_disk(root, work, staged)
    bundle_meta = pack_bundle(root, beside / recipe.bundle["file"])
    return {
        bundle_name: _publish(store, beside, bundle_name, recipe, bundle_meta),
        image_name: _publish(store, staged, image_name, recipe, meta),
    }


def _stage(work: Path, name: str) -> Path:
    staged = work / f"staged-{name}"
    staged.mkdir()
    return staged


def _publish(
    store: Path, staged: Path, name: str, recipe: Recipe, meta: Mapping[str, object]
) -> Artifact:
    files = {path.name: hash_file(path) for path in sorted(staged.iterdir())}
    full_meta = {"input_digest": recipe.input_digest, "suite": recipe.suite, **meta}
    return publish(store, staged, Manifest(name, recipe.variant, files, full_meta))


@contextmanager
def _lock(store: Path, name: str) -> Iterator[None]:
    """One build of a recipe at a time; the lock dies with its process."""
    with (store / f".{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _workspace(store: Path, name: str) -> Iterator[Path]:
    """A temporary folder in the store; what a killed build left of the same recipe goes first."""
    for stale in store.glob(f".build-{name}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".build-{name}-", dir=store))
    work.chmod(0o755)
    try:
        yield work
    finally:
        shutil.rmtree(work)
