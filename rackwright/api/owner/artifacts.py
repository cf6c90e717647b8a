"""The built artifacts of one variant, as plans and runs see them."""

from collections.abc import Mapping
from pathlib import Path

from rackwright.engine.errors import OperatorError
from rackwright.engine.images.artifact import Artifact, folder, load, read
from rackwright.engine.images.build import NAMES


class ArtifactStore:
    """``root`` holds them; ``variant`` is generic or virtual."""

    def __init__(self, root: Path, variant: str) -> None:
        self.root = root
        self._variant = variant

    def current(self, name: str) -> Artifact:
        """Raises OperatorError if it was not built."""
        return load(self.root, name, self._variant)

    def digests(self) -> dict[str, str]:
        """Reference -> digest of every artifact that is built."""
        found = {}
        for name in NAMES:
            try:
                found[name] = self.current(name).digest
            except OperatorError:
                continue
        return found

    def of_plan(self, artifacts: Mapping[str, str]) -> dict[str, Artifact]:
        """The artifacts that a plan names, by the digests it names. Raises where one is gone."""
        found = {}
        for name, digest in artifacts.items():
            path = folder(self.root, name) / digest
            if not path.is_dir():
                raise OperatorError(
                    f"artifact {name} {digest[:12]} of the plan is no longer in {self.root}",
                    hint="make a new plan",
                )
            found[name] = read(path)
        return found
