"""Whether guests can run on KVM here: decided by booting one, not by looking at /dev/kvm.

A device that opens proves nothing: nested hosts are seen where every Linux guest hangs after
"Probing EDD" (2026-11, QEMU 7.2 on a Firecracker guest), or aborts on a model-specific register.
So a Linux kernel is booted, and has to reach its first process before a deadline.
"""

import os
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from rackwright.lab.chassis.qemu import BINARY
from rackwright.lab.disks.oldos import BANNER, BootFiles

_DEADLINE_S = 10.0
_DEVICE = Path("/dev/kvm")


@dataclass(frozen=True, slots=True)
class Acceleration:
    name: str  # kvm or tcg
    reason: str


def is_possible() -> bool:
    """Whether a probe is worth its time."""
    return os.access(_DEVICE, os.R_OK | os.W_OK)


class Probe:
    """A guest booting on KVM; ``result`` waits for it and ends it."""

    def __init__(self, files: BootFiles) -> None:
        argv = [BINARY, "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "256"]
        argv += ["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]
        argv += ["-nic", "none", "-serial", "stdio", "-no-reboot"]
        argv += ["-kernel", str(files.kernel), "-initrd", str(files.initrd)]
        argv += ["-append", "console=ttyS0,115200n8 quiet panic=-1"]
        self._deadline_s = time.monotonic() + _DEADLINE_S
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def result(self) -> Acceleration:
        try:
            if self._reached(BANNER.encode()):
                return Acceleration("kvm", "a probe guest booted on /dev/kvm")
            return Acceleration("tcg", "/dev/kvm is there, but a probe guest did not boot on it")
        finally:
            self.end()

    def _reached(self, wanted: bytes) -> bool:
        assert self._process.stdout is not None
        descriptor, seen = self._process.stdout.fileno(), b""
        while (left_s := self._deadline_s - time.monotonic()) > 0:
            if not select.select([descriptor], [], [], left_s)[0]:
                break
            data = os.read(descriptor, 4096)
            seen = (seen + data)[-65536:]
            if wanted in seen:
                return True
            if not data:
                break
        return False

    def end(self) -> None:
        """Idempotent."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
