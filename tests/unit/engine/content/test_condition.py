"""Conditions: what they may hold, what they read, and that nothing else can be evaluated."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.engine.content.condition import (
    Condition,
    check_paths,
    is_met,
    parse_condition,
    value_at,
)
from rackwright.engine.content.errors import ContentError, ContentErrors, Mark, Problems

MARK = Mark("w.yaml", 7, 11)
NAMES = {
    "machine": {"labels": {"gpu": "a100", "a.b/c": "1"}, "site": "s1", "memory_gib": 64},
    "facts": {"lldp": [{"switch": "leaf-1"}]},
    "params": {"tune": True, "sites": ["s1", "s2"]},
}


def parsed(text: str) -> Condition:
    problems = Problems()
    found = parse_condition(text, MARK, "stage s", problems)
    problems.check()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("machine.labels.gpu == 'a100'", True),
        ("machine.labels['a.b/c'] == '1'", True),
        ("machine.labels.missing == null", True),
        ("machine.labels.missing != 'x'", True),
        ("machine.labels.missing", False),
        ("machine.site in params.sites", True),
        ("machine.site in ['s3', 's4']", False),
        ("not params.tune or machine.memory_gib >= 32", True),
        ("32 <= machine.memory_gib < 64", False),
        ("facts.lldp[0].switch == 'leaf-1'", True),
        ("facts.lldp[7].switch == 'leaf-1'", False),
        ("params.tune == true", True),
        ("false", False),
        ("machine.labels.items", False),
    ],
)
def test_a_condition_says_what_its_values_say(text: str, expected: bool) -> None:
    assert is_met(parsed(text), NAMES, "n1") is expected


def test_a_condition_knows_what_it_reads() -> None:
    found = parsed("machine.labels['a.b/c'] == params.x and facts.lldp[0].switch != null")
    assert found.paths == (("machine", "labels", "a.b/c"), ("params", "x"), ("facts", "lldp"))
    assert value_at(NAMES, found.paths[0]) == "1"


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "machine.labels.update({})",
        "[x for x in machine.labels]",
        "2 ** 99999999",
        "'a' * 10 ** 9",
        "(lambda: 1)()",
        "x := 1",
        "f'{machine}'",
        "machine.site; machine.rack",
        "machine.site == 's1' if params.tune else false",
        "a\nb",
        "",
        " " * 5,
        "machine.site == " + "'x'" * 500,
        "(" * 400 + "1" + ")" * 400,
        "not " * 249 + "(" * 3,
    ],
)
def test_nothing_else_is_a_condition(text: str) -> None:
    with pytest.raises(ContentErrors) as caught:
        parsed(text)
    assert "'when' of stage s" in str(caught.value)


def test_dunder_names_lead_nowhere() -> None:
    assert not is_met(parsed("machine.__class__"), NAMES, "n1")
    assert not is_met(parsed("params.tune.__class__.__mro__"), NAMES, "n1")
    with pytest.raises(ContentError):
        is_met(parsed("__builtins__"), NAMES, "n1")


def test_a_mistake_points_into_the_text() -> None:
    problems = Problems()
    check_paths(
        parsed("params.tune and machine.lables.gpu"),
        {"machine": frozenset(("labels",)), "params": None},
        "stage s",
        problems,
    )
    with pytest.raises(ContentErrors, match="did you mean 'labels'") as caught:
        problems.check()
    (error,) = caught.value.errors
    assert (error.line, error.column) == (7, 11 + len("params.tune and "))


def test_values_that_do_not_compare_are_the_operators_to_mend() -> None:
    with pytest.raises(ContentError, match=r"w\.yaml:7:11: 'when' cannot be decided for n1"):
        is_met(parsed("machine.labels.none > 3"), NAMES, "n1")


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_any_text_is_refused_or_decided(text: str) -> None:
    problems = Problems()
    found = parse_condition(text, MARK, "stage s", problems)
    assert (found is None) == bool(problems.found)
    if found is not None:
        with contextlib.suppress(ContentError):
            assert is_met(found, NAMES, "n1") in (True, False)
