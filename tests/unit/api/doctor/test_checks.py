from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from rackwright.api.doctor.checks import (
    GIB,
    Check,
    Profile,
    Target,
    failures,
    install_line,
    run_checks,
)
from rackwright.api.doctor.gate import require
from rackwright.api.doctor.probes import SystemProbes, filesystem_of
from rackwright.engine.errors import OperatorError


@dataclass(frozen=True)
class FakeProbes:
    root: bool = True
    python: tuple[int, int] = (3, 11)
    missing: frozenset[str] = frozenset()
    closed: dict[str, str] = field(default_factory=dict)
    namespace_trouble: str = ""
    taken: frozenset[str] = frozenset()
    port_trouble: str = ""
    free: int = 100 * GIB
    memory: int = 100 * GIB
    kind: str = "ext4"
    write_trouble: str = ""
    repositories: tuple[str, ...] = ("http://mirror.example/debian",)

    def is_root(self) -> bool:
        return self.root

    def python_version(self) -> tuple[int, int]:
        return self.python

    def which(self, command: str) -> str | None:
        return None if command in self.missing else f"/usr/bin/{command}"

    def exists(self, path: str) -> bool:
        return path not in self.missing

    def opens(self, device: str) -> str:
        return self.closed.get(device, "")

    def can_make_namespace(self) -> str:
        return self.namespace_trouble

    def namespaces(self) -> frozenset[str]:
        return self.taken

    def can_bind(self, address: str, port: int) -> str:
        return self.port_trouble

    def free_bytes(self, path: Path) -> int:
        return self.free

    def available_memory_bytes(self) -> int:
        return self.memory

    def filesystem(self, path: Path) -> str:
        return self.kind

    def unwritable(self, path: Path) -> str:
        return self.write_trouble

    def apt_repositories(self) -> tuple[str, ...]:
        return self.repositories


GOOD = FakeProbes()
TARGET = Target(data_dir=Path("/data"), boot_address="10.77.0.1", namespace="rack")


def failed(probes: FakeProbes, profile: Profile = Profile.LAB) -> list[Check]:
    return list(failures(run_checks(profile, TARGET, probes)))


@pytest.mark.parametrize("profile", list(Profile))
def test_machine_that_has_everything_passes(profile: Profile) -> None:
    checks = run_checks(profile, TARGET, GOOD)
    assert failures(checks) == ()
    assert install_line(checks) == ""


@pytest.mark.parametrize(
    ("probes", "name", "says"),
    [
        (replace(GOOD, python=(3, 10)), "python", "3.10"),
        (replace(GOOD, root=False), "root", "not root"),
        (replace(GOOD, missing=frozenset({"dnsmasq"})), "dnsmasq", "missing; it is for DHCP"),
        (replace(GOOD, missing=frozenset({"qemu-system-x86_64"})), "qemu-system-x86_64", "missing"),
        (replace(GOOD, closed={"/dev/net/tun": "No such file"}), "/dev/net/tun", "No such file"),
        (replace(GOOD, namespace_trouble="denied"), "network namespaces", "denied"),
        (replace(GOOD, taken=frozenset({"rack"})), "namespace rack", "taken"),
        (replace(GOOD, port_trouble="Address already in use"), "boot port", "10.77.0.1:8480"),
        (replace(GOOD, free=GIB), "disk space", "1.0 GiB available, 10 GiB needed"),
        (replace(GOOD, memory=GIB), "memory", "1.0 GiB available, 7 GiB needed"),
        (replace(GOOD, kind="nfs4"), "local filesystem", "nfs4"),
        (replace(GOOD, write_trouble="/data is not writable"), "data directory", "not writable"),
        (replace(GOOD, repositories=()), "debian mirror", "no repository"),
    ],
)
def test_each_lack_is_one_failed_check_with_a_hint(
    probes: FakeProbes, name: str, says: str
) -> None:
    [check] = failed(probes)
    assert check.name == name
    assert says in check.detail
    assert check.hint


def test_missing_packages_come_in_one_line() -> None:
    missing = frozenset({"dnsmasq", "/usr/lib/ipxe/ipxe.efi", "/usr/lib/ipxe/undionly.kpxe"})
    checks = run_checks(Profile.LAB, TARGET, replace(GOOD, missing=missing))
    assert install_line(checks) == "apt-get install dnsmasq-base ipxe"


def test_controller_needs_no_virtual_hardware() -> None:
    probes = replace(
        GOOD,
        missing=frozenset({"qemu-system-x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd"}),
        closed={"/dev/net/tun": "gone"},
        memory=2 * GIB,
    )
    assert failed(probes, Profile.CONTROLLER) == []


def test_software_emulation_stops_nothing() -> None:
    probes = replace(GOOD, closed={"/dev/kvm": "No such file or directory"})
    assert failed(probes) == []


def test_gate_raises_once_with_everything() -> None:
    probes = replace(GOOD, root=False, missing=frozenset({"dnsmasq", "zstd"}))
    with pytest.raises(OperatorError) as caught:
        require("lab", TARGET, probes=probes)
    assert "root: not root" in caught.value.message
    assert caught.value.hint.endswith("apt-get install dnsmasq-base zstd")
    assert "run as root" in caught.value.hint
    require("lab", TARGET, probes=GOOD)


def test_filesystem_is_that_of_the_deepest_mount() -> None:
    mountinfo = (
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 0:5 / /srv rw shared:1 - nfs4 server:/x rw\n"
        "3 2 8:2 / /srv/with\\040space rw - xfs /dev/sdb rw\n"
        "broken line\n"
    )
    assert filesystem_of(Path("/home/x"), mountinfo) == "ext4"
    assert filesystem_of(Path("/srv/data"), mountinfo) == "nfs4"
    assert filesystem_of(Path("/srv/with space/a"), mountinfo) == "xfs"
    assert filesystem_of(Path("/srvx"), mountinfo) == "ext4"


def test_probes_of_this_machine_answer(tmp_path: Path) -> None:
    probes = SystemProbes()
    assert probes.which("sh")
    assert probes.which("no-such-command") is None
    assert probes.opens("/dev/null") == ""
    assert probes.opens("/no/such/device")
    assert probes.free_bytes(tmp_path / "not" / "yet") > 0
    assert probes.available_memory_bytes() > 0
    assert probes.filesystem(tmp_path)
    assert probes.unwritable(tmp_path / "not" / "yet") == ""
    (tmp_path / "file").touch()
    assert "not a directory" in probes.unwritable(tmp_path / "file")
