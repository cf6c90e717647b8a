"""What a Redfish service's refusal means: busy, refused, not allowed, or unknown.

Sources: DSP0266 (status codes), the Base message registry, and messages seen on BMCs.
"""

import re
from email.utils import parsedate_to_datetime
from typing import Any

from rackwright.engine.drivers.faults import BusyError, RefusedError, UnansweredError
from rackwright.engine.drivers.redaction import foreign_text
from rackwright.engine.errors import EngineError, OperatorError

_SESSIONS_FULL = re.compile(
    r"RAC0218|SessionLimitExceeded|CreateLimitReached|maximum (?:number of )?sessions"
    r"|(?:too many|no more|not enough) sessions",
    re.IGNORECASE,
)
# SYS518: iDRAC is not ready; iLO says InvalidOperationForSystemState; the rest is DMTF's Base.
_BUSY = re.compile(
    r"SYS518|iLO[^\"]*InvalidOperationForSystemState|ServiceTemporarilyUnavailable"
    r"|ServiceInUnknownState|ResourceInStandby|ServiceShuttingDown|not ready",
    re.IGNORECASE,
)
# In a refusal only: beside a 5xx these words do not say that nothing was done.
_BUSY_REFUSAL = re.compile(
    r"ResourceInUse|in transition|\b(?:is|currently|device|system|bmc|resource) busy\b"
    r"|in progress|try again|retry later|resource is locked",
    re.IGNORECASE,
)
_NOT_NOW = (423, 425, 429, 503)  # RFC 4918, RFC 8470, RFC 6585, RFC 9110: not done, try later
_PRIVILEGE = re.compile(r"InsufficientPrivilege", re.IGNORECASE)
_MAX_RETRY_AFTER_S = 600.0


def fault_of(
    error: Any, name: str, secrets: tuple[str, ...], wait_s: float | None
) -> EngineError | None:
    """What sushy's HTTPError means, None for "who are you?" (401, or 403 without a reason)."""
    status = int(error.status_code or 0)
    raw = str(error)
    text = foreign_text(str(error.detail or error.code or raw), secrets)
    if _SESSIONS_FULL.search(raw):
        return BusyError(
            f"{name}: the BMC has no session left",
            retry_after_s=wait_s,
            hint="sessions of other tools are open there: close them, or wait for their timeout",
        )
    is_refusal = status in (400, 403, 409)
    if status in _NOT_NOW or _BUSY.search(raw) or (is_refusal and _BUSY_REFUSAL.search(raw)):
        return BusyError(f"{name}: the BMC is busy (HTTP {status}: {text})", retry_after_s=wait_s)
    if _PRIVILEGE.search(raw):
        return OperatorError(
            f"{name}: the BMC's account lacks a privilege (HTTP {status})",
            hint="give it the Operator or Administrator role",
        )
    if status in (401, 403):
        return None
    if status >= 500 and status != 501:
        return UnansweredError(f"{name}: the BMC failed (HTTP {status}: {text})")
    return RefusedError(f"{name}: the BMC refused (HTTP {status}: {text})", status=status)


def retry_after_s(value: str, now_epoch_s: float) -> float | None:
    """RFC 9110 section 10.2.3: seconds, or an HTTP date; None if it is neither."""
    text = value.strip()
    if text.isdigit():
        return min(float(text), _MAX_RETRY_AFTER_S)
    try:
        wait_s = parsedate_to_datetime(text).timestamp() - now_epoch_s
    except (ValueError, TypeError):
        return None
    return min(max(0.0, wait_s), _MAX_RETRY_AFTER_S)
