"""Every error of ours has a status, a message and a hint; strangers tell nothing of themselves."""

import errno

import pytest

from rackwright.api.dnsmasq.errors import StartError
from rackwright.api.owner.runs import NotAcceptedError
from rackwright.api.problems import invalid_request, problem_of
from rackwright.engine.content.errors import ContentError, Mark
from rackwright.engine.errors import EngineError, MachineError, OperatorError, UnreachableError
from rackwright.inventory.errors import (
    EnrolError,
    InventoryError,
    NotFoundError,
    Problem,
    ReservedError,
    SelectorError,
    StalePlanError,
    StorageBusyError,
    StorageFullError,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperatorError("x"), 422),
        (NotAcceptedError("x"), 428),
        (MachineError("x"), 502),
        (UnreachableError("x"), 504),
        (EngineError("x"), 500),
        (NotFoundError("x"), 404),
        (ReservedError("x"), 409),
        (StalePlanError("x"), 409),
        (SelectorError("x", selector="(", column=1), 422),
        (StorageFullError("x"), 507),
        (StorageBusyError("x"), 503),
        (InventoryError("x"), 500),
        (StartError("x"), 503),
        (OSError(errno.ENOSPC, "No space left on device"), 507),
        (PermissionError(errno.EACCES, "Permission denied"), 500),
    ],
)
def test_an_error_has_its_status(error: Exception, status: int) -> None:
    found, detail = problem_of(error)
    assert found == status
    assert detail["message"]
    assert "hint" in detail


def test_a_stranger_tells_nothing() -> None:
    status, detail = problem_of(ValueError("hunter2"))
    assert status == 500
    assert "hunter2" not in repr(detail)


def test_problems_carry_their_places() -> None:
    error = ContentError(Mark("w.yaml", 3, 5), "bad", hint="h")
    _, detail = problem_of(error)
    assert detail["problems"][0]["message"] == "w.yaml:3:5: bad"
    _, detail = problem_of(EnrolError([Problem("m.yaml", 2, 1, "bad", "h")]))
    assert detail["problems"] == [{"message": "m.yaml:2:1: bad", "hint": "h"}]


def test_an_invalid_request_is_told_without_its_input() -> None:
    detail = invalid_request(
        [{"loc": ("body", "machines"), "msg": "Input should be a list", "input": "hunter2"}]
    )
    assert detail["problems"][0]["message"] == "body.machines: Input should be a list"
    assert "hunter2" not in repr(detail)
