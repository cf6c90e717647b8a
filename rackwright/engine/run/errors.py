"""What a run raises to those who wait for it."""

from rackwright.engine.errors import EngineError, OperatorError


class RunEndedError(OperatorError):
    """The run takes no more orders."""


class AttemptOverError(EngineError):
    """The attempt that wants to act is not under way any more: it must not act."""


class LeaseLostError(EngineError):
    """The owner's lease is over: nothing may be sent."""
