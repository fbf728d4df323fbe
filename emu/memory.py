"""The emulated address space: its layout, pages that come into being when touched, snapshot and reset."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import unicorn

from stackemu.emu.image import Image
from stackemu.emu.inputs import PAGE, Input

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STACK_LIMIT = 0xF8A10000
"""The lowest byte of the emulated kernel stack; a red zone to measure overflows lies below it."""
STACK_SIZE = 12 * 1024
"""A kernel stack on x86, in bytes."""
STACK_RED_ZONE = 0x10000
"""How far below its limit the stack may still grow, so that an overflow is measured instead of guessed."""
STACK_ABOVE = 0x1000
"""Bytes above the entry's ESP: arguments and the frame of an imagined caller."""
STACK_TOP = STACK_LIMIT + STACK_SIZE
STACK_BASE = STACK_LIMIT - STACK_RED_ZONE

KMDF_TABLE = 0x80700000
"""The framework's function table, for drivers that call through a pointer to it."""
STUB_BASE = 0x80500000
STUB_SIZE = 16
"""Bytes between stubs; each begins with `hlt`, which hands control to Python."""

GDT_ADDRESS = 0x8003F000
KPCR_ADDRESS = 0xFFDFF000
USER_SHARED_DATA = 0xFFDF0000
NULL_END = 0x10000
"""Addresses below are never mapped: touching them is a null-pointer fault."""

MAX_TOUCHED_PAGES = 192
"""Memory budget of one run, in pages."""

_CODE_SELECTOR, _STACK_SELECTOR, _DATA_SELECTOR, _FS_SELECTOR = 0x08, 0x10, 0x23, 0x30
_RWX = unicorn.UC_PROT_ALL
_RW = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
_RX = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
_HLT = b"\xf4"


