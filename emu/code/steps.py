"""The steps of a recorded run: where the processor stood before each instruction, and what its registers held."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TypeAlias

from stackemu.emu.code.instruction import ESP

_WORDS = 9
"""What the recorder keeps of an instruction: its address and eight registers, 32 bits each."""
STEP_SIZE = 4 * _WORDS
"""Bytes of a step."""

Registers: TypeAlias = Sequence[int]
"""EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI before an instruction."""


class Steps:
    """The instructions of a run, numbered from 0; there are many thousands, of which few are looked at."""

    def __init__(self, data: bytes) -> None:
        """`data` is what the recorder kept, in the machine's byte order."""
        self._words = array("I", data)
        self.addresses: Sequence[int] = self._words[::_WORDS]
        """The instructions' addresses."""

    def __len__(self) -> int:
        """Return the number of instructions."""
        return len(self.addresses)

    def registers(self, number: int) -> Registers:
        """Return the registers before an instruction."""
        start = _WORDS * number + 1
        return self._words[start : start + _WORDS - 1]

    @property
    def stack_pointers(self) -> Sequence[int]:
        """ESP before each instruction."""
        return self._words[1 + ESP :: _WORDS]
