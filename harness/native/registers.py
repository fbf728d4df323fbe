"""The registers of a native process: the general ones as 32-bit values, and a fixed floating-point state."""

from __future__ import annotations

import array
import ctypes
import errno
import struct
from dataclasses import dataclass
from typing import Final

from stackemu.harness.native import ptrace

_STEPPING_FLAGS: Final = 0x00010100
"""EFLAGS.RF and TF, which stepping and its exceptions set; never shown."""

FIXED_FLAG: Final = 0x002
"""EFLAGS bit 1, which always reads 1."""

_FIELDS = {
    **{name: ptrace.USER_REGISTERS.index("r" + name[1:]) for name in ("eax", "ebx", "ecx", "edx", "esi", "edi")},
    **{name: ptrace.USER_REGISTERS.index("r" + name[1:]) for name in ("ebp", "esp", "eip")},
    "eflags": ptrace.USER_REGISTERS.index("eflags"),
}
_ORIGINAL_RAX = ptrace.USER_REGISTERS.index("orig_rax")
_NO_SYSTEM_CALL = 0xFFFFFFFFFFFFFFFF

# The processor's state after FNINIT, and MXCSR after reset (Intel SDM volume 1, 8.1.5 and 10.2.3).
_FPU_CONTROL: Final = 0x037F
_MXCSR: Final = 0x1F80
_FXSAVE_SIZE: Final = 512
_MXCSR_OFFSET: Final = 24
_XSAVE_HEADER: Final = slice(512, 576)
_XSAVE_LIMIT: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Registers:
    """The general registers, as they stand between two instructions."""

    eax: int = 0
    ebx: int = 0
    ecx: int = 0
    edx: int = 0
    esi: int = 0
    edi: int = 0
    ebp: int = 0
    esp: int = 0
    eip: int = 0
    eflags: int = FIXED_FLAG


class RegisterFile:
    """The registers of one stopped process."""

    def __init__(self, pid: int) -> None:
        """Read nothing yet: `pid` need only be stopped when registers are read or written."""
        self._pid = pid
        self.words = array.array("Q", bytes(8 * len(ptrace.USER_REGISTERS)))
        self.address = self.words.buffer_info()[0]
        self._kept: array.array[int] | None = None

    def read(self) -> Registers:
        """Return the general registers; EFLAGS without RF and TF, which belong to the stepping."""
        ptrace.request(ptrace.GETREGS, self._pid, 0, self.address)
        values = {name: self.words[index] & 0xFFFFFFFF for name, index in _FIELDS.items()}
        values["eflags"] &= ~_STEPPING_FLAGS
        return Registers(**values)

    def write(self, registers: Registers) -> None:
        """Set the general registers, and the segment registers to what they were at `keep_segments`.

        The kernel lets EFLAGS.IF and the I/O privilege level be as they are.
        """
        if self._kept is None:
            ptrace.request(ptrace.GETREGS, self._pid, 0, self.address)
        else:
            self.words[:] = self._kept
        for name, index in _FIELDS.items():
            self.words[index] = getattr(registers, name) & 0xFFFFFFFF
        self.words[_FIELDS["eflags"]] &= ~_STEPPING_FLAGS
        self.words[_ORIGINAL_RAX] = _NO_SYSTEM_CALL
        ptrace.request(ptrace.SETREGS, self._pid, 0, self.address)

    def keep_segments(self) -> None:
        """Let every later `write` bring back the segment registers of now, which code may load: CS by a far jump."""
        ptrace.request(ptrace.GETREGS, self._pid, 0, self.address)
        self._kept = self.words[:]

    def reset_floating_point(self) -> None:
        """Bring x87, SSE and what else the processor has to its initial state: FNINIT, MXCSR 0x1F80, all else 0."""
        area = bytearray(_XSAVE_LIMIT)
        vector = self._vector(area)
        try:
            self._register_set(ptrace.GETREGSET, vector)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            self._reset_fxsave()  # a processor without XSAVE has nothing beyond SSE
            return
        # Components whose bit in the header's first word is clear are in their initial state (SDM volume 1, 13.4.2).
        area[:_FXSAVE_SIZE] = _fxsave_area(area[_MXCSR_OFFSET + 4 : _MXCSR_OFFSET + 8])
        area[_XSAVE_HEADER] = struct.pack("<Q56x", 0)
        self._register_set(ptrace.SETREGSET, vector)

    def _reset_fxsave(self) -> None:
        area = bytearray(_fxsave_area(mxcsr_mask=bytes(4)))
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        ptrace.request(ptrace.SETFPREGS, self._pid, 0, address)

    def _vector(self, area: bytearray) -> ptrace.IoVector:
        return ptrace.IoVector(ctypes.addressof(ctypes.c_char.from_buffer(area)), len(area))

    def _register_set(self, number: int, vector: ptrace.IoVector) -> None:
        ptrace.request(number, self._pid, ptrace.NT_X86_XSTATE, ctypes.addressof(vector))


def _fxsave_area(mxcsr_mask: bytes | bytearray) -> bytes:
    """Return an FXSAVE image of the initial state: control word, empty tags, MXCSR, and the processor's own mask."""
    area = bytearray(_FXSAVE_SIZE)
    struct.pack_into("<H", area, 0, _FPU_CONTROL)
    struct.pack_into("<I4s", area, _MXCSR_OFFSET, _MXCSR, bytes(mxcsr_mask))
    return bytes(area)