class AddressSpace:
    """Maps the image, the stack, the stubs and the processor's tables; resets what a run has changed."""

    def __init__(self, engine: unicorn.Uc, image: Image, stubs: int) -> None:
        """Map everything that exists before a run; `stubs` is how many stubs to make room for."""
        self._engine = engine
        self._image = image
        self._touched: list[int] = []
        self._writable = [section for section in image.sections if section.writable]
        self._initial = [section.data for section in self._writable]
        self._map_image()
        engine.mem_map(STACK_BASE, STACK_TOP + STACK_ABOVE - STACK_BASE, _RW)
        size = _pages(stubs * STUB_SIZE) * PAGE
        engine.mem_map(STUB_BASE, size, _RX)
        engine.mem_write(STUB_BASE, _HLT * size)
        self._map_processor_tables()

    def _map_image(self) -> None:
        image, engine = self._image, self._engine
        engine.mem_map(image.base, _pages(image.size) * PAGE, _RW)
        engine.mem_write(image.base, image.headers)
        for section in image.sections:
            if not section.data:
                continue
            engine.mem_write(image.base + section.rva, section.data)
            if section.executable:
                # Some linkers mark INIT writable and executable; code that rewrites itself needs both.
                protection = _RWX if section.writable else _RX
                start = (image.base + section.rva) & -PAGE
                engine.mem_protect(start, _pages(image.base + section.end - start) * PAGE, protection)

    def _map_processor_tables(self) -> None:
        """Set up what drivers see of the processor: ring 0 selectors, FS over the KPCR."""
        engine = self._engine
        engine.mem_map(GDT_ADDRESS, PAGE, _RW)
        engine.mem_map(KPCR_ADDRESS, PAGE, _RW)
        engine.mem_map(USER_SHARED_DATA, PAGE, unicorn.UC_PROT_READ)
        table = bytearray(PAGE)
        for selector, base, limit, access in (
            (_CODE_SELECTOR, 0, 0xFFFFF, 0x9B),
            (_STACK_SELECTOR, 0, 0xFFFFF, 0x93),
            (_DATA_SELECTOR, 0, 0xFFFFF, 0xF3),
            (_FS_SELECTOR, KPCR_ADDRESS, 0x1, 0x93),
        ):
            struct.pack_into("<Q", table, selector & ~7, _descriptor(base, limit, access))
        engine.mem_write(GDT_ADDRESS, bytes(table))
        engine.reg_write(unicorn.x86_const.UC_X86_REG_GDTR, (0, GDT_ADDRESS, PAGE - 1, 0))
        for register, selector in (
            (unicorn.x86_const.UC_X86_REG_CS, _CODE_SELECTOR),
            (unicorn.x86_const.UC_X86_REG_SS, _STACK_SELECTOR),
            (unicorn.x86_const.UC_X86_REG_DS, _DATA_SELECTOR),
            (unicorn.x86_const.UC_X86_REG_ES, _DATA_SELECTOR),
            (unicorn.x86_const.UC_X86_REG_FS, _FS_SELECTOR),
        ):
            engine.reg_write(register, selector)
        engine.mem_write(KPCR_ADDRESS, _processor_region())

    def bind(self, pointers: Iterable[tuple[int, int]]) -> None:
        """Write `(address, word)` pairs as the loader does, in the initial state too, so that resets keep them."""
        for address, word in pointers:
            self._engine.mem_write(address, struct.pack("<I", word))
        self.keep()

    def map_table(self, address: int, words: Sequence[int]) -> None:
        """Map a read-only table of words at a page's start."""
        data = struct.pack(f"<{len(words)}I", *words)
        self._engine.mem_map(address, _pages(len(data)) * PAGE, unicorn.UC_PROT_READ)
        self._engine.mem_write(address, data)

    def touch(self, address: int, source: Input) -> bool:
        """Map the page that holds `address`, filled from the input; False where none may come into being."""
        page = address & -PAGE
        if address < NULL_END or len(self._touched) >= MAX_TOUCHED_PAGES or self.is_guard(address):
            return False
        self._engine.mem_map(page, PAGE, _RW)
        self._engine.mem_write(page, source.page(page))
        self._touched.append(page)
        return True

    @property
    def is_full(self) -> bool:
        """Whether the run has used up its memory budget."""
        return len(self._touched) >= MAX_TOUCHED_PAGES

    def is_guard(self, address: int) -> bool:
        """Return whether `address` lies in the guard region just below the stack."""
        return STACK_BASE - 16 * PAGE <= address < STACK_BASE

    def reset(self) -> None:
        """Undo what the last run changed: pages touched, writable sections, stack and KPCR."""
        engine = self._engine
        for page in self._touched:
            engine.mem_unmap(page, PAGE)
        self._touched.clear()
        for section, initial in zip(self._writable, self._initial, strict=True):
            address = self._image.base + section.rva
            if not section.executable or engine.mem_read(address, len(initial)) != initial:
                engine.mem_write(address, initial)
        engine.mem_write(STACK_BASE, bytes(STACK_TOP + STACK_ABOVE - STACK_BASE))
        engine.mem_write(KPCR_ADDRESS, _processor_region())

    def keep(self) -> None:
        """Make the writable sections' present content what later resets go back to."""
        self._initial = [
            bytes(self._engine.mem_read(self._image.base + section.rva, len(section.data)))
            for section in self._writable
        ]


def _pages(size: int) -> int:
    return max(1, (size + PAGE - 1) // PAGE)


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


def _processor_region() -> bytes:
    """Return the KPCR: an empty exception list, the stack's bounds, its own address (NT_TIB, KPCR in ntddk.h)."""
    region = bytearray(PAGE)
    struct.pack_into("<III", region, 0, 0xFFFFFFFF, STACK_TOP, STACK_LIMIT)
    struct.pack_into("<II", region, 0x18, 0, 0)
    struct.pack_into("<I", region, 0x1C, KPCR_ADDRESS)
    struct.pack_into("<I", region, 0x20, KPCR_ADDRESS + 0x120)
    struct.pack_into("<I", region, 0x120 + 4, 0x80553740)
    return bytes(region)
