import pytest

from rackwright.api.boot.ipxe import UnsafeValueError, boot_script, leave_script, normal_mac

GOOD = {
    "base_url": "http://10.0.0.1:8480",
    "digest": "a" * 64,
    "token": "t" * 43,
    "kernel_args": ("console=ttyS0,115200n8", "mitigations=off"),
}


def test_boot_script_is_three_commands_and_a_way_back() -> None:
    assert boot_script(**GOOD) == (  # type: ignore[arg-type]
        "#!ipxe\n"
        "imgfree\n"
        f"kernel http://10.0.0.1:8480/boot/file/{'a' * 64}/vmlinuz initrd=initrd.zst"
        " console=ttyS0,115200n8 mitigations=off"
        f" rackwright.controller=http://10.0.0.1:8480 rackwright.token={'t' * 43} || goto again\n"
        f"initrd --name initrd.zst http://10.0.0.1:8480/boot/file/{'a' * 64}/initrd.zst"
        " || goto again\n"
        "boot || goto again\n"
        ":again\n"
        "echo Rackwright: the boot failed, asking again\n"
        "sleep 5\n"
        "chain --replace http://10.0.0.1:8480/boot/ipxe/${netX/mac:hexhyp}\n"
    )


@pytest.mark.parametrize(
    "arg",
    [
        "a b",
        "a\nchain http://evil",
        "x&&chain",
        "&& chain",
        "||",
        "${net0/ip}",
        'a"b',
        "a'b",
        "a\\b",
        "a#b",
        "a;b",
        "a\x00b",
        "-x",
        "",
        "x" * 300,
        "initrd=other",
        "rackwright.token=mine",
    ],
)
def test_case_14_kernel_argument_that_is_not_one_harmless_word_is_refused(arg: str) -> None:
    with pytest.raises(UnsafeValueError) as caught:
        boot_script(**GOOD | {"kernel_args": (arg,)})  # type: ignore[arg-type]
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", "http://10.0.0.1:8480/x"),
        ("base_url", "http://10.0.0.1\n"),
        ("base_url", "file:///etc"),
        ("base_url", "http://${x}"),
        ("digest", "A" * 64),
        ("digest", "../x"),
        ("token", "a b" * 20),
        ("token", ""),
    ],
)
def test_every_other_value_is_checked_too(name: str, value: str) -> None:
    with pytest.raises(UnsafeValueError):
        boot_script(**GOOD | {name: value})  # type: ignore[arg-type]


def test_leaving_suits_the_platform() -> None:
    assert "iseq ${platform} pcbios && goto disk || exit 1\n" in leave_script()
    assert leave_script("exit") == "#!ipxe\nexit 1\n"
    assert leave_script("sanboot") == "#!ipxe\nsanboot --no-describe --drive 0x80\n"
    assert leave_script("sanboot", 2).endswith("--drive 0x82\n")
    assert leave_script("auto", 1).endswith(":disk\nsanboot --no-describe --drive 0x81\n")
    with pytest.raises(UnsafeValueError):
        leave_script("sanboot", 128)


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("52:54:00:AA:bb:01", "52:54:00:aa:bb:01"),
        ("52-54-00-aa-bb-01", "52:54:00:aa:bb:01"),
        ("525400aabb01", None),
        ("52:54:00:aa:bb:01\n", None),
        ("52:54:00:aa:bb", None),
        ("", None),
    ],
)
def test_mac_forms(text: str, mac: str | None) -> None:
    assert normal_mac(text) == mac
