import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rackwright.engine.content.errors import ContentErrors, Problems
from rackwright.engine.content.workflow import parse_workflow
from rackwright.engine.plan.graph import StageGraph, stage_graph

Needs = dict[str, list[str]]


def graph_of(needs: Needs) -> tuple[StageGraph | None, str]:
    stages = {name: {"use": "a/b", "on": "all", "needs": wanted} for name, wanted in needs.items()}
    problems = Problems()
    found = stage_graph(parse_workflow("w", json.dumps({"stages": stages}), "w.yaml"), problems)
    try:
        problems.check()
    except ContentErrors as errors:
        return found, str(errors)
    return found, ""


names = [f"s{i}" for i in range(8)]
any_needs = st.fixed_dictionaries(
    {name: st.lists(st.sampled_from(names), unique=True, max_size=3) for name in names}
)


def naive_has_cycle(needs: Needs) -> bool:
    left = dict(needs)
    while left:
        free = [n for n, wanted in left.items() if not any(w in left for w in wanted)]
        if not free:
            return True
        for name in free:
            del left[name]
    return False


@given(any_needs)
def test_an_order_is_found_exactly_where_there_is_no_cycle(needs: Needs) -> None:
    found, text = graph_of(needs)
    assert (found is None) is naive_has_cycle(needs)
    if found is None:
        assert "the stages wait for each other: " in text
        named = text.split("each other: ")[1].split(" (")[0].split(" needs ")
        assert named[0] == named[-1]
        assert all(b in needs[a] for a, b in pairwise(named))
        return
    place = {name: index for index, name in enumerate(found.order)}
    assert all(place[w] < place[n] for n, wanted in needs.items() for w in wanted)


@given(any_needs)
def test_the_reduction_keeps_what_comes_before_what(needs: Needs) -> None:
    found, _ = graph_of(needs)
    if found is None:
        return
    edges = found.reduced_edges()

    def before(stage: str) -> set[str]:
        direct = {a for a, b in edges if b == stage}
        return direct.union(*(before(s) for s in direct)) if direct else set()

    assert all(before(n) == found.ancestors(n) for n in names)
    assert len(edges) <= sum(len(w) for w in needs.values())


@given(any_needs, st.lists(st.integers(1, 50), min_size=8, max_size=8))
def test_the_critical_path_is_the_longest(needs: Needs, lengths: list[int]) -> None:
    found, _ = graph_of(needs)
    if found is None:
        return
    seconds = {name: float(length) for name, length in zip(names, lengths, strict=True)}

    def longest(stage: str) -> float:
        return seconds[stage] + max((longest(n) for n in needs[stage]), default=0.0)

    path, total = found.critical_path(seconds)
    assert total == max(longest(n) for n in names)
    assert total == sum(seconds[s] for s in path)


def test_the_order_is_as_written_where_nothing_else_says() -> None:
    found, _ = graph_of({"b": [], "a": [], "c": ["a"], "d": []})
    assert found is not None
    assert found.order == ("b", "a", "c", "d")
