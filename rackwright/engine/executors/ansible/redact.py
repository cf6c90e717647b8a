"""Takes secrets out of what Ansible reports, before any of it is kept, shown or cut short."""

import base64
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

MARK = "[redacted]"
_LEAST = 4
"""A shorter piece stands in too many innocent words; a whole secret is redacted at any length."""


class Redactor:
    """Knows each secret as it is, by line, and as programs spell it: JSON, shell, URL, base64."""

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            forms |= _forms(secret)
        self._forms = tuple(sorted(forms, key=len, reverse=True))

    def text(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MARK)
        return text

    def value(self, value: object) -> object:
        """The same in every string of a JSON value, keys included."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(k)): self.value(v) for k, v in value.items()}
            case Sequence():
                return [self.value(item) for item in value]
            case int() | float() if not isinstance(value, bool) and str(value) in self._forms:
                return MARK
            case _:
                return value


def _forms(secret: bytes) -> set[str]:
    text = secret.decode("utf-8", "replace")
    whole = text.strip()
    pieces = {whole, *(line.strip() for line in text.splitlines() if len(line.strip()) >= _LEAST)}
    forms = set()
    for piece in pieces:
        once = json.dumps(piece)[1:-1]
        forms |= {piece, once, json.dumps(once)[1:-1], repr(piece)[1:-1], shlex.quote(piece)}
        forms |= {json.dumps(piece, ensure_ascii=False)[1:-1], quote(piece), quote(piece, safe="")}
    for raw in (secret, whole.encode(), whole.encode() + b"\n"):
        encoded = base64.b64encode(raw).decode().rstrip("=")
        forms |= {encoded, encoded.replace("+", "-").replace("/", "_")}
    return {form for form in forms if form}
