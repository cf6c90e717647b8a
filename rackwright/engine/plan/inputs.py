"""What a plan is made from, and in which condition each machine is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from rackwright.engine.content.library import Library
from rackwright.engine.machine import Machine, Origin
from rackwright.engine.plan.disks import Select
from rackwright.engine.plan.resolve import Resolved
from rackwright.engine.plan.spec import ClusterSpec

Condition = Literal["install", "installed", "existing", "discover"]
_KINDS: Final = frozenset(("bmc", "rack", "site", "image_server", "ansible"))


@dataclass(frozen=True, slots=True)
class LimitConfig:
    """Capacities by kind; 0 is no limit. ``named`` overrides one limit, such as ``rack:r7``."""

    bmc: int = 1
    rack: int = 0
    site: int = 0
    image_server: int = 16
    ansible: int = 200
    named: Mapping[str, int] | None = None
    adaptive: Mapping[str, tuple[int, int]] | None = None  # kind or name -> lowest and highest

    def capacity(self, name: str) -> int:
        """0 if the limit has no bound. An adaptive one begins within its bounds."""
        bounds = self.bounds(name)
        capacity = self._capacity(name)
        return capacity if bounds is None else min(max(capacity, bounds[0]), bounds[1])

    def bounds(self, name: str) -> tuple[int, int] | None:
        """Between which capacities the limit adapts itself; None: it does not."""
        adaptive = self.adaptive or {}
        return adaptive.get(name, adaptive.get(name.partition(":")[0]))

    def _capacity(self, name: str) -> int:
        if self.named is not None and name in self.named:
            return self.named[name]
        kind = name.partition(":")[0]
        if kind not in _KINDS:
            raise KeyError(kind)
        return int(getattr(self, kind))


def parse_limits(text: str) -> LimitConfig:
    """``bmc=1,rack=20,image_server=4..64,rack:r7=3``: kinds, and single limits by name. ``A..B``
    adapts itself between both. Raises ValueError, saying what is wrong."""
    kinds: dict[str, int] = {}
    named: dict[str, int] = {}
    adaptive: dict[str, tuple[int, int]] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, amount = part.rpartition("=")
        kind, colon, _ = name.partition(":")
        if not equals or kind not in _KINDS:
            raise ValueError(f"'{part[:60]}' is no limit: NAME=N, of {', '.join(sorted(_KINDS))}")
        low, dots, high = amount.partition("..")
        if not low.isdecimal() or (dots and not high.isdecimal()):
            raise ValueError(f"'{amount[:20]}' of {name} is neither N nor LOWEST..HIGHEST")
        if dots:
            if not 1 <= int(low) <= int(high):
                raise ValueError(f"{name} cannot adapt itself between {low} and {high}")
            adaptive[name] = (int(low), int(high))
        else:
            (named if colon else kinds)[name] = int(low)
    return LimitConfig(**kinds, named=named, adaptive=adaptive)


@dataclass(frozen=True, slots=True)
class Inputs:
    library: Library
    spec: ClusterSpec | None
    machines: Sequence[Machine]
    select: Select
    artifacts: Mapping[str, str]
    cluster_id: str
    members: Mapping[str, str]
    reinstall: frozenset[str]
    limits: LimitConfig
    site_windows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def condition_of(given: Inputs, resolved: Resolved, machine: Machine) -> Condition:
    """install: to be erased and installed; installed: by us already, or nothing here erases;
    existing: came with an OS; discover: the plan has no spec."""
    if machine.origin is Origin.EXISTING:
        return "existing"
    if given.spec is None:
        return "discover"
    is_missing = machine.installed is None or machine.name in given.reinstall
    is_erasing = any(s.destructive for s in resolved.stages.values())
    return "install" if is_missing and is_erasing else "installed"
