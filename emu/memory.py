"""The emulated address space: its layout, pages that come into being when touched, snapshot and reset."""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import unicorn

from stackemu.emu.engine import EngineMemory
from stackemu.emu.image import Image
from stackemu.emu.inputs import PAGE, Input

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Mapping, Sequence

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

EXPANSION_BASE = 0xF8900000
EXPANSION_SIZE = 0x10000
"""The stack that KeExpandKernelStackAndCallout runs its callout on; below the thread's own, as the probe needs."""

KMDF_TABLE = 0x80700000
"""The framework's function table, for drivers that call through a pointer to it."""
STUB_BASE = 0x80500000
STUB_SIZE = 16
"""Bytes between stubs; each begins with `hlt`, which hands control to Python."""

NULL_END = 0x10000
"""Addresses below are never mapped: touching them is a null-pointer fault."""

MAX_TOUCHED_PAGES = 192
"""Memory budget of one run, in pages."""

_R, _W, _X = unicorn.UC_PROT_READ, unicorn.UC_PROT_WRITE, unicorn.UC_PROT_EXEC
_RW, _RX = _R | _W, _R | _X
_HLT = b"\xf4"


@dataclass(frozen=True, slots=True)
class MemorySnapshot:
    """Pages that came into being, by address, and the image's writable pages."""

    pages: Mapping[int, bytes]
    image: Sequence[bytes]


