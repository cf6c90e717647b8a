"""Errors of the engine, the inventory and the system as problem documents with an HTTP status."""

import errno
from collections.abc import Sequence
from typing import Any

from rackwright.api.dnsmasq.errors import DnsmasqError
from rackwright.api.owner.runs import NotAcceptedError
from rackwright.engine.content.errors import ContentError, ContentErrors
from rackwright.engine.errors import EngineError, Fault, UnreachableError
from rackwright.engine.plan.selection import NeedsDiscoveryError
from rackwright.inventory.errors import (
    ConflictError,
    EnrolError,
    InventoryError,
    NotFoundError,
    StorageError,
    StorageFullError,
)
from rackwright.inventory.errors import OperatorError as InventoryOperatorError


def problem_of(error: Exception) -> tuple[int, dict[str, Any]]:
    """(HTTP status, problem document): message and hint always; ``problems`` where there are
    several, each with its place; ``needs_discovery`` with machine names."""
    if isinstance(error, EngineError):
        return _of_engine(error)
    if isinstance(error, InventoryError):
        return _of_inventory(error)
    if isinstance(error, DnsmasqError):
        return 503, {"message": str(error.args[0]), "hint": ""}
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "free some space" if full else "see the controller's log"
        return 507 if full else 500, {"message": str(error), "hint": hint}
    return 500, {"message": "internal error", "hint": "see the controller's log"}


def invalid_request(errors: Sequence[Any]) -> dict[str, Any]:
    """pydantic's errors as a problem document. The input itself is left out: it may be secret."""
    problems = [
        {"message": f"{'.'.join(map(str, one['loc']))}: {one['msg']}", "hint": ""} for one in errors
    ]
    return {"message": "the request is not valid", "hint": "", "problems": problems}


def _of_engine(error: EngineError) -> tuple[int, dict[str, Any]]:
    detail: dict[str, Any] = {"message": error.message, "hint": error.hint}
    match error:
        case ContentErrors():
            detail["problems"] = [_placed(one) for one in error.errors]
            return 422, detail
        case ContentError():
            detail["problems"] = [_placed(error)]
            return 422, detail
        case NeedsDiscoveryError():
            detail["needs_discovery"] = list(error.machines)
            return 409, detail
        case NotAcceptedError():
            return 428, detail
        case UnreachableError():
            return 504, detail
    if error.fault is Fault.OPERATOR:
        return 422, detail
    return (502 if error.fault is Fault.MACHINE else 500), detail


def _of_inventory(error: InventoryError) -> tuple[int, dict[str, Any]]:
    detail: dict[str, Any] = {"message": error.message, "hint": error.hint}
    match error:
        case EnrolError():
            detail["problems"] = [
                {"message": f"{p.file}:{p.line}:{p.column}: {p.message}", "hint": p.hint}
                for p in error.problems
            ]
            return 422, detail
        case NotFoundError():
            return 404, detail
        case ConflictError():
            return 409, detail
        case InventoryOperatorError():
            return 422, detail
        case StorageFullError():
            return 507, detail
        case StorageError():
            return 503, detail
    return 500, detail


def _placed(error: ContentError) -> dict[str, Any]:
    return {
        "message": f"{error.mark}: {error.message}",
        "hint": error.hint,
        "file": error.file,
        "line": error.line,
        "column": error.column,
    }
