"""Values as YAML that Ansible reads as plain values: no string in them is ever a template.

A string tagged ``!unsafe`` is not templated (docs.ansible.com, "Unsafe or raw strings"): a label or
a host name with ``{{ lookup('pipe', ...) }}`` in it would otherwise run on the controller.
"""

import math
import re
from collections.abc import Mapping, Sequence

_ESCAPED = re.compile(r'[^\x20-\x7e]|["\\]')


def unsafe(value: object) -> str:
    """``value`` in YAML 1.1 flow style, on one line. Raises ``TypeError`` for what is not plain."""
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return f"!unsafe {quoted(value)}"
        case int():
            return str(int(value))
        case float():
            return repr(value) if math.isfinite(value) else "null"
        case Mapping():
            pairs = (f"? {quoted(str(name))} : {unsafe(inner)}" for name, inner in value.items())
            return "{" + ", ".join(pairs) + "}"
        case Sequence():
            return "[" + ", ".join(unsafe(inner) for inner in value) + "]"
        case _:
            raise TypeError(f"{type(value).__name__} is no plain value")


def quoted(text: str) -> str:
    """A double-quoted scalar, in ASCII (YAML 1.1, section 5.6)."""
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xD800 <= code <= 0xDFFF:  # half a character: no YAML reader takes it
        code = 0xFFFD
    return f"\\x{code:02x}" if code < 0x100 else f"\\U{code:08x}"
