"""The seam through which scripts run on a machine, over SSH or on the controller itself.

A script never stands in an argument: it goes in by stdin, its length first, so that a connection
lost half way runs nothing. A script that only reads is tied to its caller: when the caller goes
away, cancelled or killed, the script's session is killed on the machine.
"""

import math
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol

OUTPUT_BYTES = 1 << 20
"""The last bytes kept of one output; what comes before them is dropped."""

TIMED_OUT = 124
"""The exit status of coreutils' ``timeout`` when the limit passed."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A script that ended by itself or at its limit. ``status`` is None when a signal killed it."""

    status: int | None
    stdout: bytes
    stderr: bytes

    def complaint(self, lines: int = 5) -> str:
        """The last lines of stderr, for a message."""
        return last_lines(self.stderr, lines)


class Shell(Protocol):
    async def run(
        self,
        script: str,
        *args: str,
        timeout_s: float,
        payload: AsyncIterable[bytes] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """Run a bash script with arguments that hold no secret.

        ``payload`` is the script's stdin. ``on_output`` sees stdout as it comes. Raises
        ``UnreachableError`` when the machine went away before the script's end was known.
        """


class Tail:
    """The last bytes of a stream."""

    def __init__(self, limit_bytes: int = OUTPUT_BYTES) -> None:
        self._limit = limit_bytes
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> None:
        self._bytes += chunk
        if len(self._bytes) > 2 * self._limit:
            del self._bytes[: -self._limit]

    def value(self) -> bytes:
        return bytes(self._bytes[-self._limit :])


@cache
def script(name: str) -> str:
    """One of the shell scripts beside this module."""
    return files(__package__).joinpath(f"{name}.sh").read_text(encoding="utf-8")


def command(text: bytes, args: tuple[str, ...], timeout_s: float, *, payload: bool) -> list[str]:
    """The argument vector that reads ``text`` from stdin and runs it."""
    limit = str(max(1, math.ceil(timeout_s)))
    mode = "payload" if payload else "lifeline"
    return ["bash", "-c", script("supervisor"), "rackwright", str(len(text)), limit, mode, *args]


def last_lines(text: bytes, lines: int) -> str:
    kept = [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(kept[-lines:])


def from_marker(text: bytes, marker: str) -> list[str]:
    """The lines from the first that starts with ``marker``: what a login shell's start-up file
    printed before is no part of the answer. [] without such a line."""
    lines = text.decode("utf-8", "replace").splitlines()
    return next((lines[i:] for i, line in enumerate(lines) if line.startswith(marker)), [])
