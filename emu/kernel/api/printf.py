"""The printf functions of the kernel's C runtime: where the text goes and how each says that there is no room.

Rules of the pages of sprintf, _snprintf, _snprintf_s, sprintf_s and their like in the Microsoft C runtime reference.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stackemu.emu.kernel.api.characters import from_units
from stackemu.emu.kernel.api.formatting import Formatter, list_arguments, stack_arguments
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall

TRUNCATE = 0xFFFFFFFF
"""_TRUNCATE: as much as fits."""
_FAILED = 0xFFFFFFFF


class Room(enum.Enum):
    """How a function is told the room it has."""

    ENDLESS = enum.auto()
    COUNT = enum.auto()
    """Characters that are written at most; no terminator when there is no room for one (_snprintf)."""
    SIZE = enum.auto()
    """Characters of the buffer; text that does not fit is an error (sprintf_s)."""
    SIZE_AND_COUNT = enum.auto()
    """Characters of the buffer, and those of text to write at most (_snprintf_s)."""


_WORDS = {Room.ENDLESS: 0, Room.COUNT: 1, Room.SIZE: 1, Room.SIZE_AND_COUNT: 2}


@dataclass(frozen=True, slots=True)
class _Function:
    """One function of the family."""

    is_wide: bool
    room: Room
    takes_list: bool

    def __call__(self, call: ApiCall) -> None:
        """Format into the caller's buffer."""
        words = _WORDS[self.room]
        text = format_text(call, call.stack_words[1 + words], self.arguments(call, 2 + words), is_wide=self.is_wide)
        buffer, *sizes = call.stack_words[: 1 + words]
        call.eax = _PLACE[self.room](_Target(call, buffer, self.is_wide), text, *sizes)

    def arguments(self, call: ApiCall, first: int) -> Iterator[int]:
        """Yield what the directives ask for: the rest of the stack, or what a `va_list` points to."""
        return list_arguments(call, call.stack_words[first]) if self.takes_list else stack_arguments(call, first)


def format_text(call: ApiCall, template: int, arguments: Iterator[int], *, is_wide: bool) -> list[int]:
    """Return the characters of a template in memory formatted; conversions above PASSIVE_LEVEL are noted."""
    data = call.terminated(template, 2 if is_wide else 1)
    formatter = Formatter(call, arguments, is_wide)
    text = formatter.format(memoryview(data).cast("H").tolist() if is_wide else data)
    if formatter.used_unicode:
        limit_irql(call, PASSIVE_LEVEL, "Unicode is formatted")
    return text


@dataclass(frozen=True, slots=True)
class _Target:
    call: ApiCall
    buffer: int
    is_wide: bool

    def put(self, text: Sequence[int], *, ends: bool) -> None:
        """Write characters, and a terminator behind them."""
        text = [*text, 0] if ends else text
        if text:
            self.call.write(self.buffer, from_units(text) if self.is_wide else bytes(text))


def _put_endless(target: _Target, text: Sequence[int]) -> int:
    target.put(text, ends=True)
    return len(text)


def _put_counted(target: _Target, text: Sequence[int], count: int) -> int:
    if target.buffer or count:
        target.put(text[:count], ends=len(text) < count)
    return len(text) if len(text) <= count or not target.buffer else _FAILED


def _put_sized(target: _Target, text: Sequence[int], size: int) -> int:
    if not target.buffer or not size:
        return _FAILED
    fits = len(text) < size
    target.put(text if fits else (), ends=True)
    return len(text) if fits else _FAILED


def _put_sized_and_counted(target: _Target, text: Sequence[int], size: int, count: int) -> int:
    if not target.buffer or not size:
        return _FAILED
    cut = text[: size - 1 if count == TRUNCATE else count]
    if len(cut) >= size:
        target.put((), ends=True)
        return _FAILED
    target.put(cut, ends=True)
    return len(text) if len(cut) == len(text) else _FAILED


_PLACE: Mapping[Room, Callable[..., int]] = {
    Room.ENDLESS: _put_endless,
    Room.COUNT: _put_counted,
    Room.SIZE: _put_sized,
    Room.SIZE_AND_COUNT: _put_sized_and_counted,
}

_NAMES: Mapping[Room, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Room.ENDLESS: (("sprintf",), ("swprintf", "_swprintf")),
    Room.COUNT: (("_snprintf",), ("_snwprintf",)),
    Room.SIZE: (("sprintf_s",), ("swprintf_s",)),
    Room.SIZE_AND_COUNT: (("_snprintf_s",), ("_snwprintf_s",)),
}
"""Names of the functions by room: narrow ones and wide ones. Those that take a list have a `v` before the `s`."""


def _functions() -> Iterator[tuple[str, _Function]]:
    for room, kinds in _NAMES.items():
        for is_wide, names in enumerate(kinds):
            for name in names:
                yield name, _Function(bool(is_wide), room, takes_list=False)
                yield name.replace("s", "vs", 1), _Function(bool(is_wide), room, takes_list=True)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = dict(_functions())
