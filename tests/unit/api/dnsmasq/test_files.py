import os
import pwd
from pathlib import Path

import pytest

from rackwright.api.dnsmasq.config import StatePaths
from rackwright.api.dnsmasq.errors import StartError
from rackwright.api.dnsmasq.files import copy_loaders, prepare, state_dir_for


def test_state_lies_outside_the_data_directory_and_is_its_own() -> None:
    one, other = state_dir_for(Path("/data/a"), "lab"), state_dir_for(Path("/data/b"), "lab")
    assert one != other
    assert one.name == "dnsmasq-lab"
    assert one.is_relative_to("/run/rackwright")


def test_loaders_are_copies_of_what_is_there(tmp_path: Path) -> None:
    source, tftp = tmp_path / "ipxe", tmp_path / "tftp"
    source.mkdir()
    tftp.mkdir()
    (source / "real").write_bytes(b"bios")
    (source / "undionly.kpxe").symlink_to("real")
    (tftp / "ipxe.efi").write_bytes(b"of a package since removed")
    assert copy_loaders(tftp, source) == ("undionly.kpxe",)
    assert [p.name for p in tftp.iterdir()] == ["undionly.kpxe"]
    assert not (tftp / "undionly.kpxe").is_symlink()


def test_directory_that_dnsmasq_cannot_reach_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "ipxe"
    source.mkdir()
    (source / "ipxe.efi").write_bytes(b"efi")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(StartError, match="closed to others"):
        prepare(StatePaths(closed / "below" / "state"), source, user=pwd.getpwuid(os.getuid()))


def test_umask_does_not_close_it(tmp_path: Path) -> None:
    source = tmp_path / "ipxe"
    source.mkdir()
    (source / "ipxe.efi").write_bytes(b"efi")
    before = os.umask(0o077)
    try:
        with pytest.raises(StartError, match=str(tmp_path.parent)):
            prepare(StatePaths(tmp_path / "a" / "b"), source, user=pwd.getpwuid(os.getuid()))
    finally:
        os.umask(before)
    for made in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "hosts"):
        assert made.stat().st_mode & 0o777 == 0o755