class AddressSpace:
    """Maps the image, the stack and the stubs; resets what a run has changed."""

    def __init__(self, engine: unicorn.Uc, memory: EngineMemory, image: Image, stubs: int) -> None:
        """Map everything that exists before a run; `stubs` is how many stubs to make room for."""
        self._engine = engine
        self._memory = memory
        self._most_touched = MAX_TOUCHED_PAGES
        self._touched: dict[int, None] = {}
        self._kept: dict[int, bytes] = {}
        """Pages that came into being before the last `keep`, with their content."""
        self._writable: list[tuple[int, int, bool]] = []
        """(address, size, holds code) of the image's pages, and of the kernel's data, that runs may change."""
        self._fixed: set[int] = set()
        """Pages that nobody may change, so that resets leave them alone."""
        self._map_image(image)
        self._initial: list[bytes] = []
        self.keep()
        memory.map(STACK_BASE, STACK_TOP + STACK_ABOVE - STACK_BASE, _RW)
        memory.map(EXPANSION_BASE, EXPANSION_SIZE + PAGE, _RW)
        self.is_expanded = False
        """Whether the present run has used the expansion stack."""
        size = _pages(stubs * STUB_SIZE) * PAGE
        memory.map(STUB_BASE, size, _RX, holds_code=True)
        self._fixed.update(range(STUB_BASE, STUB_BASE + size, PAGE))
        engine.mem_write(STUB_BASE, _HLT * size)

    def _map_image(self, image: Image) -> None:
        """Map the image with its sections' protections, page by page: small alignments share pages."""
        engine = self._engine
        protections = [_R] * _pages(image.size)
        for section in image.sections:
            wanted = _R | (_W if section.writable else 0) | (_X if section.executable else 0)
            for page in range(section.rva // PAGE, _pages(section.end)):
                protections[page] |= wanted
        page = 0
        for protection, run in itertools.groupby(protections):
            count = len(list(run))
            address = image.base + page * PAGE
            self._memory.map(address, count * PAGE, protection, holds_code=bool(protection & _X))
            if protection & _W:
                self._writable.append((address, count * PAGE, bool(protection & _X)))
            else:
                self._fixed.update(range(address, address + count * PAGE, PAGE))
            page += count
        engine.mem_write(image.base, image.headers)
        for section in image.sections:
            if section.data:
                engine.mem_write(image.base + section.rva, section.data)

    def bind(self, pointers: Iterable[tuple[int, int]]) -> None:
        """Write `(address, word)` pairs as the loader does, in the initial state too, so that resets keep them."""
        for address, word in pointers:
            self._engine.mem_write(address, struct.pack("<I", word))
        self.keep()

    def map_data(self, address: int, data: bytes, *, is_writable: bool) -> None:
        """Map data of the kernel at a page's start; resets bring it back even where only the kernel may write.

        Call `bind` afterwards, which makes it part of the initial state.
        """
        size = _pages(len(data)) * PAGE
        if not self.is_mapped(address):
            self._memory.map(address, size, _RW if is_writable else _R)
        self._engine.mem_write(address, data)
        self._writable.append((address, size, False))

    def map_table(self, address: int, words: Sequence[int]) -> None:
        """Map a read-only table of words at a page's start."""
        data = struct.pack(f"<{len(words)}I", *words)
        self._memory.map(address, _pages(len(data)) * PAGE, unicorn.UC_PROT_READ)
        self._fixed.update(range(address, address + len(data), PAGE))
        self._engine.mem_write(address, data)

    def touch(self, address: int, source: Input) -> bool:
        """Map the page that holds `address`, filled from the input; False where none may come into being."""
        page = address & -PAGE
        if address < NULL_END or self.is_full or self.is_guard(address):
            return False
        self._touched[page] = None  # first, so that a reset after a signal in between finds it
        self._memory.map(page, PAGE, _RW)
        self._memory.fill(page, source.page(page))
        return True

    def read(self, address: int, size: int) -> bytes:
        """Return what is mapped at `address`, for code of the emulated kernel."""
        return self._memory.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Change what is mapped at `address`, as code of the emulated kernel does."""
        self._memory.write(address, data)

    def is_mapped(self, address: int) -> bool:
        """Return whether there is memory at `address`."""
        return self._memory.is_mapped(address)

    def is_fixed(self, address: int, size: int) -> bool:
        """Return whether a range touches what nobody may write: the image's constants and the emulated kernel's."""
        return not self._fixed.isdisjoint(range(address & -PAGE, address + size, PAGE))

    @property
    def touched(self) -> Collection[int]:
        """The pages that came into being in this run, by address."""
        return self._touched

    @property
    def is_full(self) -> bool:
        """Whether the run has used up its memory budget."""
        return len(self._touched) >= self._most_touched

    def grant(self, pages: int) -> None:
        """Let up to `pages` more pages come into being until the next reset."""
        self._most_touched = len(self._touched) + pages

    def drop(self, kept: Container[int]) -> None:
        """Let pages that came into being go again, but for those in `kept`."""
        for page in [page for page in self._touched if page not in kept]:
            self._memory.unmap(page, PAGE)
            del self._touched[page]

    def is_guard(self, address: int) -> bool:
        """Return whether `address` lies in the guard region just below the stack."""
        return STACK_BASE - 16 * PAGE <= address < STACK_BASE

    def reset(self) -> bool:
        """Undo what the last run changed: pages touched, the image's writable pages, the stack.

        Returns whether code was changed, so that nothing remembered of it may be trusted.
        """
        engine = self._engine
        for page in self._touched:
            if self._memory.is_mapped(page):
                self._memory.unmap(page, PAGE)
        self._touched.clear()
        self._most_touched = MAX_TOUCHED_PAGES
        for page, content in self._kept.items():
            engine.mem_write(page, content)
        code_changed = False
        for (address, size, has_code), initial in zip(self._writable, self._initial, strict=True):
            if has_code:
                if engine.mem_read(address, size) == initial:
                    continue
                code_changed = True
                engine.ctl_remove_cache(address, address + size)
            engine.mem_write(address, initial)
        engine.mem_write(STACK_BASE, bytes(STACK_TOP + STACK_ABOVE - STACK_BASE))
        if self.is_expanded:
            engine.mem_write(EXPANSION_BASE, bytes(EXPANSION_SIZE))
            self.is_expanded = False
        return code_changed

    def forget_code(self) -> None:
        """Let the engine forget its translations of code that runs may change."""
        for address, size, has_code in self._writable:
            if has_code:
                self._engine.ctl_remove_cache(address, address + size)

    @property
    def snapshot(self) -> MemorySnapshot:
        """Return what `reset` goes back to."""
        return MemorySnapshot(dict(self._kept), list(self._initial))

    def start_from(self, snapshot: MemorySnapshot) -> None:
        """Let `reset` go back to a snapshot of a space with the same image.

        Only pages that are in one and not in the other are mapped anew; contents change with the next `reset`.
        """
        for page in (*self._touched, *(self._kept.keys() - snapshot.pages.keys())):
            if self._memory.is_mapped(page):
                self._memory.unmap(page, PAGE)
        self._touched.clear()
        for page in snapshot.pages.keys() - self._kept.keys():
            self._memory.map(page, PAGE, _RW)
        self._kept = dict(snapshot.pages)
        self._initial = list(snapshot.image)

    @property
    def code_changed(self) -> bool:
        """Whether pages that hold code differ from what they were at the last reset."""
        return any(
            has_code and self._engine.mem_read(address, size) != initial
            for (address, size, has_code), initial in zip(self._writable, self._initial, strict=True)
        )

    def keep(self) -> None:
        """Make the present content of the image's writable pages and of touched ones what resets go back to.

        What has not changed stays the same object, so that snapshots share it.
        """
        for page in (*self._kept, *self._touched):
            content = bytes(self._engine.mem_read(page, PAGE))
            if content != self._kept.get(page):
                self._kept[page] = content
        self._touched.clear()
        content_now = (bytes(self._engine.mem_read(address, size)) for address, size, _ in self._writable)
        self._initial = [
            before if before == content else content
            for before, content in itertools.zip_longest(self._initial, content_now)
        ]


def _pages(size: int) -> int:
    return max(1, (size + PAGE - 1) // PAGE)
