"""What a driver sees of the processor: ring 0 segments, and FS over the processor control region."""

from __future__ import annotations

import struct

import unicorn
from unicorn import x86_const

from stackemu.emu.engine import EngineMemory
from stackemu.emu.inputs import PAGE
from stackemu.emu.memory import STACK_LIMIT, STACK_TOP

GDT_ADDRESS = 0x8003F000
KPCR_ADDRESS = 0xFFDFF000
USER_SHARED_DATA = 0xFFDF0000

_KPRCB = 0x120
"""Offset of the processor control block in the KPCR."""
CURRENT_THREAD = 0x80553740

# Selector, base, limit in pages, access byte: the segments of 32-bit Windows in kernel mode. Accessed bits
# are set, so that the processor has no reason to write to the table.
_SEGMENTS = {
    x86_const.UC_X86_REG_CS: (0x08, 0, 0xFFFFF, 0x9B),
    x86_const.UC_X86_REG_SS: (0x10, 0, 0xFFFFF, 0x93),
    x86_const.UC_X86_REG_DS: (0x23, 0, 0xFFFFF, 0xF3),
    x86_const.UC_X86_REG_ES: (0x23, 0, 0xFFFFF, 0xF3),
    x86_const.UC_X86_REG_FS: (0x30, KPCR_ADDRESS, 0x1, 0x93),
}


class Processor:
    """The processor's tables in memory, and its state before every run."""

    def __init__(self, engine: unicorn.Uc, memory: EngineMemory) -> None:
        """Map the tables and load the segment registers."""
        self._engine = engine
        memory.map(GDT_ADDRESS, PAGE, unicorn.UC_PROT_READ)
        memory.map(KPCR_ADDRESS, PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        memory.map(USER_SHARED_DATA, PAGE, unicorn.UC_PROT_READ)
        table = bytearray(PAGE)
        for selector, base, limit, access in _SEGMENTS.values():
            struct.pack_into("<Q", table, selector & ~7, _descriptor(base, limit, access))
        engine.mem_write(GDT_ADDRESS, bytes(table))
        engine.reg_write(x86_const.UC_X86_REG_GDTR, (0, GDT_ADDRESS, PAGE - 1, 0))
        for register, (selector, *_) in _SEGMENTS.items():
            engine.reg_write(register, selector)
        self._initial = engine.context_save()

    def reset(self) -> None:
        """Bring back all registers, floating-point and system registers included, and the control region."""
        self._engine.context_restore(self._initial)
        self._engine.mem_write(KPCR_ADDRESS, _control_region())


def _descriptor(base: int, limit: int, access: int) -> int:
    """Return a 32-bit, page-granular segment descriptor (Intel SDM volume 3, 3.4.5)."""
    return (
        (limit & 0xFFFF)
        | (base & 0xFFFFFF) << 16
        | access << 40
        | ((limit >> 16) & 0xF) << 48
        | 0xC << 52
        | (base >> 24) << 56
    )


def _control_region() -> bytes:
    """Return the KPCR's page: empty exception list, stack bounds, self pointers (NT_TIB and KPCR, ntddk.h)."""
    region = bytearray(PAGE)
    struct.pack_into("<III", region, 0, 0xFFFFFFFF, STACK_TOP, STACK_LIMIT)
    struct.pack_into("<I", region, 0x1C, KPCR_ADDRESS)
    struct.pack_into("<I", region, 0x20, KPCR_ADDRESS + _KPRCB)
    struct.pack_into("<I", region, _KPRCB + 4, CURRENT_THREAD)
    return bytes(region)
