"""Reads a mapping's fields by type, collecting mistakes with their places instead of raising."""

import re
from collections.abc import Collection, Mapping

from rackwright.engine.content import quantities
from rackwright.engine.content.errors import Mark, Problems, near
from rackwright.engine.content.yaml_source import Node, Scalar

NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?\Z")
NAME_HINT = "names are lower-case letters, digits, '-' and '_', at most 63"


class Fields:
    """One mapping and the keys that it may have; unknown keys are mistakes.

    A field that is absent gives its default, one of the wrong type a mistake and its default.
    """

    def __init__(self, node: Node, what: str, known: Collection[str], problems: Problems) -> None:
        self.node = node
        self.what = what
        self._problems = problems
        if node.mapping is None:
            problems.add(node.mark, f"{what} must be a mapping, not {node.kind}")
        self._map: Mapping[str, Node] = node.mapping or {}
        for key in self._map:
            if key not in known:
                problems.add(
                    node.keys[key], f"{what} has no attribute '{key[:60]}'", near(key, known)
                )

    def get(self, key: str) -> Node | None:
        return self._map.get(key)

    def mark(self, key: str) -> Mark:
        """Where the value stands, else where the mapping begins."""
        node = self._map.get(key)
        return node.mark if node is not None else self.node.mark

    def require(self, *keys: str) -> None:
        for key in keys:
            if key not in self._map:
                self._problems.add(self.node.mark, f"{self.what} needs '{key}'")

    def text(self, key: str, default: str = "") -> str:
        value = self._scalar(key)
        if value is None:
            return default
        if isinstance(value, str):
            return value
        self._wrong(key, "a string", "quote it")
        return default

    def choice(self, key: str, options: Collection[str], default: str) -> str:
        value = self.text(key, default)
        if value not in options and key in self._map:
            self._problems.add(
                self.mark(key), f"'{key}' of {self.what} is '{value[:60]}'", near(value, options)
            )
            return default
        return value

    def boolean(self, key: str) -> bool:
        value = self._scalar(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        self._wrong(key, "true or false", "")
        return False

    def integer(self, key: str, default: int, *, least: int = 0, most: int = 10_000_000) -> int:
        value = self._scalar(key)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self._wrong(key, f"a whole number from {least} to {most}", "")
        return default

    def duration_s(self, key: str, default: float) -> float:
        value = self._scalar(key)
        if value is None:
            return default
        seconds = quantities.duration_s(value)
        if seconds is None or seconds <= 0:
            self._wrong(key, "a duration", quantities.DURATION_HINT)
            return default
        return seconds

    def amount(self, key: str) -> quantities.Amount | None:
        value = self._scalar(key)
        if value is None:
            return None
        found = quantities.amount(value)
        if found is None:
            self._wrong(key, "an amount", quantities.AMOUNT_HINT)
        return found

    def size_bytes(self, key: str) -> int | None:
        value = self._scalar(key)
        if value is None:
            return None
        found = quantities.size_bytes(value)
        if found is None:
            self._wrong(key, "a size", quantities.SIZE_HINT)
        return found

    def mapping(self, key: str) -> Mapping[str, Node]:
        node = self._map.get(key)
        if node is None:
            return {}
        if node.mapping is None:
            self._wrong(key, "a mapping", "")
            return {}
        return node.mapping

    def items(self, key: str) -> tuple[Node, ...]:
        node = self._map.get(key)
        if node is None:
            return ()
        if node.items is None:
            self._wrong(key, "a list", f"write {key}: [...]")
            return ()
        return node.items

    def texts(self, key: str) -> tuple[tuple[str, Mark], ...]:
        """A list of strings, each with its place."""
        found = []
        for item in self.items(key):
            if isinstance(item.value, str):
                found.append((item.value, item.mark))
            else:
                self._problems.add(item.mark, f"'{key}' of {self.what} holds {item.kind}")
        return tuple(found)

    def text_map(self, key: str) -> Mapping[str, str]:
        """A mapping of strings to strings."""
        found = {}
        for name, item in self.mapping(key).items():
            if isinstance(item.value, str):
                found[name] = item.value
            else:
                self._problems.add(item.mark, f"'{key}.{name}' of {self.what} must be a string")
        return found

    def _scalar(self, key: str) -> Scalar:
        node = self._map.get(key)
        if node is None:
            return None
        if node.mapping is not None or node.items is not None:
            self._wrong(key, "a single value", "")
            return None
        value = node.value
        if value is None:
            self._wrong(key, "set", "give it a value, or remove the key")
        return value  # type: ignore[return-value]  # collections are excluded above

    def _wrong(self, key: str, wanted: str, hint: str) -> None:
        node = self._map[key]
        shown = "" if node.mapping or node.items or node.value is None else f" '{node.value}'"[:80]
        self._problems.add(
            node.mark, f"'{key}' of {self.what} must be {wanted}, not {node.kind}{shown}", hint
        )


def check_name(name: str, what: str, mark: Mark, problems: Problems) -> None:
    """A name that is safe in paths, limits and messages."""
    if not NAME.match(name):
        problems.add(mark, f"'{name[:60]}' is no name for {what}", NAME_HINT)
