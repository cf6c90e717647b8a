"""Recipes: complete, and their digest follows what they say."""

from dataclasses import replace

import pytest

from rackwright.engine.errors import OperatorError
from rackwright.engine.images.recipe import NAMES, load_recipe


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("variant", ["virtual", "generic"])
def test_every_artifact_has_both_variants(name: str, variant: str) -> None:
    recipe = load_recipe(name, variant)
    assert recipe.packages
    assert recipe.components[0] == "main"


def test_real_hardware_gets_firmware_and_the_lab_does_not() -> None:
    generic, virtual = load_recipe("ramdisk", "generic"), load_recipe("ramdisk", "virtual")
    assert {"linux-image-amd64", "intel-microcode", "amd64-microcode"} <= set(generic.packages)
    assert "non-free-firmware" in generic.components
    assert "linux-image-cloud-amd64" in virtual.packages
    assert not [p for p in virtual.packages if p.startswith("firmware")]


def test_the_input_digest_follows_packages_and_variant() -> None:
    recipe = load_recipe("ramdisk", "virtual")
    assert recipe.input_digest == load_recipe("ramdisk", "virtual").input_digest
    assert recipe.input_digest != load_recipe("ramdisk", "generic").input_digest
    more = replace(recipe, packages=(*recipe.packages, "vim"))
    assert more.input_digest != recipe.input_digest


@pytest.mark.parametrize(("name", "variant"), [("floppy", "virtual"), ("ramdisk", "risc")])
def test_unknown_names_are_refused_with_the_known_ones(name: str, variant: str) -> None:
    with pytest.raises(OperatorError, match="one of"):
        load_recipe(name, variant)
