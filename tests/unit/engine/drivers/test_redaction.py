from rackwright.engine.drivers.redaction import foreign_text


def test_secrets_are_masked_longest_first() -> None:
    text = foreign_text("a pass and a password", ("pass", "password", ""))
    assert text == "a *** and a ***"


def test_foreign_text_is_one_bounded_line() -> None:
    assert foreign_text("a\r\nb\x1b[2Jc\n", ()) == "a b [2Jc"
    assert len(foreign_text("x" * 1000, (), 50)) == 53
