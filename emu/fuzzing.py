"""A machine that runs one function on many inputs natively: Python sees only runs that need the kernel, and finds."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from stackemu.emu.batches import Batch, Find, Known, Reason
from stackemu.emu.calls import DEFAULT_BUDGET, GENERAL, STACK_WORDS, Arguments, Prepared
from stackemu.emu.dependencies import argument_slots, asked_slots, listening, memory_slots
from stackemu.emu.engine import logged_reads
from stackemu.emu.executions import ExecutionMachine, Parent
from stackemu.emu.inputs import ARENA_BASE, PAGE, Input, Place, pointer
from stackemu.emu.kernel.call import BadAddress
from stackemu.emu.kernel.roots import Root
from stackemu.emu.kernel_host import MAX_ARGUMENT_WORDS
from stackemu.emu.memory import NULL_END
from stackemu.emu.slots import MAX_SLOT_SIZE, Slot, with_values

__all__ = ["Batch", "Find", "FuzzMachine", "Known", "Reason"]

_ROUND = 128
"""Executions with one way to make arguments, where what the input holds decides that."""
_TO_MEMORY, _TO_REGISTER, _TO_KERNEL = range(3)
"""Where slots lie for the native loop (slots.h)."""
_ECX, _EDX, _EBP = 1, 2, 4
"""Numbers of registers (`Place.REGISTER`)."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A slot where the native loop finds it: an address or Unicorn's number of a register, and its present value."""

    slot: Slot
    destination: int
    where: int
    value: bytes

    @property
    def packed(self) -> bytes:
        return struct.pack("<4I", self.destination, self.where, self.slot.size, self.slot.kind)


