import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from rackwright.inventory import machines, selectors
from rackwright.inventory.errors import SelectorError
from rackwright.inventory.selectors import Requirement, matches, parse
from rackwright.inventory.tables import MACHINE
from tests.unit.inventory.conftest import Store

LABELS = {"a": "b", "e": "x", "f": "1"}


@pytest.mark.parametrize(
    ("text", "is_match"),
    [
        ("", True),
        ("  ", True),
        ("a=b", True),
        ("a==b", True),
        ("a = b , e=x", True),
        ("a=c", False),
        ("a!=c", True),
        ("a!=b", False),
        ("missing!=b", True),
        ("e in (x,y)", True),
        ("e in (y, z)", False),
        ("e notin (y,z)", True),
        ("missing notin (y)", True),
        ("f", True),
        ("!f", False),
        ("!g", True),
        ("a=b,e in (x,y),!g,f", True),
        ("a=", False),
        ("in=b", False),
    ],
)
def test_selectors_mean_what_kubectl_means(text: str, is_match: bool) -> None:
    assert matches(parse(text), LABELS) is is_match


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a=b;c=d", 4, "unexpected ';'"),
        ("a=b c=d", 5, "',' is missing"),
        ("e im (x)", 3, "unexpected 'im'"),
        ("e in x", 6, "'(' is missing"),
        ("e in (x", 8, "')' is missing"),
        ("a=b,", 5, "a label is missing"),
        (",a", 1, "a label is missing"),
        ("!", 2, "a label is missing"),
        ("a=$(id)", 3, "unexpected '$'"),
    ],
)
def test_an_error_names_the_column(text: str, column: int, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse(text)
    assert caught.value.column == column
    assert message in caught.value.message


def test_a_misspelt_operator_gets_a_hint() -> None:
    with pytest.raises(SelectorError) as caught:
        parse("e im (x)")
    assert "did you mean 'in'?" in caught.value.hint


def names(store: Store, text: str) -> list[str]:
    return [view.name for view in store.read(lambda c: machines.page(c, selector=text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["borrowed", "n1", "n2"]),
        ("role=manager", ["n1"]),
        ("role!=manager", ["borrowed", "n2"]),
        ("class=small,role notin (manager)", ["n2"]),
        ("rack=r1", ["n1", "n2"]),
        ("!rack", ["borrowed"]),
        ("site in (lab)", ["n1", "n2"]),
        ("state=available", ["borrowed"]),
        ("name!=n1", ["borrowed", "n2"]),
        ("pool", []),
        ("!pool,rack", ["n1", "n2"]),
        ("role=it's", None),
    ],
)
def test_labels_and_pseudo_labels_select_in_the_database(
    rack: tuple[Store, dict[str, str]], text: str, expected: list[str] | None
) -> None:
    store, _ = rack
    if expected is None:
        with pytest.raises(SelectorError):
            names(store, text)
    else:
        assert names(store, text) == expected


_keys = st.sampled_from(["role", "absent", "name", "class", "rack", "site", "state", "pool"])
_values = st.sampled_from(["manager", "worker", "small", "r1", "lab", "n1", "available", ""])
_requirements = st.one_of(
    st.builds(Requirement, _keys, st.sampled_from(["exists", "absent"])),
    st.builds(
        Requirement,
        _keys,
        st.sampled_from(["in", "notin"]),
        st.lists(_values, min_size=1, max_size=3).map(tuple),
    ),
)


def test_the_database_and_the_pure_form_agree(rack: tuple[Store, dict[str, str]]) -> None:
    store, _ = rack
    views = store.read(lambda c: machines.page(c))

    @settings(deadline=None)  # a shared machine may stall any one query
    @given(st.lists(_requirements, max_size=3).map(tuple))
    def check(selector: selectors.Selector) -> None:
        query = select(MACHINE.c.name).where(selectors.clause(selector)).order_by(MACHINE.c.name)
        found = store.read(lambda c: list(c.scalars(query)))
        assert found == [v.name for v in views if matches(selector, v.selectable())]

    check()
