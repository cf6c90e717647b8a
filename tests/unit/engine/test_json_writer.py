"""The writer's bytes are those of ``json``; see canonical and codec for what they are used for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.engine.json_writer import json_bytes, writer

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(PLAIN, st.booleans(), st.booleans())
def test_writes_what_json_writes(value: object, sort_keys: bool, ensure_ascii: bool) -> None:
    write = writer(sort_keys=sort_keys, ensure_ascii=ensure_ascii)
    assert write(value) == json.dumps(
        value, sort_keys=sort_keys, ensure_ascii=ensure_ascii, separators=(",", ":")
    )


def test_refuses_what_is_not_plain() -> None:
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        writer()({"a": {1}})


def test_refuses_numbers_that_json_has_not() -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        writer(allow_nan=False)([float("nan")])


def test_one_writer_writes_many_values() -> None:
    write = writer()
    assert [write({"a": number}) for number in range(3)] == ['{"a":0}', '{"a":1}', '{"a":2}']


WITHOUT_FLOATS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(WITHOUT_FLOATS)
def test_who_writes_does_not_show_in_the_bytes(value: object) -> None:
    assert json_bytes(value) == writer(ensure_ascii=False)(value).encode()


def test_numbers_of_any_size_are_written_and_what_is_no_json_is_null() -> None:
    assert json_bytes({"n": 2**70}) == b'{"n":1180591620717411303424}'
    assert json_bytes([float("nan"), float("inf"), 0.1]) == b"[null,null,0.1]"


def test_what_is_not_plain_is_refused() -> None:
    with pytest.raises(TypeError):
        json_bytes({"x": object()})
