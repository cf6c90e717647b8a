"""How a single exchange with a BMC can fail, in the terms that decide what may be sent next.

They never leave a driver except as the ``EngineError`` leaves they are.
"""

from rackwright.engine.errors import MachineError, UnreachableError


class BusyError(MachineError):
    """The BMC said "not now" and did nothing: the same request may be sent again, later.

    ``retry_after_s`` is what it asked for, None if it did not say.
    """

    pressed = True

    def __init__(self, message: str, *, retry_after_s: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class NotSentError(UnreachableError):
    """The request never left: no connection, no session. Nothing can have been applied."""


class UnansweredError(UnreachableError):
    """The request left and no usable answer came: it may or may not have been applied."""


class RefusedError(MachineError):
    """The BMC understood and refused. ``status`` is the protocol's code (HTTP or IPMI)."""

    def __init__(self, message: str, *, status: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
