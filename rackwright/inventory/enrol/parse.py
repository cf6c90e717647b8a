"""From a file's text to a validated enrolment, with every problem at its line and column."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from rackwright.inventory.enrol.document import (
    Located,
    Path,
    read_csv,
    read_yaml,
    unknown_hint,
)
from rackwright.inventory.enrol.models import MODEL_AT, EnrolmentInput, Input, MachineInput
from rackwright.inventory.errors import EnrolError, Problem

_PROBLEMS_MAX = 50
_MEANT = re.compile(r"^(?:did you mean|disk facts)")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A validated document; ``source`` knows where each part stood."""

    input: EnrolmentInput
    source: Located


def parse(text: str, file: str) -> Enrolment:
    """By the file's name CSV (``.csv``), else YAML. Raises EnrolError with every problem found."""
    source = read_csv(text, file) if file.lower().endswith(".csv") else read_yaml(text, file)
    if not isinstance(source.value, dict):
        hint = "it should have the keys machines and segments"
        raise EnrolError([source.problem((), "this is no enrolment", hint)])
    try:
        checked = EnrolmentInput.model_validate(source.value)
    except ValidationError as error:
        found = [
            _problem(source, cast("dict[str, Any]", item))
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise EnrolError(found[:_PROBLEMS_MAX]) from None  # the cause may show values
    repeated = list(_repeated(checked, source))
    if repeated:
        raise EnrolError(repeated[:_PROBLEMS_MAX])
    return Enrolment(checked, source)


def _problem(source: Located, item: dict[str, Any]) -> Problem:
    path: Path = item["loc"]
    name = str(path[-1]) if path else ""
    match item["type"]:
        case "extra_forbidden":
            hint = unknown_hint(name, _known_at(path[:-1]))
            if "bmc" in path and not _MEANT.search(hint):
                # A password without quotes may end at a comma, and its rest be read as a key.
                return source.problem(
                    path, "an unknown key stands here", f"{hint}; quote passwords"
                )
            return source.problem(path, f"unknown key {name!r}", hint)
        case "missing":
            return source.problem(path[:-1], f"{name!r} is missing")
        case _:
            message = str(item["msg"]).removeprefix("Value error, ")
            subject = _subject(path)
            return source.problem(path, f"{subject}: {message}" if subject else message)


def _subject(path: Path) -> str:
    """The key at fault, "" where it is a whole machine or segment."""
    last = path[-1] if path else ""
    return last if isinstance(last, str) else ""


def _known_at(path: Path) -> list[str]:
    names = [part for part in path if isinstance(part, str)]
    model: type[Input] = MODEL_AT.get(names[-1], EnrolmentInput) if names else EnrolmentInput
    return [field.alias or name for name, field in model.model_fields.items()]


def _repeated(enrolment: EnrolmentInput, source: Located) -> Iterator[Problem]:
    names = [segment.name for segment in enrolment.segments]
    for at, name in enumerate(names):
        if name in names[:at]:
            yield source.problem(("segments", at, "name"), f"segment {name!r} stands here twice")
    checks: tuple[tuple[str, str, Callable[[MachineInput], list[Any]]], ...] = (
        ("name", "name", lambda machine: [machine.name]),
        ("MAC", "nics", lambda machine: [nic.mac for nic in machine.nics]),
        ("uuid", "uuid", lambda machine: [machine.uuid]),
        ("serial", "serial", lambda machine: [machine.serial]),
        ("address", "address", _addresses),
    )
    for what, key, values_of in checks:
        seen: dict[Any, str] = {}
        for at, machine in enumerate(enrolment.machines):
            for value in filter(None, values_of(machine)):
                if value in seen:
                    shown = value[-1] if isinstance(value, tuple) else value
                    path = ("machines", at, key)
                    message = f"{what} {shown} stands here twice, first at machine {seen[value]}"
                    yield source.problem(path, message)
                seen.setdefault(value, machine.name)


def _addresses(machine: MachineInput) -> list[Any]:
    found = [machine.address, machine.cluster_address]
    return sorted({(machine.site, text.partition("/")[0]) for text in found if text})
