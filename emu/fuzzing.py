"""A machine that runs one function on many inputs natively: Python sees only runs that need the kernel, and finds."""

from __future__ import annotations

import enum
import math
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import unicorn
from unicorn import x86_const

from stackemu.emu import probe as native
from stackemu.emu.dependencies import argument_slots, asked_slots, listening, memory_slots
from stackemu.emu.engine import Mode, context_pointer, logged_reads, raise_from_hook
from stackemu.emu.execution import Stop
from stackemu.emu.image import Image
from stackemu.emu.inputs import ARENA_BASE, PAGE, Input, Place, pointer
from stackemu.emu.kernel.call import BadAddress
from stackemu.emu.kernel.roots import Root
from stackemu.emu.kernel_host import MAX_ARGUMENT_WORDS
from stackemu.emu.machine import DEFAULT_BUDGET, GENERAL, STACK_WORDS, Arguments, Machine, Prepared
from stackemu.emu.memory import MAX_TOUCHED_PAGES, NULL_END, STACK_BASE, STACK_SIZE, STACK_TOP
from stackemu.emu.observation import Outcome
from stackemu.emu.slots import MAX_SLOT_SIZE, Slot, with_values
from stackemu.emu.symbols.structure import Structure

MAX_BATCH_PAGES = 2 * MAX_TOUCHED_PAGES
"""Pages that may come into being in a batch, since they stay for later executions."""
_MANY_PAGES = 64
"""Pages that stayed, before they are let go: mapping one takes the longer, the more there are."""


class Reason(enum.IntFlag):
    """What an execution showed that none before it did (numbers: guidance.h)."""

    EDGE = 1
    """One block followed another that never did."""
    OWN = 2
    """The own instructions of a function went deeper below its entry."""
    DEPTH = 4
    """A function went deeper, callees included; or the whole run of a root did."""
    PATH = 8
    """New functions stood on the stack at the low-water mark, or the same ones deeper."""
    OUTCOME = 16
    """A run of this function ended in a new way, or at a new place."""