class FuzzMachine(ExecutionMachine):
    """A machine for batches. `call` works as in every machine; both start from `start_from` and `keep`."""

    def learn(
        self, rva: int, source: Input, way: Arguments | Root, *, alignment: int = 0, budget: int = DEFAULT_BUDGET
    ) -> tuple[Slot, ...]:
        """Run a function once, and return the places of the input that the run depends on.

        Registers count that change the run when they hold something else. What is seen counts as known from then on.
        """
        slots, seen = self._watched_run(rva, source, way, alignment, budget, is_judged=True)
        if not seen:
            return ()

        def matter(registers: Sequence[Slot]) -> bool:
            others = (with_values(source, [(slot, value) for slot in registers]) for value in (0, pointer(63)))
            runs = (self._watched_run(rva, other, way, alignment, budget, is_judged=False) for other in others)
            return any(other != seen for _, other in runs)

        registers = tuple(_register_slots(way))
        if matter(registers):  # which is rare: so all of them are tried at once first
            slots += [slot for slot in registers if matter([slot])]
        return tuple(slots)

    def batch(
        self,
        rva: int,
        source: Input,
        way: Arguments | Root,
        slots: Sequence[Slot],
        *,
        dictionary: Sequence[bytes] = (),
        alignment: int = 0,
        budget: int = DEFAULT_BUDGET,
        seed: int = 0,
        executions: int = 10_000,
        kernel_calls: int | None = None,
        deadline: float | None = None,
    ) -> Batch:
        """Run a function on inputs that differ from `source` in some of `slots`; finds are those that show more.

        Everything follows from `source`, `slots`, `dictionary`, `seed` and what is known, but for `deadline`
        (of `time.monotonic`), which ends the batch early. So does the emulated kernel's work, when `spent`
        grows by more than `kernel_calls`.
        """
        limit = math.inf if deadline is None else deadline
        patience = math.inf if kernel_calls is None else self.spent + kernel_calls
        shaping = self._shaping(rva, source, way, alignment, slots)
        others = [slot for slot in slots if all(slot != place.slot for place in shaping)]
        size = _ROUND if shaping else max(executions, 1)
        ran, native_runs, finds = 0, 0, list[Find]()
        for turn, first in enumerate(range(0, executions, size)):
            varied = self._varied(source, shaping, dictionary, seed, turn) if turn else source
            prepared = self._prepare(rva, varied, way, alignment)
            if prepared.failure:
                continue
            count = min(size, executions - first)
            parent = self._ready(prepared, varied, way, others, dictionary, budget)
            self._native.plan(seed, first, count)
            finds += self._finds(parent, limit, patience)
            ran += self._native.number - first
            native_runs += self._native.native
            if self._native.number < first + count:
                break
        return Batch(ran, native_runs, tuple(finds))

    @property
    def known(self) -> Known:
        """Return what executions have shown."""
        return Known(*self._native.known())

    def teach(self, known: Known) -> None:
        """Take over what executions of other machines have shown, besides what is known here."""
        self._native.teach(known.edges, known.paths, known.outcomes, known.depths)

    def unlearn(self) -> None:
        """Start with nothing known."""
        self._native.unlearn()

    @contextmanager
    def knowing_nothing(self) -> Iterator[None]:
        """Let batches within begin with nothing known; what was known before counts as well afterwards."""
        known = self.known
        self.unlearn()
        try:
            yield
        finally:
            self.teach(known)

    # -- parents --

    def _shaping(
        self, rva: int, source: Input, way: Arguments | Root, alignment: int, slots: Sequence[Slot]
    ) -> list[_Placed]:
        """Return the slots that decide how the arguments are made: with other values there has to be a new parent."""
        prepared, reads, asked = self._watched_preparation(rva, source, way, alignment)
        if prepared.failure:
            return []
        return [
            _Placed(slot, _TO_KERNEL, 0, value)
            for slot in slots
            if (_is_read(slot, reads) if slot.place is Place.MEMORY else (slot.place, slot.key) in asked)
            and (value := self._present(slot, source)) is not None
        ]

    def _varied(
        self, source: Input, shaping: Sequence[_Placed], dictionary: Sequence[bytes], seed: int, turn: int
    ) -> Input:
        """Return the input with other values in the slots that shape arguments."""
        self._set_slots(shaping, _FIXED_POINTERS, dictionary)
        self._native.draw(~seed % (1 << 64), turn)
        changed = self._native.changed()
        return with_values(source, [(shaping[at].slot, int.from_bytes(value, "little")) for at, value in changed])

    def _present(self, slot: Slot, source: Input) -> bytes | None:
        """Return what a slot in memory or of a kernel call holds, None for memory that is not there."""
        if slot.place is Place.MEMORY:
            return self._native.read(slot.key, slot.size)
        asked = {Place.OUTCOME: source.succeeds, Place.FAILURE: source.failure, Place.RESULT: source.result}
        return int(asked[slot.place](slot.key)).to_bytes(4, "little")

    def _set_slots(self, placed: Sequence[_Placed], pointers: Sequence[int], dictionary: Sequence[bytes]) -> None:
        self._native.set_slots(
            b"".join(place.packed for place in placed),
            b"".join(place.value.ljust(MAX_SLOT_SIZE, b"\0") for place in placed),
            struct.pack(f"<{len(pointers)}I", *pointers),
            tuple(token[:MAX_SLOT_SIZE] for token in dictionary if token),
        )

    def _ready(
        self,
        prepared: Prepared,
        source: Input,
        way: Arguments | Root,
        slots: Iterable[Slot],
        dictionary: Sequence[bytes],
        budget: int,
    ) -> Parent:
        """Let executions start from what is prepared, with `slots` to mutate."""
        placed = [place for slot in slots if (place := self._place(slot, prepared, source, way)) is not None]
        self._set_slots(placed, self._pointers(prepared), dictionary)
        return self._begin(prepared, source, [place.slot for place in placed], budget)

    # -- slots --

    def _watched_run(
        self, rva: int, source: Input, way: Arguments | Root, alignment: int, budget: int, *, is_judged: bool
    ) -> tuple[list[Slot], tuple[object, ...]]:
        """Run a function once; returns slots for what it read, and what tells it from other runs.

        Both are empty where it cannot be run. With `is_judged` what it shows is known from then on.
        """
        prepared, read_before, asked_before = self._watched_preparation(rva, source, way, alignment)
        if prepared.failure:
            return [], ()
        asked: list[tuple[Place, int]] = []
        heard = listening(source, lambda place, key: asked.append((place, key)))
        parent = self._begin(prepared, heard, (), budget)
        self._set_slots((), (), ())
        self._native.plan(0, 0, 1, is_judged)
        self._native.start_log(True)
        with logged_reads(self._engine, self._native):
            for _ in self._finds(parent, math.inf):
                pass
        reads = self._native.take_log()
        types = way.stack if isinstance(way, Arguments) else ()
        words = self._stack_words(prepared, way)
        places = memory_slots(
            [*read_before, *reads], lambda at, size: self._is_free(source, at, size), self._is_pointer_at
        )
        slots = [
            *(slot for slot in argument_slots(reads, prepared.esp, words.stop, types) if slot.key in words),
            *places,
            *asked_slots([*asked_before, *asked]),
        ]
        return slots, (self._probe.instructions, self._probe.low, tuple(reads), tuple(asked))

    def _watched_preparation(
        self, rva: int, source: Input, way: Arguments | Root, alignment: int
    ) -> tuple[Prepared, list[tuple[int, int]], list[tuple[Place, int]]]:
        """Prepare a run; returns what memory was read for that, and what was asked about kernel calls."""
        asked: list[tuple[Place, int]] = []
        heard = listening(source, lambda place, key: asked.append((place, key)))
        self._native.start_log(False)
        prepared = self._prepare(rva, heard, way, alignment)
        return prepared, self._native.take_log(), asked

    def _is_free(self, source: Input, address: int, size: int) -> bool:
        """Return whether the input decides what memory holds: no image, no pointers that the kernel put there."""
        page = address & -PAGE
        if page not in self._space.touched:
            return False
        original = source.page(page)
        for word in range(address & -4, address + size, 4):
            present = bytes(self._engine.mem_read(word, 4))
            if present != original[word - page : word - page + 4] and self._is_pointer_at(word):
                return False
        return True

    def _is_pointer_at(self, address: int) -> bool:
        value = int.from_bytes(self._engine.mem_read(address, 4), "little")
        return value >= NULL_END and self._space.is_mapped(value)

    @staticmethod
    def _stack_words(prepared: Prepared, way: Arguments | Root) -> range:
        """Return which words of arguments on the stack are the input's own: those that no role decides."""
        decided = len(prepared.words.stack)
        return range(0 if isinstance(way, Arguments) else decided, max(decided, STACK_WORDS))

    def _place(self, slot: Slot, prepared: Prepared, source: Input, way: Arguments | Root) -> _Placed | None:
        """Return where a slot lies; None for one that makes no difference here."""
        if slot.place is Place.MEMORY:
            try:
                self._execution.ensure(slot.key, slot.size)
            except BadAddress:
                return None
            destination, where = _TO_MEMORY, slot.key
        elif slot.place is Place.ARGUMENT and slot.key in self._stack_words(prepared, way):
            destination, where = _TO_MEMORY, prepared.esp + 4 + 4 * slot.key
        elif slot.place in (Place.ARGUMENT, Place.REGISTER):
            number = _register_of(slot, prepared, way)
            if number is None:
                return None
            register = GENERAL[number]
            return _Placed(slot, _TO_REGISTER, register, self._engine.reg_read(register).to_bytes(4, "little"))
        else:
            return _Placed(slot, _TO_KERNEL, 0, self._present(slot, source) or b"")
        return _Placed(slot, destination, where, self._native.read(where, slot.size) or b"")

    def _pointers(self, prepared: Prepared) -> list[int]:
        """Return addresses worth trying: null, what arguments point to, other memory, user mode, the stack."""
        arguments = [word for word in prepared.words.stack if word >= NULL_END and self._space.is_mapped(word)]
        pages = [page for page in self._space.touched if page < ARENA_BASE][:_TRIED_PAGES]
        arena = [pointer(index) for index in range(_TRIED_OBJECTS)]
        return list(dict.fromkeys((0, *arguments, *pages, *arena, *_FIXED_POINTERS, prepared.esp)))


