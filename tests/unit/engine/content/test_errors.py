import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.engine.content.errors import ContentError, ContentErrors, Mark, Problems, near
from rackwright.engine.content.workflow import MAX_STAGES, parse_workflow
from rackwright.engine.errors import Fault

AT = Mark("f.yaml", 3, 7)


def test_an_error_says_where_what_and_what_to_do() -> None:
    error = ContentError(AT, "no such stage", hint="add it")
    assert str(error) == "f.yaml:3:7: no such stage (add it)"
    assert (error.file, error.line, error.column, error.fault) == ("f.yaml", 3, 7, Fault.OPERATOR)


def test_mistakes_are_collected_once_each_in_file_order() -> None:
    problems = Problems()
    problems.check()
    for line in (9, 2, 9):
        problems.add(Mark("f.yaml", line, 1), "wrong")
    with pytest.raises(ContentErrors) as caught:
        problems.check()
    assert str(caught.value) == "f.yaml:2:1: wrong\nf.yaml:9:1: wrong"


def test_too_many_mistakes_end_the_search() -> None:
    problems = Problems(most=3)
    problems.add(AT, "a")
    problems.add(AT, "b")
    with pytest.raises(ContentErrors):
        problems.add(AT, "c")


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("instal", "install"),
        ("isntall", "install"),
        ("join_worker", "join-worker"),
        ("run", "runtime"),
        ("Install", "install"),
    ],
)
def test_the_nearest_name_is_proposed(word: str, nearest: str) -> None:
    found = near(word, ["install", "join-worker", "join-manager", "runtime"])
    assert found == f"did you mean '{nearest}'?"


def test_without_a_near_name_the_known_ones_are_listed() -> None:
    assert near("zzz", ["b", "a"]) == "known: a, b"
    assert near("zzz", [f"name{i:02}" for i in range(12)]).endswith("name09, ...")
    assert near("zzz", []) == ""


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=60), max_size=20))
def test_a_known_word_is_its_own_nearest(word: str, names: list[str]) -> None:
    near(word, names)
    for name in names[:1]:
        if len(name) <= 40:
            assert near(name, [name]) == f"did you mean '{name}'?"


def test_a_workflow_has_a_bound_of_stages() -> None:
    text = "stages:\n" + "".join(f"  s{i}: {{}}\n" for i in range(MAX_STAGES + 1))
    with pytest.raises(ContentErrors, match="more than 1000 stages"):
        parse_workflow("w", text, "w.yaml")
