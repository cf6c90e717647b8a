"""Where end-to-end tests keep built artifacts: they are built once and found again."""

import os
from pathlib import Path

from rackwright.engine.images.build import Artifact, build

ROOT = Path(__file__).parents[2]


def artifact(name: str, variant: str) -> Artifact:
    """Built, or taken from the store; a second run builds nothing."""
    store = Path(os.environ.get("RACKWRIGHT_TEST_STORE", ROOT / "var" / "test-store"))
    return build(name, variant=variant, store=store, report=lambda line: None)
