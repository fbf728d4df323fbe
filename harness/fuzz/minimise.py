"""Smaller inputs for the same run: fewer calls before it, a plainer base, fewer places changed, smaller values."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from stackemu.emu.calls import Arguments
from stackemu.emu.fuzzing import FuzzMachine
from stackemu.emu.inputs import PAGE, Input, Override, Place, Style
from stackemu.emu.kernel.roots import Root
from stackemu.emu.kernel_host import MAX_ARGUMENT_WORDS
from stackemu.emu.slots import Slot, with_values
from stackemu.harness.contexts import Context
from stackemu.harness.witness import input_size

T = TypeVar("T")

MAX_WRITTEN_OUT = 256
"""Places that a run may depend on for all of them to be written out."""
_BASES = (
    Input(0, Style.ZEROS, succeed=True),
    Input(0, Style.ZEROS, succeed=None),
    Input(0, Style.ZEROS, succeed=False),
    Input(0, Style.POINTERS, succeed=True),
    Input(0, Style.SMALL, succeed=True),
)
"""Where most of memory is the same, the plainest first."""
_SMALL_SEEDS = 8
_MASKS = (0xFF, 0xFFFF)


class _TriesUsedUpError(Exception):
    """No more runs may be tried."""


class Minimiser:
    """Looks for the smallest context for which a predicate holds."""

    def __init__(
        self,
        context: Context,
        holds: Callable[[Context], bool],
        present: Callable[[Context], Input | None],
        attempts: int,
    ) -> None:
        """Start from `context`, for which `holds` is true; see `minimised`."""
        self.best = context
        self._holds = holds
        self._present = present
        self._left = attempts
        self._tried: set[Context] = set()

    def run(self) -> Context:
        """Return the smallest context that was found."""
        try:
            self._drop_steps()
            self._try(replace(self.best, alignment=0))
            self._change_base()
            self._drop_overrides()
            self._narrow()
            self._drop_overrides()
        except _TriesUsedUpError:
            pass
        return self.best

    def _try(self, context: Context) -> bool:
        """Let a context be the best one if it is no larger and shows the same; returns whether it is."""
        if context == self.best or context in self._tried or _size(context) > _size(self.best):
            return False
        return self._take(context)

    def _take(self, context: Context) -> bool:
        if self._left <= 0:
            raise _TriesUsedUpError
        self._left -= 1
        self._tried.add(context)
        if not self._holds(context):
            return False
        self.best = context
        return True

    def _drop_steps(self) -> None:
        kept = reduced(self.best.before, lambda steps: self._try(replace(self.best, before=tuple(steps))))
        self._try(replace(self.best, before=tuple(kept)))

    def _change_base(self) -> None:
        """Draw what the run does not depend on from a plainer input."""
        source = self.best.source
        plain = [replace(base, overrides=source.overrides) for base in _BASES]
        plainer = itertools.takewhile(source.__ne__, plain)
        if source in plain[:1] or any(self._try(replace(self.best, source=one)) for one in plainer):
            return
        self._write_out()
        source = self.best.source
        for seed in range(min(_SMALL_SEEDS, source.seed)):
            if self._try(replace(self.best, source=replace(source, seed=seed))):
                return

    def _write_out(self) -> None:
        """Start from zeros, with everything that the run depends on as a value of its own, as far as that is less."""
        before, written = self.best, self._present(self.best)
        # Larger at first: it has to be reduced before it counts.
        try:
            if written is not None and self._take(replace(before, source=written)):
                self._drop_overrides()
        finally:  # also where the tries are used up half-way
            if _size(self.best) > _size(before):
                self.best = before

    def _drop_overrides(self) -> None:
        source = self.best.source

        def try_(overrides: Sequence[Override]) -> bool:
            return self._try(replace(self.best, source=replace(source, overrides=tuple(overrides))))

        reduced(source.overrides, try_)

    def _narrow(self) -> None:
        """Give each place that is left the plainest value that does."""
        for index in range(len(self.best.source.overrides)):
            while any(self._try(self._with(index, one)) for one in _narrower(self.best.source.overrides[index])):
                pass

    def _with(self, index: int, override: Override) -> Context:
        source = self.best.source
        overrides = (*source.overrides[:index], override, *source.overrides[index + 1 :])
        return replace(self.best, source=replace(source, overrides=overrides))


def minimised(
    context: Context,
    holds: Callable[[Context], bool],
    present: Callable[[Context], Input | None],
    *,
    attempts: int = 2000,
) -> Context:
    """Return the smallest context found for which `holds`, as it does for `context` itself.

    `present` returns the input of the same run with all that the run depends on written out, None where that is not
    known. `holds` is asked `attempts` times at most. Everything follows from what the two return.
    """
    return Minimiser(context, holds, present, attempts).run()


def reduced(items: Sequence[T], holds: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """Return the items that are left when no part of them can go any more, by halves at first, then smaller parts.

    Zeller and Hildebrandt: "Simplifying and Isolating Failure-Inducing Input" (ddmin), without its first half: parts
    are only taken away.
    """
    if items and holds(()):
        return ()
    kept, parts = items, 2
    while len(kept) >= 2:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            rest = (*kept[:start], *kept[start + size :])
            if holds(rest):
                kept, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(2 * parts, len(kept))
    return kept


def written_out(
    machine: FuzzMachine, rva: int, source: Input, way: Arguments | Root, *, alignment: int, budget: int
) -> Input | None:
    """Return an input of zeros that has everything a run depends on as a value of its own.

    None where the run depends on more than MAX_WRITTEN_OUT places. Whether it is the same run has to be tried: what
    it is learned from is one run, and zeros may lead elsewhere. The values that `source` names itself come last, as
    they are: they may lie where no page of the input does, such as on the stack.
    """
    slots = machine.learn(rva, source, way, alignment=alignment, budget=budget)
    if len(slots) > MAX_WRITTEN_OUT:
        return None
    plain = Input(0, Style.ZEROS, succeed=True)
    values = [(slot, value) for slot in slots if (value := _value(source, slot, way)) is not None]
    return functools.reduce(Input.with_override, source.overrides, with_values(plain, values))


def _value(source: Input, slot: Slot, way: Arguments | Root) -> int | None:
    """Return what a place of an input holds; None for what nobody but the machine knows."""
    match slot.place:
        case Place.MEMORY:
            pages = range(slot.key & -PAGE, slot.key + slot.size, PAGE)
            data = b"".join(source.page(page) for page in pages)
            at = slot.key - pages[0]
            return int.from_bytes(data[at : at + slot.size], "little")
        case Place.ARGUMENT:
            kind = _type_of(slot.key, way)
            # What a typed pointer points to is made by the machine, at an address that no input decides.
            return None if isinstance(kind, str) else source.argument(slot.key, kind)
        case Place.REGISTER:
            return source.register(slot.key)
        case Place.OUTCOME:
            return int(source.succeeds(slot.key))
        case Place.FAILURE:
            return source.failure(slot.key)
        case Place.RESULT:
            return source.result(slot.key)


def _type_of(index: int, way: Arguments | Root) -> bool | str | None:
    """Return what is known of the type of an argument, as in `Arguments`."""
    if isinstance(way, Root):
        return None
    registers = {MAX_ARGUMENT_WORDS: way.ecx, MAX_ARGUMENT_WORDS + 1: way.edx}
    return way.stack[index] if index < len(way.stack) else registers.get(index)


def _narrower(override: Override) -> Iterator[Override]:
    """Yield plainer values for a place: none at all, then fewer bytes of memory or fewer bits of a number."""
    for value in (0, 1):
        if override.value > value:
            yield replace(override, value=value)
    if override.place is Place.MEMORY:
        yield from _shorter(override)
    else:
        yield from (replace(override, value=override.value & mask) for mask in _MASKS if override.value > mask)


def _shorter(override: Override) -> Iterator[Override]:
    """Yield a piece of memory without its end or without its beginning, at first without half of it."""
    cut = override.size // 2
    while cut:
        size = override.size - cut
        yield replace(override, value=override.value & ((1 << 8 * size) - 1), size=size)
        yield replace(override, key=override.key + cut, value=override.value >> 8 * cut, size=size)
        cut //= 2


def _size(context: Context) -> tuple[int, int, int]:
    """Return what the smallest context has the least of: calls before it, bytes, places changed."""
    return len(context.before), input_size(context), len(context.source.overrides)
