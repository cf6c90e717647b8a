"""In which order tests run, so that two workers (``make test``) are done at about the same time."""

import pytest

STORY = "tests/e2e/test_virtual_rack.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The story takes as long as all others, most of which wait: it comes first, and one worker
    has it alone. What else drives machines comes last."""
    items.sort(key=_turn)  # keeps the order within


def _turn(item: pytest.Item) -> int:
    if item.nodeid.startswith(STORY):
        return 0
    return 1 if item.get_closest_marker("rack") is None else 2
