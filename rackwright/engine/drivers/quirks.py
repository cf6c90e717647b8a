"""Vendor quirks: data keyed by vendor, model and firmware, read from YAML; never code.

The shipped file is ``quirks.yaml`` beside this module; an operator's files are laid over it, and a
machine's own settings (``Credentials.quirks``) over both.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rackwright.engine.errors import OperatorError

SHIPPED = Path(__file__).with_name("quirks.yaml")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who made it, as the BMC says; "" where it does not."""

    vendor: str = ""
    model: str = ""
    firmware: str = ""


@dataclass(frozen=True, slots=True)
class Quirks:
    """What a driver does differently. Defaults are the specifications' words."""

    boot_mode: str = "send"  # Redfish: "send" BootSourceOverrideMode, or "omit" it
    boot_once_reads_as: str = "Once"  # Redfish: what BootSourceOverrideEnabled answers after Once
    reset_type: str = ""  # Redfish: the ResetType for a restart, where the listed ones lie
    boot_flags: str = "full"  # IPMI: "no-mode" where the EFI bit, "device" where all is not kept
    boot_timeout: str = "keep"  # IPMI: "keep" asks the BMC not to drop the flag after 60 s
    privilege: str = "ADMINISTRATOR"  # IPMI: session privilege level
    tls_min_version: str = ""  # Redfish: "1.0" or "1.1" for BMCs that know no better
    tls_security_level: int = -1  # Redfish: OpenSSL level, 0 for 1024-bit RSA or SHA-1; -1: default


_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "boot_mode": ("send", "omit"),
        "boot_flags": ("full", "no-mode", "device"),
        "boot_timeout": ("keep", "clear"),
        "privilege": ("ADMINISTRATOR", "OPERATOR"),
        "tls_min_version": ("", "1.0", "1.1", "1.2", "1.3"),
    }
)


@dataclass(frozen=True, slots=True)
class Rule:
    vendor: re.Pattern[str]
    model: re.Pattern[str]
    firmware: re.Pattern[str]
    settings: Mapping[str, object]

    def holds_for(self, identity: Identity) -> bool:
        return bool(
            self.vendor.search(identity.vendor)
            and self.model.search(identity.model)
            and self.firmware.search(identity.firmware)
        )


class QuirkTable:
    """Rules in file order; a later rule wins over an earlier one, setting by setting."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = tuple(rules)

    def of(self, identity: Identity, own: Mapping[str, object] | None = None) -> Quirks:
        """Raises OperatorError when ``own`` holds what is no quirk."""
        found = Quirks()
        for rule in self._rules:
            if rule.holds_for(identity):
                found = overlay(found, rule.settings, "quirks file")
        return overlay(found, own or {}, "the machine's quirks")


def overlay(base: Quirks, settings: Mapping[str, object], where: str) -> Quirks:
    """``base`` with ``settings`` over it. Raises OperatorError naming the bad key and ``where``."""
    known = {field.name: field.type for field in fields(Quirks)}
    for key, value in settings.items():
        if key not in known:
            raise OperatorError(
                f"{where}: unknown quirk {key!r}", hint="known: " + ", ".join(sorted(known))
            )
        if not isinstance(value, type(getattr(Quirks(), key))):
            raise OperatorError(f"{where}: quirk {key} has the wrong type: {value!r}")
        if key in _CHOICES and value not in _CHOICES[key]:
            raise OperatorError(
                f"{where}: quirk {key} cannot be {value!r}", hint="one of " + str(_CHOICES[key])
            )
    return replace(base, **dict(settings))  # type: ignore[arg-type]


def load_quirks(*extra: Path) -> QuirkTable:
    """The shipped table with the operator's files over it. Raises OperatorError."""
    rules: list[Rule] = []
    for path in (SHIPPED, *extra):
        rules += _read(path)
    return QuirkTable(rules)


def _read(path: Path) -> list[Rule]:
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError, UnicodeError) as error:
        raise OperatorError(f"quirks file {path.name}: {error}") from error
    if not isinstance(content, list):
        raise OperatorError(f"quirks file {path.name}: expected a list of rules")
    return [_rule(path.name, number, entry) for number, entry in enumerate(content, 1)]


def _rule(name: str, number: int, entry: object) -> Rule:
    where = f"quirks file {name}, rule {number}"
    if not isinstance(entry, dict) or not {"vendor", "why", "seen", "set"} <= set(entry):
        raise OperatorError(f"{where}: a rule needs vendor, why, seen and set")
    if not isinstance(entry["set"], dict):
        raise OperatorError(f"{where}: set must be a mapping")
    overlay(Quirks(), entry["set"], where)
    try:
        patterns = [
            re.compile(str(entry.get(key, "")), re.IGNORECASE)
            for key in ("vendor", "model", "firmware")
        ]
    except re.error as error:
        raise OperatorError(f"{where}: not a regular expression: {error}") from error
    return Rule(patterns[0], patterns[1], patterns[2], MappingProxyType(dict(entry["set"])))
