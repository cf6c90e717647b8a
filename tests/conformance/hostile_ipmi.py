"""An IPMI 2.0 BMC that misbehaves by name: ``python -m tests.conformance.hostile_ipmi``.

pyghmi speaks RMCP+; the chassis commands are answered here, and every control command that arrives
is written to a log, applied or not. It is a process of its own, as pyghmi's loop is global.
Wire values: IPMI 2.0 rev 1.1, sections 28.2, 28.3, 28.12, 28.13 and table 5-2.
"""

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

from pyghmi.ipmi.bmc import Bmc

FAULTS = {
    "slow": "every chassis answer takes 1.3 s",
    "busy": "the first two chassis commands get 0xc0, node busy",
    "busy-action": "the first control command gets 0xc0, and is not applied",
    "drop-answer": "a control command is applied and never answered",
    "unsure": "a control command is applied and answered with 0xce",
    "lag": "the power state shown is 0.6 s old",
    "no-reset": "a reset gets 0xd5: on or off, nothing else",
    "boot-refused": "boot flags get 0xcc; an override for PXE stands from before",
    "boot-ignored": "boot flags are accepted and not applied",
    "mode-ignored": "the EFI bit is accepted and not kept",
    "device-only": "only the boot device is kept",
    "keep-refused": "boot flag valid bit clearing gets 0xcc",
}
_NAMES = {0: "off", 1: "on", 2: "cycle", 3: "reset"}


class HostileBmc(Bmc):  # type: ignore[misc]
    def __init__(self, port: int, log: Path, faults: frozenset[str], password: str) -> None:
        super().__init__({"admin": password}, port=port, address="127.0.0.1")
        assert faults <= FAULTS.keys()
        self._faults = faults
        self._log = log
        self._on = False
        self._was_on = False
        self._changed_at = -1e9
        self._flags = bytearray(5)
        if "boot-refused" in faults:
            self._flags[:2] = b"\xa0\x04"  # left by someone: UEFI, PXE
        self._counts: dict[str, int] = {}

    def handle_raw_request(self, request: dict[str, Any], session: Any) -> None:
        if request["netfn"] != 0:
            super().handle_raw_request(request, session)
            return
        if "slow" in self._faults:
            time.sleep(1.3)
        if self._first("busy", 2):
            session.send_ipmi_response(code=0xC0)
            return
        data = bytearray(request["data"])
        match request["command"]:
            case 1:
                session.send_ipmi_response(data=[int(self._shown()), 0, 0])
            case 2:
                self._control(data[0] & 0x0F, session)
            case 8:
                session.send_ipmi_response(code=self._set_boot(data))
            case 9:
                answer = [1, data[0], *(self._flags if data[0] == 5 else [0])]
                session.send_ipmi_response(data=answer)
            case _:
                session.send_ipmi_response(code=0xC1)

    def _control(self, directive: int, session: Any) -> None:
        with self._log.open("a", encoding="ascii") as log:
            log.write(f"{_NAMES.get(directive, directive)}\n")
        if self._first("busy-action", 1):
            session.send_ipmi_response(code=0xC0)
            return
        if directive == 3 and ("no-reset" in self._faults or not self._on):
            session.send_ipmi_response(code=0xD5)
            return
        self._was_on, self._changed_at = self._shown(), time.monotonic()
        self._on = directive != 0
        if self._on:
            self._flags[0] &= 0x7F  # the boot consumes the override
        if "drop-answer" in self._faults:
            return
        session.send_ipmi_response(code=0xCE if "unsure" in self._faults else 0)

    def _shown(self) -> bool:
        is_old = "lag" in self._faults and time.monotonic() - self._changed_at < 0.6
        return self._was_on if is_old else self._on

    def _set_boot(self, data: bytearray) -> int:
        if data[0] & 0x7F == 3 and "keep-refused" in self._faults:
            return 0xCC
        if data[0] & 0x7F != 5:
            return 0
        if "boot-refused" in self._faults:
            return 0xCC
        if "boot-ignored" in self._faults:
            return 0
        self._flags = data[1:6]
        if "mode-ignored" in self._faults:
            self._flags[0] &= 0xDF
        if "device-only" in self._faults:
            self._flags[0] = 0
        return 0

    def _first(self, fault: str, times: int) -> bool:
        if fault not in self._faults:
            return False
        self._counts[fault] = self._counts.get(fault, 0) + 1
        return self._counts[fault] <= times


def main() -> None:
    port, log, password, *faults = sys.argv[1:]
    bmc = HostileBmc(int(port), Path(log), frozenset(faults), password)
    with contextlib.suppress(KeyboardInterrupt):
        bmc.listen(timeout=5)


if __name__ == "__main__":
    main()
