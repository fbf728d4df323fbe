"""What a run depends on: slots for the memory that it read first, and for what it asked of the input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from stackemu.emu.inputs import PAGE, Input, Place
from stackemu.emu.kernel_host import MAX_ARGUMENT_WORDS
from stackemu.emu.slots import MAX_SLOT_SIZE, Kind, Slot

MAX_SLOTS = 512
"""Slots of memory that are kept of one run."""
MAX_BYTES = 0x4000
"""Bytes of memory that a run may depend on."""
_TEXT_UNITS = 3
"""So many bytes or 16-bit words read side by side are text, or a buffer."""
_COPIED_WORDS = 8
"""So many 32-bit words side by side are a buffer."""


@dataclass(frozen=True)
class ListeningInput(Input):
    """An input that says what was asked of it about calls of kernel functions."""

    on_ask: Callable[[Place, int], None] = field(default=lambda _place, _key: None, compare=False)

    def succeeds(self, call: int) -> bool:
        """Return whether the API call succeeds."""
        self.on_ask(Place.OUTCOME, call)
        return super().succeeds(call)

    def failure(self, call: int) -> int:
        """Return an NTSTATUS for the API call when it fails."""
        self.on_ask(Place.FAILURE, call)
        return super().failure(call)

    def result(self, call: int) -> int:
        """Return a number that an API call answers with."""
        self.on_ask(Place.RESULT, call)
        return super().result(call)


def listening(source: Input, on_ask: Callable[[Place, int], None]) -> ListeningInput:
    """Return the same input, which calls `on_ask` with place and key of what it is asked."""
    return ListeningInput(source.seed, source.style, source.succeed, source.overrides, on_ask=on_ask)


_ASKED_KINDS = {Place.OUTCOME: Kind.OUTCOME, Place.FAILURE: Kind.STATUS, Place.RESULT: Kind.BYTES}


def asked_slots(asked: Iterable[tuple[Place, int]]) -> list[Slot]:
    """Return slots for what was asked about calls of kernel functions."""
    return [Slot(place, key, 4, _ASKED_KINDS[place]) for place, key in dict.fromkeys(asked)]


def argument_slots(
    reads: Iterable[tuple[int, int]], esp: int, words: int, types: tuple[bool | str | None, ...]
) -> list[Slot]:
    """Return slots for arguments on the stack that were read; `esp` points at the return address, below `words`.

    `types` are those of `calls.Arguments`.
    """
    first = esp + 4
    read = {
        (place - first) // 4
        for address, size in reads
        for place in range(address, address + min(size, MAX_BYTES))
        if first <= place < first + 4 * min(words, MAX_ARGUMENT_WORDS)
    }
    return [Slot(Place.ARGUMENT, index, 4, _type_kind(types, index)) for index in sorted(read)]


def _type_kind(types: tuple[bool | str | None, ...], index: int) -> Kind:
    kind = types[index] if index < len(types) else None
    if isinstance(kind, str):
        return Kind.POINTER
    return Kind.LENGTH if kind is False else Kind.BYTES


def memory_slots(
    reads: Iterable[tuple[int, int]],
    is_free: Callable[[int, int], bool],
    is_pointer: Callable[[int], bool],
) -> list[Slot]:
    """Return slots for memory that was read, in the order of its first use, none overlapping another.

    `is_free` says whether the input decides what (address, size) holds; `is_pointer` whether the word at an
    address is one. Bytes and words side by side, as of text, make one slot.
    """
    pieces = list(_pieces(reads, is_free))
    order = {piece: index for index, piece in enumerate(pieces)}
    slots = []
    for group in _groups(sorted(pieces)):
        start, size = group[0][0], sum(size for _, size in group)
        first = min(order[piece] for piece in group)
        kind = Kind.POINTER if size == 4 and is_pointer(start) else Kind.BYTES
        slots.append((first, Slot(Place.MEMORY, start, size, kind)))
    return [slot for _, slot in sorted(slots, key=lambda one: one[0])][:MAX_SLOTS]


def _pieces(reads: Iterable[tuple[int, int]], is_free: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
    """Yield (address, size) of what was read, cut at pages and without what came before."""
    taken: set[int] = set()
    for address, size in reads:
        end = min(address + size, 1 << 32)
        at = address
        while at < end and len(taken) < MAX_BYTES:
            stop = min(end, at + MAX_SLOT_SIZE, (at | (PAGE - 1)) + 1)
            fresh = [place for place in range(at, stop) if place not in taken]
            taken.update(fresh)
            if len(fresh) == stop - at and is_free(at, stop - at):
                yield at, stop - at
            else:
                yield from ((place, 1) for place in fresh if is_free(place, 1))
            at = stop


def _groups(pieces: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield pieces in ascending order, those together that make one slot."""
    run: list[tuple[int, int]] = []
    for piece in pieces:
        address, size = piece
        if run and (size != run[-1][1] or address != run[-1][0] + run[-1][1] or address % PAGE == 0):
            yield from _cut(run)
            run = []
        run.append(piece)
    if run:
        yield from _cut(run)


def _cut(run: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield the pieces of a run, all of one size, one by one or in slots as large as may be."""
    size = run[0][1]
    is_buffer = len(run) >= (_TEXT_UNITS if size <= 2 else _COPIED_WORDS) and size <= 4
    step = MAX_SLOT_SIZE // size if is_buffer else 1
    for at in range(0, len(run), step):
        yield run[at : at + step]
