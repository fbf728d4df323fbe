"""The errors that stackemu raises on purpose; each knows the exit code it becomes."""

from __future__ import annotations


class StackemuError(Exception):
    """Root of every error that is reported to the user as one line instead of a traceback."""

    exit_code = 2


class InputError(StackemuError):
    """An input that cannot be used: what is wrong, where, and what to do about it."""

    def __init__(self, where: str, what: str, remedy: str = "") -> None:
        """`where` names the file (and place in it), `what` says what is wrong, `remedy` what to do."""
        self.where = where
        self.what = what
        self.remedy = remedy
        super().__init__(f"{where}: {what}" + (f"; {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Let the error come from another process: exceptions are made anew there from their message alone."""
        return type(self), (self.where, self.what, self.remedy)


class UsageError(StackemuError):
    """A wrong use of a command, such as a pattern that matches no function."""


class NothingMeasuredError(StackemuError):
    """The run ended without one measurement."""

    exit_code = 3


class CheckFailedError(StackemuError):
    """The command did its work, and what it found is not as it should be."""

    exit_code = 1
