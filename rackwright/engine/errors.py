"""The engine's errors: one root, and whose fault each is.

Errors carry data, not prose; whether a retry can help is a field. A message never holds a secret.
"""

from enum import StrEnum


class Fault(StrEnum):
    """Whose fault an error is."""

    OURS = "ours"
    OPERATOR = "operator"
    MACHINE = "machine"
    NETWORK = "network"


class EngineError(Exception):
    """Root of the engine's errors.

    ``hint`` says what to do next; ``retryable`` whether the same attempt may succeed later;
    ``pressed`` whether it hints at something shared that is overloaded.
    """

    fault = Fault.OURS
    retryable = False
    pressed = False

    def __init__(self, message: str, *, hint: str = "", machine: str = "", stage: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.machine = machine
        self.stage = stage

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class OperatorError(EngineError):
    """The input is wrong; the same input will fail again."""

    fault = Fault.OPERATOR


class MachineError(EngineError):
    """A machine answered, and its answer is a failure."""

    fault = Fault.MACHINE
    retryable = True


class UnreachableError(EngineError):
    """No trusted answer came from a machine or BMC within the deadline: its state is unknown."""

    fault = Fault.NETWORK
    retryable = True
    pressed = True
