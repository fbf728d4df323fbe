"""What code of the emulated kernel works with: memory, its own state, the input; one call of a kernel API."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, TypeVar

from stackemu.emu.inputs import PAGE, Input
from stackemu.emu.kernel.exports import Api
from stackemu.emu.kernel.layouts import View, layout
from stackemu.emu.kernel.roots import Root
from stackemu.emu.kernel.state import KernelState

MAX_COPY = 0x100000
"""No stub copies or scans more than this many bytes."""
MAX_STRING = 0xFFFC
"""Bytes of the longest string that a UNICODE_STRING describes."""
USER_END = 0x7FFF0000
"""MmUserProbeAddress on x86: addresses below belong to user mode."""

T = TypeVar("T")


class Host(Protocol):
    """The machine, as the emulated kernel sees it; memory comes into being as for the driver's own accesses."""

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes; raises `BadAddress` where nothing may be mapped."""

    def write(self, address: int, data: bytes) -> None:
        """Write `data`; raises `BadAddress` where nothing may be mapped."""

    def invoke(
        self, address: int, arguments: Sequence[int], *, ecx: int | None, edx: int | None, ebp: int | None
    ) -> int:
        """Call the driver's code on the driver's stack as a subroutine; returns EAX."""

    def invoke_apart(self, address: int, arguments: Sequence[int]) -> int:
        """Call the driver's code on a stack of its own, whose use is not measured; returns EAX."""

    def leave(self, address: int, *, esp: int, ebp: int | None, eax: int | None) -> NoReturn:
        """End the call under way: the driver goes on at `address`."""

    def registers(self) -> dict[str, int]:
        """Return the general registers, EIP and EFLAGS by name, as they were when the kernel was entered."""


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
    """The driver raised an exception."""

    def __init__(self, status: int) -> None:
        """Remember the NTSTATUS."""
        super().__init__(f"raised {status:#010x}")
        self.status = status


class Terminated(Exception):  # noqa: N818 -- an outcome of the emulated kernel, not a failure of the program
    """The thread ended: nothing of this run comes back."""


def _find_terminator(data: bytes, unit: int) -> int:
    """Return where the first terminator of `unit` bytes lies, the length of the data when there is none."""
    zero = bytes(unit)
    at = data.find(zero)
    while at >= 0 and at % unit:
        at = data.find(zero, at + 1)
    return at if at >= 0 else len(data)