_TRIED_PAGES, _TRIED_OBJECTS = 16, 4
_FIXED_POINTERS = (1, 0x00A50000, 0x7FFEFFFC, 0x7FFF0000, 0x80000000, 0xFFFFFFFC)
"""Misaligned, user-mode memory, both sides of its end, kernel memory, and the last word of all."""


def _is_read(slot: Slot, reads: Iterable[tuple[int, int]]) -> bool:
    return any(slot.key < address + size and address < slot.key + slot.size for address, size in reads)


def _register_slots(way: Arguments | Root) -> Iterable[Slot]:
    """Return slots for registers that may matter at a function's entry."""
    if isinstance(way, Arguments):
        yield from (Slot(Place.ARGUMENT, MAX_ARGUMENT_WORDS + index) for index in range(2))
        yield from (Slot(Place.REGISTER, number) for number in (0, 3, 5, 6))
    else:
        yield from (Slot(Place.REGISTER, number) for number in (0, 1, 2, 3, 5, 6))


def _register_of(slot: Slot, prepared: Prepared, way: Arguments | Root) -> int | None:
    """Return the number of the register that a slot is at the entry, None where something else decides it."""
    decided = {_ECX: prepared.words.ecx, _EDX: prepared.words.edx}
    if slot.place is Place.REGISTER:
        is_decided = slot.key == _EBP or decided.get(slot.key) is not None
        return slot.key if 0 <= slot.key < len(GENERAL) and not is_decided else None
    index = slot.key - MAX_ARGUMENT_WORDS
    return (_ECX, _EDX)[index] if isinstance(way, Arguments) and index in (0, 1) else None
