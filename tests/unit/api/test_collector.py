"""What is made while nobody looks stays out of every later look."""

import gc

import pytest

from rackwright.api.collector import never_looking


def test_what_was_made_within_is_not_looked_at_later() -> None:
    try:
        with never_looking():
            assert not gc.isenabled()
            made = [[number] for number in range(1000)]
        assert gc.isenabled()
        assert not any(found is made for found in gc.get_objects())
    finally:
        gc.unfreeze()


def test_the_collector_works_again_after_an_error() -> None:
    try:
        with pytest.raises(ValueError, match="no plan"), never_looking():
            raise ValueError("no plan")
        assert gc.isenabled()
    finally:
        gc.unfreeze()