@dataclass(slots=True)
class Context:
    """The emulated kernel at work, for an API call or to prepare a function's arguments.

    `ordinal` tells calls of one run apart, so that each draws its own values from the input.
    """

    host: Host
    kernel: KernelState
    source: Input
    ordinal: int

    # -- memory --

    def read(self, address: int, size: int) -> bytes:
        """Return emulated memory; raises BadAddress."""
        return self.host.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Change emulated memory; raises BadAddress."""
        self.host.write(address, data)

    def u8(self, address: int) -> int:
        """Return the byte at `address`."""
        return self.host.read(address, 1)[0]

    def u16(self, address: int) -> int:
        """Return the 16-bit number at `address`."""
        return int.from_bytes(self.host.read(address, 2), "little")

    def u32(self, address: int) -> int:
        """Return the 32-bit number at `address`."""
        return int.from_bytes(self.host.read(address, 4), "little")

    def u64(self, address: int) -> int:
        """Return the 64-bit number at `address`."""
        return int.from_bytes(self.host.read(address, 8), "little")

    def put_u8(self, address: int, value: int) -> None:
        """Write a byte."""
        self.host.write(address, bytes((value & 0xFF,)))

    def put_u16(self, address: int, value: int) -> None:
        """Write a 16-bit number."""
        self.host.write(address, (value & 0xFFFF).to_bytes(2, "little"))

    def put_u32(self, address: int, value: int) -> None:
        """Write a 32-bit number."""
        self.host.write(address, (value & 0xFFFFFFFF).to_bytes(4, "little"))

    def put_u64(self, address: int, value: int) -> None:
        """Write a 64-bit number."""
        self.host.write(address, (value & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little"))

    def put_optional(self, address: int, value: int) -> None:
        """Write a 32-bit number through an out-parameter that may be null."""
        if address:
            self.put_u32(address, value)

    def view(self, structure: str, address: int) -> View:
        """Return a view of a structure by its name, such as `IRP`; KeyError for an unknown one."""
        return View(self.host, address, layout(structure))

    # -- strings --

    def terminated(self, address: int, unit: int = 1, limit: int = MAX_STRING) -> bytes:
        """Return the string at `address` up to its terminator of `unit` bytes; at most `limit` bytes are read."""
        data = bytearray()
        limit = min(limit, MAX_STRING)
        while len(data) < limit:
            at = address + len(data)
            size = min(max(unit, (PAGE - at % PAGE) // unit * unit), limit - len(data))
            piece = self.host.read(at, size)
            end = _find_terminator(piece, unit)
            data += piece[:end]
            if end < len(piece):
                break
        return bytes(data)

    def counted(self, address: int) -> bytes:
        """Return the bytes that a UNICODE_STRING or ANSI_STRING at `address` describes; none for a null pointer."""
        if not address:
            return b""
        length, _, buffer = struct.unpack("<HHI", self.host.read(address, 8))
        return self.host.read(buffer, length) if length else b""

    def unicode(self, address: int) -> str:
        """Return the text of the UNICODE_STRING at `address`."""
        return self.counted(address).decode("utf-16-le", "replace")

    def put_counted(self, address: int, data: bytes, maximum: int | None = None) -> None:
        """Make `address` a counted string over a new buffer that holds `data`, cut off at `MAX_STRING` bytes."""
        data = data[:MAX_STRING]
        size = len(data) + 2 if maximum is None else maximum
        buffer = self.allocate(size)
        self.host.write(buffer, data + bytes(max(0, size - len(data))))
        self.host.write(address, struct.pack("<HHI", len(data), size, buffer))

    # -- objects --

    def allocate(self, size: int, *, zeroed: bool = True) -> int:
        """Return the address of `size` new bytes of kernel memory, 0 when there is none left.

        Without `zeroed` they hold what the input says, as fresh pool does.
        """
        address = self.kernel.reserve(size)
        if address and zeroed and size:
            self.host.write(address, bytes(size))
        return address

    def new(self, structure: str, extra: int = 0) -> View:
        """Return a new structure filled with zeros, with `extra` bytes behind it."""
        known = layout(structure)
        return View(self.host, self.allocate(known.size + extra), known)

    def state(self, kind: type[T]) -> T:
        """Return the state that a family keeps in a type of its own."""
        return self.kernel.of(kind)

    # -- the input --

    @property
    def succeeds(self) -> bool:
        """Whether the input lets this call succeed."""
        return self.source.succeeds(self.ordinal)

    def failure(self) -> int:
        """Return an NTSTATUS that says why the call failed."""
        return self.source.failure(self.ordinal)

    def draw(self, key: int = 0) -> int:
        """Return a number that nobody but the input knows; `key` below 8 tells several of one call apart."""
        return self.source.result(self.ordinal * 8 + key)

    # -- the driver --

    def invoke(
        self,
        address: int,
        *arguments: int,
        ecx: int | None = None,
        edx: int | None = None,
        ebp: int | None = None,
    ) -> int:
        """Call the driver's code as the kernel does, with words on the stack; returns EAX."""
        return self.host.invoke(address, arguments, ecx=ecx, edx=edx, ebp=ebp)

    def root(self, address: int, role: str, kind: str, *context: int) -> None:
        """Remember a function that the driver wants to be called at."""
        self.kernel.add_root(Root(address, role, kind, context))

    def note(self, text: str) -> None:
        """Remember odd behaviour of the driver, in the words of a report."""
        self.kernel.records.notes.setdefault(text)


@dataclass(slots=True)
class ApiCall(Context):
    """A call under way. A behaviour reads `arguments` and sets `eax` (and `edx`); EAX is 0 otherwise.

    `stack_adjust` lowers ESP after the return, for the stack probes, whose whole point that is.
    """

    name: str
    api: Api | None
    arguments: tuple[int, ...]
    """All arguments in order, those in registers first."""
    stack_words: tuple[int, ...]
    call_registers: tuple[int, int, int]
    """EAX, ECX and EDX at the call."""
    return_address: int
    eax: int = 0
    edx: int | None = None
    stack_adjust: int = 0
    registers: dict[str, int] = field(default_factory=dict)
    """Other registers that the call changes, by name: only helpers of the compiler change any."""

    def complete(self, status: int) -> None:
        """Return an NTSTATUS."""
        self.eax = status & 0xFFFFFFFF

    def fail(self) -> None:
        """Return an NTSTATUS of the input's choice that says why the call failed."""
        self.eax = self.failure()
