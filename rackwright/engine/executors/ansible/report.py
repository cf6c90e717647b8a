"""What a play said of each machine, from the child's lines. Pure; secrets go before anything else.

A machine is judged by the play's own recap: a failure that the role rescued or ignored is none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from rackwright.engine.executors.ansible.redact import Redactor

MESSAGE_CHARS = 2000


class Ending(Enum):
    DONE = "done"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    ABSENT = "absent"  # the play said nothing of this machine, or did not end by itself


@dataclass(frozen=True, slots=True)
class HostReport:
    ending: Ending
    message: str = ""
    stats: Mapping[str, object] | None = None  # set_stats' ``rackwright``, None if there was none
    changed: int = 0  # tasks that changed something


@dataclass(slots=True)
class Folded:
    """Lines in, reports out."""

    redactor: Redactor
    _stats: dict[str, dict[str, object]] = field(default_factory=dict)
    _troubles: dict[str, str] = field(default_factory=dict)
    _recap: Mapping[str, Mapping[str, int]] | None = None
    _said: list[str] = field(default_factory=list)

    def add(self, line: bytes) -> None:
        """One line of the child. What is none of its words is ignored."""
        try:
            said = self.redactor.value(json.loads(line))
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        host = str(said.get("host", ""))
        match said.get("kind"):
            case "stats":
                data = said.get("data")
                found = data.get("rackwright") if isinstance(data, dict) else None
                if isinstance(found, dict):
                    self._stats.setdefault(host, {}).update(found)
                elif said.get("dropped"):
                    self._troubles[host] = "its report is too long"
            case "failed" | "unreachable":
                self._troubles[host] = _message(said)
            case "recap":
                self._recap = said
            case "said":
                self._said = [*self._said[-40:], str(said.get("text", ""))]

    def of(self, host: str) -> HostReport:
        recap = self._recap
        if recap is None or host not in recap.get("processed", {}):
            why = self._troubles.get(host) or "\n".join(self._said[-12:])
            why = why or "the play ended without a word of this machine"
            return HostReport(Ending.ABSENT, why[-MESSAGE_CHARS:])
        trouble = self._troubles.get(host, "no reason given")
        if recap.get("dark", {}).get(host):
            return HostReport(Ending.UNREACHABLE, trouble)
        if recap.get("failures", {}).get(host):
            return HostReport(Ending.FAILED, trouble)
        changed = int(recap.get("changed", {}).get(host, 0))
        return HostReport(Ending.DONE, "", self._stats.get(host), changed)


def _message(said: Mapping[str, object]) -> str:
    """The task and what it complained of, cut to a size for people."""
    result = said.get("result")
    found = result if isinstance(result, dict) else {}
    if said.get("dropped"):
        words = "its result is too long to be shown"
    elif "censored" in found:
        words = "its result is hidden (no_log)"
    else:
        texts = [str(found[key]).strip() for key in ("msg", "reason") if found.get(key)]
        errors = ("stderr", "module_stderr", "stdout", "module_stdout")
        texts += [str(found[key]).strip() for key in errors if found.get(key)][:1]
        words = ": ".join(dict.fromkeys(text for text in texts if text)) or "no reason given"
        if "python" in words and found.get("rc") == 127:
            words += " (Ansible needs python3 on the machine)"
    task = str(said.get("task", ""))
    return f"{task}: {words}"[:MESSAGE_CHARS] if task else words[:MESSAGE_CHARS]
