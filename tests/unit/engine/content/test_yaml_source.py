import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.engine.content.errors import ContentError
from rackwright.engine.content.yaml_source import (
    Bounds,
    Node,
    locate,
    overlay,
    parse,
    plain,
    walk,
)


def refusal(text: str | bytes, bounds: Bounds | None = None) -> str:
    with pytest.raises(ContentError) as caught:
        parse(text, "f.yaml", bounds)
    return str(caught.value)


def test_every_value_and_key_knows_its_place() -> None:
    root = parse("a: 1\nb:\n  - x\n  - {c: yes}\n", "f.yaml")
    assert plain(root) == {"a": 1, "b": ["x", {"c": "yes"}]}
    assert str(locate(root, ["a"])) == "f.yaml:1:4"
    assert str(locate(root, ["b", 1, "c"])) == "f.yaml:4:9"
    assert str(root.keys["b"]) == "f.yaml:2:1"


def test_a_place_that_is_not_there_is_the_nearest_one_around_it() -> None:
    root = parse("a:\n  b: {c: 1}\n", "f.yaml")
    assert str(locate(root, ["a", "b", "d", 4])) == "f.yaml:2:3"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("2026-11-20", "2026-11-20"),
        ("0123", 123),
        ("0x1f", 31),
        ("0o17", 15),
        ("1e3", 1000.0),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("~", None),
        ("TRUE", True),
        ("'1'", "1"),
        ('"true"', "true"),
        ("9" * 30, float("9" * 30)),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    assert plain(parse(f"k: {text}", "f.yaml")) == {"k": value}


def test_keys_are_always_strings() -> None:
    assert plain(parse("{on: 1, 5: 2, null: 3}", "f.yaml")) == {"on": 1, "5": 2, "null": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml:1:1: the file is empty"),
        ("a: &x 1", "f.yaml:1:4: anchors and aliases are not read"),
        ("a: *x", "f.yaml:1:4: anchors and aliases are not read"),
        ("a: &a {b: *a}", "f.yaml:1:4: anchors and aliases are not read"),
        ("a: !!python/object:os.system x", "f.yaml:1:4: YAML tags are not read"),
        ("a: !<x> 1", "f.yaml:1:4: YAML tags are not read"),
        ("a: 1\na: 2", "f.yaml:2:1: key 'a' stands here a second time"),
        ("a: 1\n---\nb: 1", "f.yaml:2:1: a second document starts here"),
        ("%YAML 1.1\n---\na: 1", "f.yaml:2:1: YAML directives are not read"),
        ("%TAG ! tag:x,2000:\n---\na: 1", "f.yaml:2:1: YAML directives are not read"),
        ("[a, b]: 1", "f.yaml:1:1: a key must be plain text"),
        ("a: 'x", "f.yaml:1:6: not valid YAML"),
        ("a: b: c", "f.yaml:1:5: not valid YAML"),
        ('a: "\\ud800"', "f.yaml:1:4: half of a surrogate pair"),
        ("a: x\n\x07y", "f.yaml:2:1: a control character stands here"),
        (b"a: 1\nb: \xff", "f.yaml:2:4: not UTF-8"),
        ("[" * 30 + "]" * 30, "f.yaml:1:26: nested deeper than 25 levels"),
    ],
)
def test_what_is_not_read_is_refused_at_its_place(text: str | bytes, message: str) -> None:
    assert refusal(text).startswith(message)


# The same shapes are timed by bench/compile_bench.py; here it counts that they are refused.
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", id="alias bomb"),
        pytest.param("".join(f"k{i}: {{}}\n" for i in range(20_000)), id="many nodes"),
        pytest.param("- a\n" * 100_000, id="many items"),
        pytest.param("[" * 100_000, id="deep flow"),
        pytest.param("? " * 100_000, id="deep keys"),
        pytest.param("- " * 100_000, id="deep sequences"),
        pytest.param("a: " + "x y " * 100_000, id="large scalar"),
        pytest.param("# x\n" * 100_000 + "a: 1", id="comments"),
        pytest.param("a: 1\n" * 300_000, id="too many bytes"),
    ],
)
def test_a_hostile_document_is_refused(text: str) -> None:
    assert refusal(text).startswith("f.yaml:")


def test_bounds_are_exact() -> None:
    assert plain(parse("[1, 2, 3]", "f", Bounds(nodes=4))) == [1, 2, 3]
    assert "more than 3" in refusal("[1, 2, 3]", Bounds(nodes=3))
    assert plain(parse("[[1]]", "f", Bounds(depth=2))) == [[1]]
    assert "deeper than 1" in refusal("[[1]]", Bounds(depth=1))
    assert plain(parse("a: 1", "f", Bounds(size_bytes=4))) == {"a": 1}
    assert "5 bytes" in refusal("a: é", Bounds(size_bytes=4))


def test_an_overlay_merges_mappings_and_keeps_the_places_of_both() -> None:
    base = parse("a: {x: 1, y: 2}\nb: [1]", "base.yaml")
    over = parse("\na: {y: 3}\nb: [2]", "over.yaml")
    merged = overlay(base, over)
    assert isinstance(merged, Node)
    assert plain(merged) == {"a": {"x": 1, "y": 3}, "b": [2]}
    assert str(locate(merged, ["a", "x"])) == "base.yaml:1:8"
    assert str(locate(merged, ["a", "y"])) == "over.yaml:2:8"


keys = st.text("abcdefgh_-", min_size=1, max_size=6)
scalars = st.one_of(st.integers(-(10**9), 10**9), st.booleans(), st.none(), st.text(max_size=12))
documents: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
)


@given(documents.filter(lambda d: isinstance(d, dict | list)))
def test_json_is_read_as_it_is_written(document: Any) -> None:
    text = json.dumps(document, indent=1)
    root = parse(text, "f.json")
    assert plain(root) == document
    assert all(node.mark.line >= 1 and node.mark.column >= 1 for node in walk(root))


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_as_content(text: str) -> None:
    with suppress(ContentError):
        plain(parse(text, "f.yaml"))
