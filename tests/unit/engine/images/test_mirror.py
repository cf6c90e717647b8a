"""Which entries of a host's apt configuration are Debian's."""

from pathlib import Path

import pytest

from rackwright.engine.errors import OperatorError
from rackwright.engine.images.mirror import (
    Mirror,
    find_mirror,
    parse_deb822,
    parse_one_line,
)

DEB822 = """\
# comment
Types: deb deb-src
URIs: http://mirror.test/debian/
Suites: trixie trixie-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.test/debian-security
Suites: trixie-security
Components: main

Types: deb
URIs: https://other.test/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQ
"""


def write(etc_apt: Path, name: str, text: str) -> None:
    path = etc_apt / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_deb822_continuations_suites_and_comments_are_read() -> None:
    entries = parse_deb822(DEB822)
    assert [(e.uri, e.suite) for e in entries] == [
        ("http://mirror.test/debian", "trixie"),
        ("http://mirror.test/debian", "trixie-updates"),
        ("http://mirror.test/debian-security", "trixie-security"),
        ("https://other.test/debian", "bookworm"),
    ]
    assert entries[0].components == ("main", "contrib")


def test_disabled_and_source_only_stanzas_are_left_out() -> None:
    text = "Types: deb\nEnabled: no\nURIs: http://a.test/\nSuites: sid\nComponents: main\n"
    assert parse_deb822(text) == []
    assert parse_deb822(text.replace("deb\nEnabled: no", "deb-src")) == []


def test_one_line_options_and_comments_are_read() -> None:
    text = (
        "# deb http://no.test/ bookworm main\n"
        "deb-src http://no.test/ bookworm main\n"
        "deb [ arch=amd64 signed-by=/k.gpg ] http://m.test/debian bookworm main contrib # here\n"
    )
    (entry,) = parse_one_line(text)
    assert (entry.uri, entry.suite, entry.signed_by) == (
        "http://m.test/debian",
        "bookworm",
        "/k.gpg",
    )


def test_another_release_of_the_host_still_gives_the_archive(tmp_path: Path) -> None:
    write(tmp_path, "sources.list.d/debian.sources", DEB822)
    assert find_mirror(tmp_path, {}) == Mirror(
        "http://mirror.test/debian", "http://mirror.test/debian-security"
    )


@pytest.mark.parametrize(
    "line",
    [
        "deb https://docker.test/linux/debian bookworm stable",
        "deb [signed-by=/usr/share/keyrings/acme.gpg] https://acme.test bookworm main",
        "deb http://archive.test/ubuntu noble main universe",
        "deb http://apt.test/pub bookworm-pgdg main",
        "deb cdrom:[Debian]/ bookworm main",
    ],
)
def test_entries_of_other_archives_are_refused(tmp_path: Path, line: str) -> None:
    write(tmp_path, "sources.list", f"{line}\n")
    with pytest.raises(OperatorError, match="RACKWRIGHT_DEBIAN_MIRROR"):
        find_mirror(tmp_path, {})


def test_the_setting_overrides_the_host(tmp_path: Path) -> None:
    write(tmp_path, "sources.list.d/debian.sources", DEB822)
    setting = {"RACKWRIGHT_DEBIAN_MIRROR": "http://near.test/debian/"}
    assert find_mirror(tmp_path, setting) == Mirror(
        "http://near.test/debian", "http://near.test/debian-security"
    )
    setting["RACKWRIGHT_DEBIAN_SECURITY_MIRROR"] = "http://sec.test/s"
    assert find_mirror(tmp_path, setting).security == "http://sec.test/s"


def test_sources_name_updates_security_and_the_keyring() -> None:
    text = Mirror("http://m/debian", "http://m/s").sources(
        "bookworm", ["main", "non-free-firmware"], Path("/k.gpg")
    )
    assert text.splitlines() == [
        "deb [signed-by=/k.gpg] http://m/debian bookworm main non-free-firmware",
        "deb [signed-by=/k.gpg] http://m/debian bookworm-updates main non-free-firmware",
        "deb [signed-by=/k.gpg] http://m/s bookworm-security main non-free-firmware",
    ]
