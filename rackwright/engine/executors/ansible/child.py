"""The process in which ansible-runner works: a program, never imported by the product.

It waits for one line on stdin before it does anything, so that its pid can be journaled first. Its
stdin is its lifeline: when the controller goes away, it ends every process of the play, deletes the
play's directory and ends. On stdout it says, a JSON object a line, what the controller needs; a
result that is too long for that is left out, never cut, since half a secret could not be redacted.
"""

import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

LONGEST = 1 << 20
VARIABLE = "RACKWRIGHT_CONTROLLER_PLAY"
_KEPT = ("msg", "reason", "stderr", "stdout", "module_stderr", "module_stdout", "rc", "censored")


class Said:
    """Lines to the controller, also from the lifeline's thread."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, **said: object) -> None:
        line = json.dumps(said, default=str)
        if len(line) > LONGEST:
            kept = {key: said[key] for key in ("kind", "host", "task") if key in said}
            line = json.dumps({**kept, "dropped": True})
        self._out.write(line + "\n")
        self._out.flush()


def main() -> int:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.umask(0o077)  # ansible-runner leaves some of its files to it
    os.dup2(2, 1)  # what a library prints is no protocol
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return 0  # never released
    order = json.loads(line)
    threading.Thread(target=_lifeline, args=(Path(order["directory"]),), daemon=True).start()
    import ansible_runner  # here: it takes a second, and the pid is asked for before

    say = Said(out)
    done = ansible_runner.run(
        private_data_dir=order["directory"],
        playbook="play.yml",
        ident="play",
        forks=order["forks"],
        quiet=True,
        suppress_env_files=True,
        fact_cache_type="memory",
        rotate_artifacts=1,
        event_handler=lambda event: _event(say, event),
    )
    say(kind="end", rc=done.rc, status=done.status)
    return 0


def _event(say: Said, event: dict[str, Any]) -> bool:
    """False: no artefact is kept of any event."""
    data = event.get("event_data") or {}
    result = data.get("res") or {}
    about = {"host": data.get("host", ""), "task": data.get("task", "")}
    match event.get("event"):
        case "runner_on_ok" if isinstance(stats := result.get("ansible_stats"), dict):
            if stats.get("per_host") and str(data.get("task_action", "")).endswith("set_stats"):
                say(kind="stats", **about, data=stats.get("data"))
        case "runner_on_failed" if not data.get("ignore_errors"):
            say(kind="failed", **about, result=_short(result))
        case "runner_on_unreachable":
            say(kind="unreachable", **about, result=_short(result))
        case "playbook_on_stats":
            names = ("ok", "failures", "dark", "changed", "rescued", "processed")
            say(kind="recap", **{name: data.get(name) or {} for name in names})
        case "verbose" | "error" | "warning" | "system_warning" | "deprecated":
            if text := str(event.get("stdout") or "").strip():
                say(kind="said", text=text)
    return False


def _short(result: dict[str, Any]) -> dict[str, Any]:
    items = [item for item in result.get("results") or () if isinstance(item, dict)]
    failed = [item for item in items if item.get("failed") or item.get("unreachable")]
    return {key: value for key, value in {**result, **(failed or [{}])[0]}.items() if key in _KEPT}


def _lifeline(directory: Path) -> None:
    while os.read(0, 4096):  # not by sys.stdin, whose lock would be held at our own end
        pass
    marker = f"{VARIABLE}={os.environ[VARIABLE]}".encode()
    for _ in range(50):
        if not _kill_others(marker):
            break
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(1)


def _kill_others(marker: bytes) -> int:
    killed = 0
    for path in Path("/proc").glob("[0-9]*/environ"):
        pid = int(path.parent.name)
        try:
            if pid != os.getpid() and marker in path.read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        except OSError:
            continue
    return killed


if __name__ == "__main__":
    sys.exit(main())
