"""Kernel calls of a recorded run written down: what each wrote to memory and drew from the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from stackemu.emu.code.origins import KernelEvent
from stackemu.emu.inputs import Input
from stackemu.emu.kernel.call import MAX_COPY, ApiCall

_COPIES = frozenset({"memcpy", "memmove", "RtlCopyMemory", "RtlMoveMemory"})
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

    def begin(self, call: ApiCall) -> Input:
        """Start the entry of a call; returns the input that it is to draw from."""
        entry = _Entry(self._now(), call)
        self._entries.append(entry)
        source = call.source
        return _WatchedInput(
            source.seed,
            source.style,
            source.succeed,
            source.overrides,
            on_draw=lambda key, value: entry.draws.append((key, value)),
        )

    def wrote(self, address: int, data: bytes) -> None:
        """Take note of what the call under way wrote."""
        if self._entries:
            self._entries[-1].writes.append((address, data))

    def events(self) -> list[KernelEvent]:
        """Return the calls."""
        return [
            KernelEvent(
                moment=entry.moment,
                ordinal=entry.call.ordinal,
                name=entry.call.name,
                writes=tuple(entry.writes),
                draws=tuple(entry.draws),
                copy=_copy_of(entry.call),
            )
            for entry in self._entries
        ]


def _copy_of(call: ApiCall) -> tuple[int, int, int] | None:
    if call.name not in _COPIES:
        return None
    destination, source, size = call.stack_words[:3]
    return destination, source, min(size, MAX_COPY, MAX_FOLLOWED_COPY)
