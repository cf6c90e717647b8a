"""Where Debian packages come from: the host's own apt configuration, or a setting.

Reads deb822 ``.sources`` and one-line ``.list`` files (sources.list(5)). Entries of other archives
are left out: what counts as Debian's is a Debian suite name with component ``main`` that no key
other than Debian's signs. The archive's signature is checked by apt in any case.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rackwright.engine.errors import OperatorError

SETTING = "RACKWRIGHT_DEBIAN_MIRROR"
SECURITY_SETTING = "RACKWRIGHT_DEBIAN_SECURITY_MIRROR"

_CODENAMES = (
    "buster|bullseye|bookworm|trixie|forky|duke|sid|unstable|testing|stable|oldstable|oldoldstable"
)
_MAIN_SUITE = re.compile(rf"^({_CODENAMES})(-updates)?$")
_SECURITY_SUITE = re.compile(rf"^({_CODENAMES})(-security|/updates)$")
_OPTION_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<rest>.+)$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One (URI, suite) that the host knows."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str


@dataclass(frozen=True, slots=True)
class Mirror:
    """Base URIs of the archive; ``security`` is "" where none is known."""

    main: str
    security: str

    def sources(self, suite: str, components: Sequence[str], keyring: Path) -> str:
        """One-line sources for a suite, its updates and its security fixes."""
        lines = [(self.main, suite), (self.main, f"{suite}-updates")]
        if self.security:
            lines.append((self.security, f"{suite}-security"))
        listed = " ".join(components)
        return "".join(f"deb [signed-by={keyring}] {u} {s} {listed}\n" for u, s in lines)


def find_mirror(etc_apt: Path, environment: Mapping[str, str]) -> Mirror:
    """The setting, else the host's Debian entries. Raises OperatorError when there is neither."""
    chosen = environment.get(SETTING, "").rstrip("/")
    if chosen:
        security = environment.get(SECURITY_SETTING, "").rstrip("/")
        return Mirror(main=chosen, security=security or _security_beside(chosen))
    entries = [e for e in read_entries(etc_apt) if _is_debian(e)]
    main = next((e.uri for e in entries if _MAIN_SUITE.match(e.suite)), "")
    if not main:
        raise OperatorError(
            "no Debian archive is in this machine's apt configuration",
            hint=f"set {SETTING} to the URL of a Debian mirror (the folder that holds dists/)",
        )
    security = next((e.uri for e in entries if _SECURITY_SUITE.match(e.suite)), "")
    return Mirror(main=main, security=security)


def read_entries(etc_apt: Path) -> list[Entry]:
    """Every enabled binary source of the host, in apt's order."""
    entries: list[Entry] = []
    parts = sorted((etc_apt / "sources.list.d").glob("*"))
    for path in [etc_apt / "sources.list", *parts]:
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        if path.suffix == ".sources":
            entries += parse_deb822(text)
        elif path.suffix == ".list":
            entries += parse_one_line(text)
    return entries


def parse_one_line(text: str) -> list[Entry]:
    entries = []
    for line in text.splitlines():
        match = _OPTION_LINE.match(line.split("#", 1)[0].strip())
        if not match:
            continue
        options = dict(
            o.split("=", 1) for o in (match["options"] or "").lower().split() if "=" in o
        )
        uri, suite, *components = match["rest"].split()
        entries.append(_entry(uri, suite, components, options.get("signed-by", "")))
    return entries


def parse_deb822(text: str) -> list[Entry]:
    entries = []
    for fields in _stanzas(text):
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                components = fields.get("components", "").split()
                entries.append(_entry(uri, suite, components, fields.get("signed-by", "")))
    return entries


def _stanzas(text: str) -> Iterable[dict[str, str]]:
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields:
            yield fields


def _entry(uri: str, suite: str, components: Sequence[str], signed_by: str) -> Entry:
    return Entry(uri.rstrip("/"), suite, tuple(components), signed_by.strip())


def _is_debian(entry: Entry) -> bool:
    if not entry.uri.startswith(("http://", "https://")) or "main" not in entry.components:
        return False
    # another archive may name its suites after Debian's, but it brings its own key
    return not entry.signed_by or "debian-archive" in entry.signed_by


def _security_beside(main: str) -> str:
    return f"{main}-security" if main.endswith("/debian") else ""
