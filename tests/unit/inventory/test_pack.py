import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.inventory.journal import FactRow
from rackwright.inventory.pack import Pack, encode
from rackwright.inventory.projection import BOUNDS_S, Projection

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
    projection.fold(Pack(encode(first, [4, 0])), 12, 100.0)
    projection.fold(Pack(encode([FactRow("ended", 0, 3, 1, 1, b"")], [7])), 20, 130.0)
    assert list(projection.tasks()) == [(0, 3, 7, 1, 20)]
    assert list(projection.tasks(states=[4])) == []
    assert list(projection.tasks(machine=9)) == []


def test_a_summary_has_bounded_size_and_the_times_of_attempts() -> None:
    projection = Projection(0)
    issued = [FactRow("issued", 0, m, 1, 0, b"") for m in range(5)]
    projection.fold(Pack(encode(issued[:2], [4] * 2)), 2, 100.0)
    projection.fold(Pack(encode(issued[2:], [4] * 3)), 5, 105.0)
    ended = [FactRow("ended", 0, 0, 1, 1, b""), FactRow("ended", 0, 4, 1, 4, b"")]
    projection.fold(Pack(encode(ended, [7, 9])), 7, 120.0)
    told = projection.summary(oldest=4, newest=[9], top=2)
    assert told.seq == 7
    assert told.oldest == (((0, 1, 4, 1, 2), 100.0), ((0, 2, 4, 1, 3), 105.0))
    assert told.newest == ((0, 4, 9, 1, 7),)
    stage = told.stages[0]
    assert stage.counts == {4: 3, 7: 1, 9: 1}
    assert (stage.first_at, stage.last_at, stage.total_s) == (100.0, 120.0, 35.0)
    assert dict(zip(BOUNDS_S, stage.histogram, strict=False))[30.0] == 2  # 20 s and 15 s
    assert sum(stage.histogram) == 2
