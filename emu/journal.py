"""Kernel calls of a recorded run written down: what each wrote to memory and drew from the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from stackemu.emu.code.origin_tracer import KernelEvent
from stackemu.emu.inputs import Input
from stackemu.emu.kernel.call import MAX_COPY, ApiCall

_COPIES = frozenset({"memcpy", "memmove", "RtlCopyMemory", "RtlMoveMemory"})
_TELLING = 0x100
MAX_FOLLOWED_COPY = 0x1000
"""Copies by kernel functions are followed word by word up to this many bytes."""


@dataclass(slots=True)
class _Entry:
    moment: int
    call: ApiCall
    writes: list[tuple[int, bytes]] = field(default_factory=list)
    draws: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class _WatchedInput(Input):
    """An input that says what was drawn from it."""

    on_draw: Callable[[int, int], None] = field(default=lambda _key, _value: None, compare=False)

    def result(self, call: int) -> int:
        value = super().result(call)
        self.on_draw(call, value)
        return value


class Journal:
    """The kernel calls of one run, in order."""

    def __init__(self, now: Callable[[], int]) -> None:
        """`now` returns how many instructions ran so far."""
        self._now = now
        self._entries: list[_Entry] = []
        self._open: list[_Entry] = []
        self._prepared: list[tuple[int, int]] = []

    def prepare(self, source: Input) -> Input:
        """Return the input that arguments are to be prepared from: what is drawn for them counts for every call."""
        return _watched(source, self._prepared)

    def begin(self, call: ApiCall) -> Input:
        """Start the entry of a call; returns the input that it is to draw from."""
        entry = _Entry(self._now(), call)
        self._entries.append(entry)
        self._open.append(entry)
        return _watched(call.source, entry.draws)

    def end(self) -> None:
        """Close the entry of the innermost call under way: what it answers is there from now on."""
        if self._open:
            self._open.pop().moment = self._now()

    def wrote(self, address: int, data: bytes) -> None:
        """Take note of what the call under way wrote."""
        if self._open:
            self._open[-1].writes.append((address, data))

    def events(self) -> list[KernelEvent]:
        """Return the calls in the order of their ends: callbacks run inside the call that makes them."""
        # Small numbers of the preparation would be taken for others that happen to be equal.
        prepared = [(key, value) for key, value in self._prepared if value >= _TELLING]
        return [
            KernelEvent(
                moment=entry.moment,
                ordinal=entry.call.ordinal,
                name=entry.call.name,
                writes=tuple(entry.writes),
                draws=(*prepared, *entry.draws),
                copy=_copy_of(entry.call),
            )
            for entry in sorted(self._entries, key=lambda one: one.moment)
        ]


def _watched(source: Input, draws: list[tuple[int, int]]) -> Input:
    return _WatchedInput(
        source.seed,
        source.style,
        source.succeed,
        source.overrides,
        on_draw=lambda key, value: draws.append((key, value)),
    )


def _copy_of(call: ApiCall) -> tuple[int, int, int] | None:
    if call.name not in _COPIES:
        return None
    destination, source, size = call.stack_words[:3]
    return destination, source, min(size, MAX_COPY, MAX_FOLLOWED_COPY)
