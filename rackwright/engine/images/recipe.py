"""Recipes: what an artifact is made of. Data files beside this module, and their digest."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from rackwright.engine.errors import OperatorError

RECIPES = Path(__file__).parent / "recipes"

# artifact name -> folder of its recipe; a bundle is made beside its image
NAMES: Mapping[str, str] = {
    "ramdisk": "ramdisk",
    "image/debian-12": "debian-12",
    "bundle/docker-debian-12": "debian-12",
    "workload/busybox": "busybox",
}
_PACKERS = ("cpio.py", "disk.py", "package.py", "ramdisk.py", "root.py", "workload.py")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One variant of one recipe."""

    folder: Path
    kind: str  # ramdisk, disk or workload
    variant: str
    suite: str
    components: tuple[str, ...]
    packages: tuple[str, ...]
    exclude: tuple[str, ...]  # dpkg path-exclude patterns
    prune: tuple[str, ...]  # globs below the root, removed at the end
    bundle: Mapping[str, Any]
    image: Mapping[str, Any]

    @property
    def input_digest(self) -> str:
        """SHA-256 over everything that decides the result, the mirror's state excepted."""
        parts: dict[str, str] = {}
        for path in [*self.folder.rglob("*"), RECIPES / "prune.sh"]:
            if path.is_file():
                name = str(path.relative_to(RECIPES))
                parts[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        # the code that packs is an input too
        for name in _PACKERS:
            parts[name] = hashlib.sha256((Path(__file__).parent / name).read_bytes()).hexdigest()
        decided = [self.variant, self.suite, self.components, self.packages, parts]
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def load_recipe(name: str, variant: str) -> Recipe:
    """Raises OperatorError for an unknown artifact name or variant."""
    if name not in NAMES:
        raise OperatorError(f"unknown artifact {name!r}", hint=f"one of: {', '.join(NAMES)}")
    folder = RECIPES / NAMES[name]
    raw = YAML(typ="safe", pure=True).load(folder / "recipe.yaml")
    variants = raw["variants"]
    if variant not in variants:
        raise OperatorError(
            f"artifact {name} has no variant {variant!r}", hint=f"one of: {', '.join(variants)}"
        )
    chosen = variants[variant]
    return Recipe(
        folder=folder,
        kind=raw["kind"],
        variant=variant,
        suite=raw["suite"],
        components=tuple(chosen["components"]),
        packages=tuple(sorted({*raw["packages"], *chosen["packages"]})),
        exclude=tuple(raw["exclude"]),
        prune=(*raw["prune"], *chosen["prune"]),
        bundle=raw.get("bundle", {}),
        image=raw.get("image", {}),
    )
