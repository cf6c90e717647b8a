"""What the lab asks of its host."""

from rackwright.lab import requirements


def test_missing_tools_are_named_with_their_packages() -> None:
    absent = requirements.missing(lambda name: name != "qemu-system-x86_64")
    assert [(item.name, item.package) for item in absent] == [
        ("qemu-system-x86_64", "qemu-system-x86")
    ]


def test_nothing_is_missing_where_all_is_there() -> None:
    assert requirements.missing(lambda _name: True) == ()


def test_program_that_is_nowhere_keeps_its_bare_name() -> None:
    assert requirements.program("no-such-program-anywhere") == "no-such-program-anywhere"
    assert requirements.program("sh").endswith("/sh")