@dataclass(frozen=True, slots=True)
class Find:
    """An input that is worth a canonical run, whose figures count: those here are what the fast path saw."""

    source: Input
    reasons: Reason
    outcome: Outcome
    own: int
    depth: int
    is_exact: bool
    """False: only the canonical run, which is repeated in single-step mode, knows the figures."""
    number: int
    """Which execution of the batch it was."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch came to."""

    executions: int
    """How many ran; fewer than asked for when the deadline passed."""
    native: int
    """How many of them did without Python."""
    finds: tuple[Find, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What executions have shown so far, in a form that other machines of the same image can take over."""

    edges: bytes = b""
    """Pairs of blocks that followed each other; this and the next two as `probe.Executor.known` says."""
    paths: bytes = b""
    outcomes: bytes = b""
    depths: bytes = b""
    """For each function 32-bit words: own, depth, depth of whole runs, the same of runs that were not exact."""


_TO_MEMORY, _TO_REGISTER, _TO_KERNEL = range(3)
"""Where slots lie for the native loop (slots.h)."""
_RETURNED, _TOO_DEEP = range(2)
"""Endings as the native loop numbers them (executor.c); others are hashes."""
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


@dataclass(slots=True)
class _Parent:
    """What all executions of a batch start from."""

    source: Input
    slots: Sequence[Slot]
    esp: int
    context: unicorn.UcContext
    kernel: bytes
    calls: int
    touched: frozenset[int]
    """Pages that came into being before the first execution."""
    number: int = -1
    """The execution that `current` is the input of."""
    current: Input | None = None


class FuzzMachine(Machine):
    """A machine for batches. `call` works as in every machine; both start from `start_from` and `keep`."""

    def __init__(
        self,
        image: Image,
        functions: Sequence[tuple[int, int]],
        pops_at_call: Callable[[int], int],
        structures: Mapping[str, Structure] | None = None,
    ) -> None:
        """Map `image`; the parameters are those of `Machine`."""
        super().__init__(image, functions, pops_at_call, Mode.FUZZED, structures)
        if self._executor is None:
            raise TypeError("a machine without an executor cannot run batches")
        self._native = self._executor

    def learn(
        self, rva: int, source: Input, way: Arguments | Root, *, alignment: int = 0, budget: int = DEFAULT_BUDGET
    ) -> tuple[Slot, ...]:
        """Run a function once, and return the places of the input that the run depends on.

        Registers count that change the run when they hold something else. What is seen counts as known from then on.
        """
        slots, seen = self._watched_run(rva, source, way, alignment, budget, is_judged=True)
        if not seen:
            return ()
        for slot in _register_slots(way):
            others = (with_values(source, [(slot, value)]) for value in (0, pointer(63)))
            runs = (self._watched_run(rva, other, way, alignment, budget, is_judged=False) for other in others)
            if any(other != seen for _, other in runs):
                slots.append(slot)
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
        deadline: float | None = None,
    ) -> Batch:
        """Run a function on inputs that differ from `source` in some of `slots`; finds are those that show more.

        Everything follows from `source`, `slots`, `dictionary`, `seed` and what is known, but for `deadline`
        (of `time.monotonic`), which ends the batch early.
        """
        prepared = self._prepare(rva, source, way, alignment)
        if prepared.failure:
            return Batch(0, 0, ())
        placed = [place for slot in slots if (place := self._place(slot, prepared, source, way)) is not None]
        pointers = self._pointers(prepared)
        self._native.set_slots(
            b"".join(place.packed for place in placed),
            b"".join(place.value.ljust(MAX_SLOT_SIZE, b"\0") for place in placed),
            struct.pack(f"<{len(pointers)}I", *pointers),
            tuple(token[:MAX_SLOT_SIZE] for token in dictionary if token),
        )
        parent = self._begin(prepared, source, [place.slot for place in placed], budget)
        self._native.plan(seed, executions)
        finds = tuple(self._finds(parent, math.inf if deadline is None else deadline))
        return Batch(self._native.number, self._native.native, finds)

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

    # -- executions --

    def _begin(self, prepared: Prepared, source: Input, slots: Sequence[Slot], budget: int) -> _Parent:
        """Let executions start from what is prepared."""
        context = self._engine.context_save()
        parent = _Parent(
            source=source,
            slots=slots,
            esp=prepared.esp,
            context=context,
            kernel=self._kernel.checkpoint(),
            calls=self._host.calls,
            touched=frozenset(self._space.touched),
        )
        self._execution.begin_many(lambda: self._input_of(parent))
        self._native.prepare(
            prepared.entry,
            prepared.esp,
            self._stubs.return_address,
            budget,
            STACK_BASE,
            STACK_TOP + PAGE - STACK_BASE,
            STACK_SIZE,
            context_pointer(context),
        )
        return parent

    def _finds(self, parent: _Parent, deadline: float) -> Iterator[Find]:
        """Run what is planned."""
        try:
            while (event := self._native.run(deadline)) != native.EVENT_FINISHED:
                if event == native.EVENT_CODE_CHANGED:
                    self._forget_code()
                elif event == native.EVENT_FIND:
                    yield self._find(parent, self._returned(parent))
                elif (outcome := self._go_on(parent, event)) is not None:
                    yield self._find(parent, outcome)
        finally:
            if self._native.abandon():
                self._forget_code()

    def _go_on(self, parent: _Parent, event: int) -> Outcome | None:
        """Take over an execution that stopped; returns how it ended if that is a find."""
        raise_from_hook(self._engine)
        try:
            if event == native.EVENT_UNKNOWN_BLOCK:
                self._execution.describe_unknown()
                return None
            self._kernel.go_back(parent.kernel)
            self._host.begin(self._input_of(parent), parent.calls)
            self._host.take_over(self._native.error, parent.esp)
            outcome = self._returned(parent)
            ending = _RETURNED if outcome is Outcome.RETURNED else _TOO_DEEP
        except Stop as stop:
            outcome, ending = stop.outcome, self._ending(stop)
        self._execution.begin_many(lambda: self._input_of(parent))
        count = len(self._space.touched)
        if count >= MAX_BATCH_PAGES:
            self._native.skip()  # it may have been given less memory than a run of its own
        is_find = count < MAX_BATCH_PAGES and self._native.finish(ending)
        if count > len(parent.touched) + _MANY_PAGES:
            self._space.drop(parent.touched)
        return outcome if is_find else None

    def _returned(self, parent: _Parent) -> Outcome:
        """Return the outcome of a run that came back."""
        return Outcome.OVERFLOW if parent.esp - self._probe.low > STACK_SIZE else Outcome.RETURNED

    def _ending(self, stop: Stop) -> int:
        """Return a number that tells endings apart: how a run ended, and where if that is in the driver."""
        place = 0
        if stop.outcome in (Outcome.FAULTED, Outcome.RAISED, Outcome.BUGCHECK):
            eip = self._engine.reg_read(x86_const.UC_X86_REG_EIP)
            is_own = self._image.is_code(eip - self._image.base)
            at = eip if is_own else self._number_at(self._engine.reg_read(x86_const.UC_X86_REG_ESP), 4)
            place = at if self._image.is_code(at - self._image.base) else 0
        return zlib.crc32(f"{stop.outcome.value}/{place}".encode())

    def _find(self, parent: _Parent, outcome: Outcome) -> Find:
        probe = self._probe
        return Find(
            source=self._changed(parent),
            reasons=Reason(self._native.reasons),
            outcome=outcome,
            own=probe.own,
            depth=parent.esp - probe.low,
            is_exact=self._native.exact,
            number=self._native.number - 1,
        )

    def _changed(self, parent: _Parent) -> Input:
        """Return the input of the present execution, or of the last."""
        values = [(parent.slots[index], int.from_bytes(value, "little")) for index, value in self._native.changed()]
        return with_values(parent.source, values)

    def _input_of(self, parent: _Parent) -> Input:
        """Return the input of the execution under way, which may be given memory from now on."""
        if parent.current is None or parent.number != self._native.number:
            parent.number = self._native.number
            parent.current = self._changed(parent)
            left = MAX_BATCH_PAGES - len(self._space.touched)
            self._space.grant(max(0, min(left, MAX_TOUCHED_PAGES - len(parent.touched))))
        return parent.current

    def _forget_code(self) -> None:
        """Forget translations of code that was changed and is back."""
        self._space.forget_code()
        self._probe.forget()

    # -- slots --

    def _watched_run(
        self, rva: int, source: Input, way: Arguments | Root, alignment: int, budget: int, *, is_judged: bool
    ) -> tuple[list[Slot], tuple[object, ...]]:
        """Run a function once; returns slots for what it read, and what tells it from other runs.

        Both are empty where it cannot be run. With `is_judged` what it shows is known from then on.
        """
        asked: list[tuple[Place, int]] = []
        heard = listening(source, lambda place, key: asked.append((place, key)))
        self._native.start_log()
        prepared = self._prepare(rva, heard, way, alignment)
        read_before, asked_before = set(self._native.take_log()), set(asked)
        if prepared.failure:
            return [], ()
        parent = self._begin(prepared, heard, (), budget)
        self._native.set_slots(b"", b"", b"", ())
        self._native.plan(0, 1, is_judged)
        self._native.start_log()
        with logged_reads(self._engine, self._native):
            for _ in self._finds(parent, math.inf):
                pass
        reads = [read for read in self._native.take_log() if read not in read_before]
        types = way.stack if isinstance(way, Arguments) else ()
        words = self._stack_words(prepared, way)
        slots = [
            *(slot for slot in argument_slots(reads, prepared.esp, words.stop, types) if slot.key in words),
            *memory_slots(reads, lambda at, size: self._is_free(source, at, size), self._is_pointer_at),
            *asked_slots(one for one in asked if one not in asked_before),
        ]
        return slots, (self._probe.instructions, self._probe.low, tuple(reads), tuple(asked))

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
        read = self._engine.mem_read
        if slot.place is Place.MEMORY:
            try:
                self._execution.ensure(slot.key, slot.size)
            except BadAddress:
                return None
            return _Placed(slot, _TO_MEMORY, slot.key, bytes(read(slot.key, slot.size)))
        if slot.place is Place.ARGUMENT and slot.key in self._stack_words(prepared, way):
            address = prepared.esp + 4 + 4 * slot.key
            return _Placed(slot, _TO_MEMORY, address, bytes(read(address, 4)))
        if slot.place in (Place.ARGUMENT, Place.REGISTER):
            number = _register_of(slot, prepared, way)
            if number is None:
                return None
            register = GENERAL[number]
            return _Placed(slot, _TO_REGISTER, register, self._engine.reg_read(register).to_bytes(4, "little"))
        asked = {Place.OUTCOME: source.succeeds, Place.FAILURE: source.failure, Place.RESULT: source.result}
        return _Placed(slot, _TO_KERNEL, 0, int(asked[slot.place](slot.key)).to_bytes(4, "little"))

    def _pointers(self, prepared: Prepared) -> list[int]:
        """Return addresses worth trying: null, what arguments point to, other memory, user mode, the stack."""
        arguments = [word for word in prepared.words.stack if word >= NULL_END and self._space.is_mapped(word)]
        pages = [page for page in self._space.touched if page < ARENA_BASE][:_TRIED_PAGES]
        arena = [pointer(index) for index in range(_TRIED_OBJECTS)]
        return list(dict.fromkeys((0, *arguments, *pages, *arena, *_FIXED_POINTERS, prepared.esp)))


_TRIED_PAGES, _TRIED_OBJECTS = 16, 4
_FIXED_POINTERS = (1, 0x00A50000, 0x7FFEFFFC, 0x7FFF0000, 0x80000000, 0xFFFFFFFC)
"""Misaligned, user-mode memory, both sides of its end, kernel memory, and the last word of all."""


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
