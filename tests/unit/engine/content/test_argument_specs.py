from pathlib import Path

import pytest

from rackwright.engine.content.errors import ContentErrors, Problems
from rackwright.engine.content.library import Library
from rackwright.engine.content.schema import check_schema, merged_params
from rackwright.engine.content.yaml_source import parse

SPECS = """\
argument_specs:
  main:
    short_description: x
    options:
      servers: {type: list, elements: str, required: true, description: [Some, words.]}
      port: {type: int, default: 123}
      mode: {choices: [a, b], default: a}
      size: {type: bytes}
      token: {type: str, no_log: true}
      free: {type: raw}
      people:
        type: list
        elements: dict
        options:
          name: {required: true}
          admin: {type: bool, default: false}
      nested: {type: dict, options: {x: {type: float}}}
"""
ROLE = "stages: {set: {executor: ansible}}\n"


def library(tmp_path: Path, specs: str = SPECS, role: str = ROLE) -> Library:
    folder = tmp_path / "roles/os/thing"
    (folder / "meta").mkdir(parents=True)
    (folder / "meta/argument_specs.yml").write_text(specs)
    (folder / "role.yaml").write_text(role)
    return Library([tmp_path])


def params(tmp_path: Path, given: str) -> tuple[object, list[str]]:
    role = library(tmp_path).role("os/thing")
    problems = Problems()
    assert check_schema(role, problems)
    node = parse(given, "spec.yaml")
    found = merged_params(role, (node,), node.mark, problems)
    try:
        problems.check()
    except ContentErrors as errors:
        return found, [str(error) for error in errors.errors]
    return found, []


def test_params_come_from_argument_specs(tmp_path: Path) -> None:
    given = "{servers: [x], people: [{name: a}], nested: {x: 1.5}, free: [1], size: 1K}"
    found, problems = params(tmp_path, given)
    assert not problems
    assert found == {
        "servers": ["x"],
        "people": [{"name": "a"}],
        "nested": {"x": 1.5},
        "free": [1],
        "size": "1K",
        "port": 123,
        "mode": "a",
    }


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("{port: 1}", "'servers'"),
        ("{servers: x}", "array"),
        ("{servers: [], port: x}", "port"),
        ("{servers: [], mode: c}", "not allowed"),
        ("{servers: [], people: [{admin: true}]}", "name"),
        ("{servers: [], nested: {y: 1}}", "'y'"),
        ("{servers: [], token: x}", "secret"),
        ("{servers: [], other: x}", "no param 'other'"),
    ],
)
def test_wrong_params_are_mistakes(tmp_path: Path, given: str, complaint: str) -> None:
    found, problems = params(tmp_path, given)
    assert found is None
    assert any(complaint in problem for problem in problems), problems


def test_role_yaml_has_the_last_word(tmp_path: Path) -> None:
    own = "params: {type: object, properties: {x: {type: string}}}\n" + ROLE
    assert list(library(tmp_path, role=own).role("os/thing").schema["properties"]) == ["x"]


def test_mistakes_in_specs_keep_their_place(tmp_path: Path) -> None:
    specs = "argument_specs:\n  main:\n    options:\n      a: {type: strin}\n      b: 1\n"
    with pytest.raises(ContentErrors) as caught:
        library(tmp_path, specs).role("os/thing")
    assert "argument_specs.yml:4:" in str(caught.value)
    assert "argument_specs.yml:5:" in str(caught.value)


def test_other_attributes_and_paths_are_refused(tmp_path: Path) -> None:
    role = "stages: {set: {executor: ansible, reboots: disk, apply: main.sh}}\n"
    with pytest.raises(ContentErrors) as caught:
        library(tmp_path, role=role).role("os/thing")
    assert "has no 'reboots'" in str(caught.value)
    assert "'main.sh' is no tasks file" in str(caught.value)
