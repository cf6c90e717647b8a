import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.inventory.journal import FactRow
from rackwright.inventory.pack import Pack, encode
from rackwright.inventory.projection import Projection

INDEX = st.integers(-1, 2**31 - 1)
FACTS = st.lists(
    st.builds(
        FactRow,
        st.sampled_from(["issued", "ended", "limit", "kind of another version"]),
        INDEX,
        INDEX,
        st.integers(0, 2**32 - 1),
        INDEX,
        st.binary(max_size=8),
    ),
    min_size=1,
    max_size=30,
)


@given(FACTS)
@settings(derandomize=True, database=None)
def test_what_was_packed_comes_back_as_it_was(facts: list[FactRow]) -> None:
    states = [i % 12 for i in range(len(facts))]
    pack = Pack(encode(facts, states))
    assert list(pack.facts(FactRow)) == facts
    assert list(pack.states) == states
    assert [(pack.kind(i), pack.payload(i)) for i in range(pack.count)] == [
        (fact.kind, fact.payload) for fact in facts
    ]


def test_the_facts_of_one_task_are_found() -> None:
    facts = [FactRow("ended", s, m, 1, 1, b"") for s in (0, 1) for m in (5, 6)] * 2
    assert Pack(encode(facts, [7] * 8)).of_task(1, 5) == [2, 6]
    assert Pack(encode(facts, [7] * 8)).of_task(1, 7) == []


def test_a_pack_of_another_version_is_refused() -> None:
    blob = encode([FactRow("ended", 0, 0, 1, 1, b"")], [7])
    with pytest.raises(ValueError, match="version"):
        Pack(b"\x63" + blob[1:])


def test_a_projection_keeps_the_last_word_on_each_task() -> None:
    projection = Projection(10)
    first = [FactRow("issued", 0, 3, 1, 0, b""), FactRow("asked", -1, -1, 0, 0, b"")]
    projection.fold(Pack(encode(first, [4, 0])), 12)
    projection.fold(Pack(encode([FactRow("ended", 0, 3, 1, 1, b"")], [7])), 20)
    assert list(projection.tasks()) == [(0, 3, 7, 1, 20)]
    assert list(projection.tasks(states=[4])) == []
    assert list(projection.tasks(machine=9)) == []
