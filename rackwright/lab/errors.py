"""The lab's errors: one root, each with a hint that says what to do next."""


class LabError(Exception):
    """Root of the lab's errors. The message never holds a secret."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class RackFileError(LabError):
    """The operator's rack file is wrong; the message starts with file:line:column."""


class HostError(LabError):
    """This host cannot hold a rack as it is: a tool, a right or a name is missing or taken."""


class HardwareError(LabError):
    """A virtual machine or its BMC did not do what was asked."""
