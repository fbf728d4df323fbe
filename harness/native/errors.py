"""What can go wrong with a native process."""

from __future__ import annotations

from stackemu.emu.errors import StackemuError


class NativeError(StackemuError):
    """The host refused something that a native process needs, or the process was used out of order."""


class StartError(NativeError):
    """The host cannot start, trace or confine a 32-bit process; the message is the reason in one line."""


class EndedError(NativeError):
    """The process ended, though nothing it runs can end it: a limit was reached or somebody killed it."""


class UnmappedError(NativeError):
    """A read or write touched an address where the process has no memory."""
