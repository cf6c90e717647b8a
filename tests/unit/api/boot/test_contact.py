import json
import time

import pytest

from rackwright.api.boot.contact import InvalidContactError, depth_of, parse_contact
from rackwright.api.boot.ports import Contact
from tests.unit.api.boot.conftest import HOST_KEY, contact_body


def parse(**changes: object) -> Contact:
    return parse_contact(json.dumps(contact_body(**changes)).encode())


def test_contact_is_normalised() -> None:
    contact = parse(
        uuid="ABCD", macs=["52-54-00-AA-BB-CC", "80:00:02:08:fe:80"], host_key=HOST_KEY + " root@x"
    )
    assert contact.uuid == "abcd"
    assert contact.macs == ("52:54:00:aa:bb:cc", "80:00:02:08:fe:80")
    assert contact.host_key == HOST_KEY


def test_infiniband_addresses_are_left_out() -> None:
    assert parse(macs=[":".join(["80"] * 20)]).macs == ()


def test_dmi_strings_are_cleaned_and_cut() -> None:
    contact = parse(vendor="\x1b[31mA\ncme<b>\x00 ", product="x" * 60_000)
    assert contact.vendor == "[31mAcme<b>"
    assert len(contact.product) == 256


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("uuid", 1),
        ("serial", ["x"]),
        ("macs", "52:54:00:00:00:01"),
        ("macs", [1]),
        ("macs", ["52:54:00:00:00:01"] * 65),
        ("boot_id", "x"),
        ("boot_id", None),
        ("machine_id", "../../etc"),
        ("firmware", "coreboot"),
        ("host_key", ""),
        ("host_key", HOST_KEY + "\nssh-ed25519 AAAA"),
        ("host_key", HOST_KEY.replace("ed25519", "rsa")),
        ("host_key", "@cert-authority * " + HOST_KEY),
        ("ramdisk", "z" * 64),
    ],
)
def test_malformed_field_is_named_and_not_quoted(field: str, value: object) -> None:
    with pytest.raises(InvalidContactError) as caught:
        parse(**{field: value})
    assert caught.value.field == field
    assert str(caught.value) == f"{field}: missing or malformed"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b"\xff", b'{"a":' * 9 + b"1" + b"}" * 9]
)
def test_what_is_not_an_object_of_modest_depth_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidContactError):
        parse_contact(body)


@pytest.mark.parametrize(
    ("body", "depth"),
    [
        (b"1", 0),
        (b"[[1],[2]]", 2),
        (b'{"[[[[": "]]\\"[[["}', 1),
        (b'"[[[[', 0),
        (b"]]][", 0),
        (b"[" * 500, 500),
    ],
)
def test_depth(body: bytes, depth: int) -> None:
    assert depth_of(body) == max(depth, 0)


def test_depth_is_linear_in_the_bytes() -> None:
    began = time.process_time()
    depth_of(b'"' + b'\\"' * 32_000)
    assert time.process_time() - began < 0.2
