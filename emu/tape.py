"""A run written down so that it can be repeated without the emulator: memory, what the kernel did, every instruction.

The driver's own instructions are all that somebody else has to execute. Whatever happened between them (kernel
functions, exception dispatch, pages that came into being) is on the tape as registers and memory that it left.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stackemu.emu.observation import Observation

REGISTERS = ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI")
"""The order of registers in a segment and in a step: that in which x86 encodes them."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Code of the driver that ran without the kernel: memory changed before it, and registers at its start."""

    writes: tuple[tuple[int, bytes], ...]
    registers: tuple[int, ...]
    address: int
    flags: int
    steps: array[int]
    """EIP and ESP before each instruction that was begun, in turn."""
    end: tuple[int, int]
    """EIP and ESP where it stopped."""


@dataclass(frozen=True, slots=True)
class Tape:
    """One run; `memory` holds the content of every page, by address, when the code first could see it."""

    observation: Observation
    memory: Mapping[int, bytes]
    segments: Sequence[Segment]
    entry_esp: int
    fs_base: int
    is_whole: bool
    """Whether every instruction is on it; long runs are cut off."""


@dataclass(slots=True)
class TapeRecorder:
    """Writes down one run while it goes on."""

    take_steps: Callable[[], array[int]]
    """Returns EIP and ESP before each instruction begun since the last time."""
    segments: list[Segment] = field(default_factory=list)
    _writes: list[tuple[int, bytes]] = field(default_factory=list)
    _start: tuple[int, tuple[int, ...], int] = (0, (), 0)

    def start(self, address: int, registers: tuple[int, ...], flags: int) -> None:
        """The driver's code goes on at `address`."""
        self._start = (address, registers, flags)

    def stop(self, address: int, esp: int) -> None:
        """The driver's code stopped at `address`."""
        start, registers, flags = self._start
        self.segments.append(Segment(tuple(self._writes), registers, start, flags, self.take_steps(), (address, esp)))
        self._writes.clear()

    def wrote(self, address: int, data: bytes) -> None:
        """The kernel changed memory."""
        self._writes.append((address, data))
