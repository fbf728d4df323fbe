"""One call of a kernel API by emulated code: its arguments, memory and result."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

from stackemu.emu.inputs import Input
from stackemu.emu.kernel.exports import Api

MAX_COPY = 0x100000
"""No stub copies or scans more than this many bytes."""


class Memory(Protocol):
    """Access to the emulated memory; pages come into being when touched, as for the driver's own accesses."""

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes; raises `BadAddress` where nothing may be mapped."""

    def write(self, address: int, data: bytes) -> None:
        """Write `data`; raises `BadAddress` where nothing may be mapped."""


class BadAddress(Exception):  # noqa: N818 -- what a stub meets, not a failure of the program
    """A stub was given an address that cannot be read or written."""

    def __init__(self, address: int) -> None:
        """Remember the address that could not be accessed."""
        super().__init__(f"{address:#010x}")
        self.address = address


class Bugcheck(Exception):  # noqa: N818 -- an outcome of the emulated kernel, not a failure of the program
    """The driver stopped the system on purpose."""

    def __init__(self, code: int) -> None:
        """Remember the bugcheck code."""
        super().__init__(f"bugcheck {code:#010x}")
        self.code = code


class Raised(Exception):  # noqa: N818 -- an outcome of the emulated kernel, not a failure of the program
    """The driver raised an exception that nothing handled."""

    def __init__(self, status: int) -> None:
        """Remember the NTSTATUS."""
        super().__init__(f"raised {status:#010x}")
        self.status = status


@dataclass(slots=True)
class ApiCall:
    """A call under way. A behaviour reads `arguments` and sets `eax` (and `edx`).

    `stack_adjust` lowers ESP after the return, for the stack probes, whose whole point that is.
    """

    name: str
    api: Api | None
    arguments: tuple[int, ...]
    stack_words: tuple[int, ...]
    registers: tuple[int, int, int]
    """EAX, ECX and EDX at the call."""
    memory: Memory
    source: Input
    ordinal: int
    eax: int = 0
    edx: int | None = None
    stack_adjust: int = 0

    def u32(self, address: int) -> int:
        """Return the 32-bit word at `address`."""
        value: int = struct.unpack("<I", self.memory.read(address, 4))[0]
        return value

    def put_u32(self, address: int, value: int) -> None:
        """Write a 32-bit word."""
        self.memory.write(address, struct.pack("<I", value & 0xFFFFFFFF))
