from types import SimpleNamespace

import pytest

from rackwright.engine.drivers.faults import BusyError, RefusedError, UnansweredError
from rackwright.engine.drivers.redfish_faults import fault_of, retry_after_s
from rackwright.engine.errors import EngineError, OperatorError


class HttpError(SimpleNamespace):
    def __str__(self) -> str:
        return f"HTTP returned {self.status_code}: {self.detail}"


@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (503, "", BusyError),
        (429, "", BusyError),
        (400, "RAC0218: The maximum number of user sessions is reached", BusyError),
        (503, "Base.1.4.SessionLimitExceeded", BusyError),
        (500, "SYS518: iDRAC is not ready", BusyError),
        (400, "iLO.2.14.InvalidOperationForSystemState", BusyError),
        (403, "Base.1.0.InsufficientPrivilege", OperatorError),
        (500, "InternalError", UnansweredError),
        (502, "", UnansweredError),
        (504, "", UnansweredError),
        (501, "", RefusedError),
        (400, "PropertyNotWritable", RefusedError),
        (405, "", RefusedError),
        (409, "", RefusedError),
        (401, "NoValidSession", type(None)),
        (403, "", type(None)),
    ],
)
def test_refusals_mean(status: int, detail: str, kind: type[EngineError]) -> None:
    error = HttpError(status_code=status, detail=detail, code="Base.1.0.GeneralError")
    assert type(fault_of(error, "bmc", ("secret",), None)) is kind


def test_what_the_bmc_echoes_is_masked() -> None:
    error = HttpError(status_code=400, detail="no user with s3cret", code="x")
    assert "s3cret" not in str(fault_of(error, "bmc", ("s3cret",), None))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999", 600.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: float | None) -> None:
    assert retry_after_s(value, now_epoch_s=60.0) == expected
