import pytest

from rackwright.inventory.identity import mac_of, same_uuid, serial_of, uuid_of

UUID = "4c4c4544-0042-3510-8052-b4c04f4e3232"


@pytest.mark.parametrize(
    "text", ["52:54:00:AB:cd:ef", "52-54-00-ab-cd-ef", "525400abcdef", " 52:54:00:ab:cd:ef "]
)
def test_a_mac_has_one_spelling(text: str) -> None:
    assert mac_of(text) == "52:54:00:ab:cd:ef"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "52:54:00:ab:cd",
        "52:54-00:ab:cd:ef",
        "52:54:00:ab:cd:ef:00",
        "00:00:00:00:00:00",
        "ff:ff:ff:ff:ff:ff",
        "01:00:5e:00:00:01",
        "52:54:00:ab:cd:eg",
        "52:54:00:ab:cd:ef\n52",
    ],
)
def test_what_names_no_single_nic_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"MAC|NIC"):
        mac_of(text)


@pytest.mark.parametrize(
    "text",
    [None, "", " ", "To be filled by O.E.M.", "TO BE FILLED BY O.E.M.", "Default string", "0000000",
     "0123456789", "xxxxxxxxxx", "Not Specified", "N/A", "...."],
)  # fmt: skip
def test_placeholders_are_no_serial(text: str | None) -> None:
    assert serial_of(text) is None


def test_a_serial_is_kept_as_it_is() -> None:
    assert serial_of(" RW-N1  x ") == "RW-N1 x"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "not specified",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
    ],
)
def test_placeholders_are_no_uuid(text: str | None) -> None:
    assert uuid_of(text) is None


def test_a_uuid_is_one_in_either_byte_order() -> None:
    assert same_uuid(UUID, UUID.upper())
    assert same_uuid(UUID, "44454c4c-4200-1035-8052-b4c04f4e3232")
    assert not same_uuid(UUID, "4c4c4544-0042-3510-8052-b4c04f4e3233")
