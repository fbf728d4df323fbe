"""A place of the input that a value came from."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """A place of the input, and what it held when it was looked at.

    kind      key                    what decides it
    memory    address                the first content of memory
    register  number                 a register at the function's entry
    api       ordinal of the call    whether a kernel function succeeds, and with what
    drawn     key of the number      a number that a kernel function answered with, or wrote
    kernel    ordinal of the call    the kernel function alone: no input changes it
    """

    kind: str
    key: int
    size: int
    """In bytes."""
    value: int

    @property
    def place(self) -> tuple[str, int, int]:
        """Return what tells places apart."""
        return self[:3]
