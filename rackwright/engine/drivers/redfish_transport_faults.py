"""What a failed HTTPS exchange means: did the request leave or not."""

import ssl

import requests
import urllib3.exceptions

from rackwright.engine.drivers.faults import NotSentError, UnansweredError
from rackwright.engine.drivers.redaction import foreign_text
from rackwright.engine.errors import UnreachableError


def transport_fault(
    cause: BaseException | None, name: str, secrets: tuple[str, ...]
) -> UnreachableError:
    """NotSentError where it is certain that nothing was sent, else UnansweredError."""
    reason = _innermost(cause)
    text = foreign_text(f"{type(reason).__name__}: {reason}", secrets, 200)
    if _is_tls(cause):
        hint = "pin the certificate that the BMC shows now, if it is known to be its own"
        return NotSentError(f"{name}: TLS was refused: {text}", hint=hint)
    if _never_left(cause):
        return NotSentError(
            f"{name}: no connection: {text}", hint="check the BMC's address and network"
        )
    return UnansweredError(f"{name}: no answer: {text}")


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    pending = [error]
    while pending:
        current = pending.pop()
        if current is None or current in found:
            continue
        found.append(current)
        pending += [current.__cause__, current.__context__]
        pending += [item for item in current.args if isinstance(item, BaseException)]
        reason = getattr(current, "reason", None)
        pending.append(reason if isinstance(reason, BaseException) else None)
    return found


def _innermost(error: BaseException | None) -> BaseException | None:
    chain = _chain(error)
    return chain[-1] if chain else error


def _is_tls(error: BaseException | None) -> bool:
    """A handshake that failed. A TLS stream that ends early after it is a lost answer."""
    return any(
        isinstance(item, ssl.SSLCertVerificationError)
        or (isinstance(item, urllib3.exceptions.SSLError) and "ingerprint" in str(item))
        or (isinstance(item, ssl.SSLError) and _HANDSHAKE_WORDS & set(str(item).lower().split()))
        for item in _chain(error)
    )


_HANDSHAKE_WORDS = frozenset({"handshake", "alert", "version", "wrong_version_number"})


def _never_left(error: BaseException | None) -> bool:
    never = (
        requests.ConnectTimeout,
        requests.exceptions.InvalidSchema,
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        urllib3.exceptions.NameResolutionError,
    )
    return any(isinstance(item, never) for item in _chain(error))
