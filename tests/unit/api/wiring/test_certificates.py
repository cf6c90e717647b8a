"""Our SSH authority: keys of mode 0600, certificates for one principal."""

import time
from pathlib import Path

import asyncssh
import pytest
from asyncssh.public_key import CERT_TYPE_HOST, SSHOpenSSHCertificate

from rackwright.api.wiring.certificates import CertificateAuthority

DAY_S = 24 * 3600


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path / "keys")


def host_key() -> str:
    key = asyncssh.generate_private_key("ssh-ed25519")
    return key.export_public_key().decode().strip()


def certificate_of(line: str) -> SSHOpenSSHCertificate:
    found = asyncssh.import_certificate(line)
    assert isinstance(found, SSHOpenSSHCertificate)
    return found


def test_keys_are_made_once_and_kept(authority: CertificateAuthority, tmp_path: Path) -> None:
    again = CertificateAuthority(tmp_path / "keys")
    assert authority.authority == again.authority
    assert authority.authorized_key == again.authorized_key
    assert authority.authority != authority.authorized_key


def test_private_keys_are_for_their_owner_alone(authority: CertificateAuthority) -> None:
    path = authority.client_key_path
    assert path.exists()
    assert authority.authority
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_client_key_file_is_that_of_the_authorized_key(
    authority: CertificateAuthority,
) -> None:
    key = asyncssh.read_private_key(str(authority.client_key_path))
    assert key.export_public_key().decode().strip() == authority.authorized_key


def test_a_ramdisks_certificate_is_short_and_not_that_of_the_os(
    authority: CertificateAuthority,
) -> None:
    ramdisk = certificate_of(authority.sign_ramdisk(host_key(), "m-1", time.time()))
    installed = certificate_of(authority.sign_os(host_key(), "m-1", time.time()))
    assert ramdisk.principals == ["m-1.ramdisk"]
    assert installed.principals == ["m-1"]
    assert ramdisk.signing_key == asyncssh.import_public_key(authority.authority)
    ramdisk.validate(CERT_TYPE_HOST, "m-1.ramdisk")
    installed.validate(CERT_TYPE_HOST, "m-1")
    with pytest.raises(ValueError, match="principal"):
        installed.validate(CERT_TYPE_HOST, "m-2")


def test_a_ramdisks_certificate_ends_after_a_day(authority: CertificateAuthority) -> None:
    before = time.time() - DAY_S - 60
    with pytest.raises(ValueError, match="expired"):
        certificate_of(authority.sign_ramdisk(host_key(), "m-1", before)).validate(
            CERT_TYPE_HOST, "m-1.ramdisk"
        )
    certificate_of(authority.sign_os(host_key(), "m-1", before)).validate(CERT_TYPE_HOST, "m-1")


def test_a_key_half_written_by_a_crash_is_made_anew(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    (tmp_path / "keys" / "ssh_ca.partial").write_text("half")
    assert authority.authority.startswith("ssh-ed25519 ")
