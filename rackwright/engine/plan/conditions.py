"""What a stage's ``when`` may read, and which stages a machine's own values leave out.

Decided when the plan is made: the plan shows what does not apply, and its fingerprint covers the
values that were read. What only a ramdisk can tell is unknown until one has reported.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from rackwright.engine.content.condition import (
    Path,
    UnknownFactError,
    check_paths,
    is_met,
    value_at,
)
from rackwright.engine.content.errors import ContentError, Problems
from rackwright.engine.content.schema import declared_params, is_open
from rackwright.engine.machine import Machine, Origin
from rackwright.engine.plan.resolve import Resolved, ResolvedStage
from rackwright.engine.plan.selection import NeedsDiscoveryError

ENROLLED: Final = (
    *("name", "site", "rack", "machine_class", "labels", "origin", "serial", "uuid", "protected"),
    *("firmware", "product"),
)
DISCOVERED: Final = ("architecture", "cpu_count", "drive_count", "memory_bytes", "memory_gib")
UNKNOWN: Final = {"unknown": True}  # as no value of a machine is written


def check_conditions(resolved: Resolved, problems: Problems) -> None:
    """Names that no machine and no role has are mistakes at their columns."""
    for one in resolved.stages.values():
        if one.stage.when is not None:
            known = {
                "machine": frozenset((*ENROLLED, *DISCOVERED)),
                "facts": None,
                "params": None if is_open(one.role) else frozenset(declared_params(one.role)),
            }
            check_paths(one.stage.when, known, f"stage {one.stage.name}", problems)


class Conditions:
    """Decides for one plan. Machines that agree in all that is read are decided once."""

    def __init__(self, resolved: Resolved) -> None:
        self._conditional = [one for one in resolved.stages.values() if one.stage.when is not None]
        self._decided: dict[tuple[str, str, str], bool] = {}
        self._facts_used = self._used()
        self._alike: dict[str, frozenset[str]] = {}  # by all values that are read anywhere

    def left_out(self, machine: Machine) -> frozenset[str]:
        """Stages whose ``when`` is false for the machine.

        Raises NeedsDiscoveryError where a fact is not known yet, and ContentError where values
        cannot be compared.
        """
        if not self._conditional:
            return frozenset()
        values = repr(facts_of(machine, self.facts_used()))
        if values not in self._alike:
            names = {"machine": _OfMachine(machine), "facts": _Facts(machine)}
            found = frozenset(
                one.stage.name for one in self._conditional if not self._holds(one, machine, names)
            )
            self._alike[values] = found
        return self._alike[values]

    def facts_used(self) -> tuple[Path, ...]:
        """What of a machine is read anywhere, sorted."""
        return self._facts_used

    def _used(self) -> tuple[Path, ...]:
        paths = {
            path
            for one in self._conditional
            for path in (one.stage.when.paths if one.stage.when else ())
            if path[0] != "params"
        }
        return tuple(sorted(paths))

    def _holds(self, one: ResolvedStage, machine: Machine, names: Mapping[str, object]) -> bool:
        when = one.stage.when
        if when is None:
            return True
        try:
            read = [value_at(names, path) for path in when.paths if path[0] != "params"]
            seen = repr(read)
        except UnknownFactError:
            seen = f"machine {machine.id}"
        reads_params = any(path[0] == "params" for path in when.paths)
        key = (when.text, one.stage.name if reads_params else "", seen)
        if key not in self._decided:
            self._decided[key] = self._decide(one, machine, {**names, "params": one.params})
        return self._decided[key]

    def _decide(self, one: ResolvedStage, machine: Machine, names: Mapping[str, object]) -> bool:
        assert one.stage.when is not None
        try:
            return is_met(
                one.stage.when, names, f"machine {machine.name} in stage {one.stage.name}"
            )
        except UnknownFactError as error:
            if machine.origin is Origin.EXISTING:
                raise ContentError(
                    one.stage.when.mark,
                    f"stage {one.stage.name} depends on {error} of {machine.name}, which came with "
                    "an OS: no ramdisk reports it",
                    hint="say it with a label, or test machine.origin first",
                ) from error
            raise NeedsDiscoveryError([machine]) from error


def facts_of(machine: Machine, paths: tuple[Path, ...]) -> list[object]:
    """The values of ``facts_used``, for the fingerprint."""
    names = {"machine": _OfMachine(machine), "facts": _Facts(machine)}
    found: list[object] = []
    for path in paths:
        try:
            value = value_at(names, path)
            found.append(dict(value) if isinstance(value, Mapping) else value)
        except UnknownFactError:
            found.append(UNKNOWN)
    return found


class _Reading(Mapping[str, object]):
    """Values that are looked up when they are read. No dict, so that nobody looks at all."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def _unknown(self, name: str) -> UnknownFactError:
        return UnknownFactError(name)


class _OfMachine(_Reading):
    def __getitem__(self, name: str) -> object:
        machine = self._machine
        match name:
            case "labels":
                return dict(machine.labels)
            case "origin":
                return machine.origin.value
            case "firmware" if machine.firmware is not None:
                return machine.firmware.value
            case "product" if machine.product:
                return machine.product
            case "name" | "site" | "rack" | "machine_class" | "serial" | "uuid" | "protected":
                return getattr(machine, name)
        if machine.drives is None:
            raise self._unknown(f"machine.{name}")
        match name:
            case "architecture":
                return machine.facts.get("architecture")
            case "drive_count":
                return len(machine.drives)
            case "memory_gib":
                size = machine.memory_bytes
                return None if size is None else size / 2**30
            case "cpu_count" | "memory_bytes":
                return getattr(machine, name)
        raise KeyError(name)


class _Facts(_Reading):
    def __getitem__(self, name: str) -> object:
        if self._machine.drives is None:
            raise self._unknown(f"facts.{name}")
        return self._machine.facts[name]
