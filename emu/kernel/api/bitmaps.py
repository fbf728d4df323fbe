"""Bitmaps (RTL_BITMAP): bits set, cleared, counted, and runs of them found.

Rules of the RtlInitializeBitMap family's pages in the WDK. A bitmap is worked on as one number whose bit 0 is the
bitmap's bit 0.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context

NOT_FOUND = 0xFFFFFFFF
MAX_BITS = 8 * MAX_COPY
"""Bits of a bitmap that are looked at, at most."""


@dataclass(frozen=True, slots=True)
class _Bitmap:
    """A bitmap in emulated memory; `size` in bits."""

    context: Context
    size: int
    buffer: int

    @classmethod
    def of(cls, call: ApiCall) -> _Bitmap:
        """Return the bitmap that is the call's first argument."""
        return cls.at(call, call.arguments[0])

    @classmethod
    def at(cls, context: Context, address: int) -> _Bitmap:
        """Return the bitmap whose header lies at an address."""
        view = context.view("RTL_BITMAP", address)
        return cls(context, min(view["SizeOfBitMap"], MAX_BITS), view["Buffer"])

    def bits(self, start: int, count: int) -> int:
        """Return bits as a number; those behind the end are 0."""
        count = max(0, min(count, self.size - start))
        if not count:
            return 0
        first = start // 8
        data = self.context.read(self.buffer + first, (start + count + 7) // 8 - first)
        return int.from_bytes(data, "little") >> start % 8 & _ones(count)

    def put(self, start: int, count: int, value: int) -> None:
        """Change bits; those behind the end are left alone."""
        count = max(0, min(count, self.size - start))
        if not count:
            return
        first = start // 8
        size = (start + count + 7) // 8 - first
        word = int.from_bytes(self.context.read(self.buffer + first, size), "little")
        mask = _ones(count) << start % 8
        word = word & ~mask | value << start % 8 & mask
        self.context.write(self.buffer + first, word.to_bytes(size, "little"))

    def fill(self, start: int, count: int, *, is_set: bool) -> None:
        """Set or clear bits."""
        count = max(0, min(count, self.size - start))
        self.put(start, count, _ones(count) if is_set else 0)

    def find(self, count: int, hint: int, *, is_set: bool) -> int:
        """Return where the first run of `count` bits from `hint` on begins, or else the first of all."""
        value = self.bits(0, self.size)
        starts = _starts(value if is_set else value ^ _ones(self.size), count)
        behind = starts >> hint << hint if hint < self.size else 0
        chosen = behind or starts
        return (chosen & -chosen).bit_length() - 1 if chosen else NOT_FOUND

    def clear_runs(self) -> Iterator[tuple[int, int]]:
        """Yield start and length of each run of clear bits, in order."""
        text = f"{self.bits(0, self.size):0{self.size}b}"[::-1] if self.size else ""
        for run in re.finditer("0+", text):
            yield run.start(), run.end() - run.start()


def _ones(count: int) -> int:
    return (1 << count) - 1


def _starts(value: int, count: int) -> int:
    """Return the bits of `value` at which `count` set bits in a row begin."""
    known = 1
    while known < count and value:
        step = min(known, count - known)
        value &= value >> step
        known += step
    return value


def _initialize(call: ApiCall) -> None:
    header, buffer, size = call.arguments[:3]
    call.write(header, struct.pack("<II", size, buffer))


def _fill(*, is_set: bool) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        start, count = call.arguments[1:3]
        bitmap = _Bitmap.of(call)
        if start + count > bitmap.size:
            call.note(f"{call.name}: bits {start} to {start + count - 1} of a bitmap of {bitmap.size}")
        bitmap.fill(start, count, is_set=is_set)

    return behaviour


def _fill_all(*, is_set: bool) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        bitmap = _Bitmap.of(call)
        whole = (bitmap.size + 31) // 32 * 32  # the kernel works in words of 32 bits
        _Bitmap(call, whole, bitmap.buffer).fill(0, whole, is_set=is_set)

    return behaviour


def _fill_one(*, is_set: bool) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        _Bitmap.of(call).fill(call.arguments[1], 1, is_set=is_set)

    return behaviour


def _test(call: ApiCall) -> None:
    call.eax = _Bitmap.of(call).bits(call.arguments[1], 1)


def _are(*, is_set: bool) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        start, count = call.arguments[1:3]
        bitmap = _Bitmap.of(call)
        if count and start + count <= bitmap.size:
            call.eax = int(bitmap.bits(start, count) == (_ones(count) if is_set else 0))

    return behaviour


def _count(*, is_set: bool, in_range: bool = False) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        bitmap = _Bitmap.of(call)
        start, count = call.arguments[1:3] if in_range else (0, bitmap.size)
        count = max(0, min(count, bitmap.size - start))
        number = bitmap.bits(start, count).bit_count()
        call.eax = number if is_set else count - number

    return behaviour


def _count_word(call: ApiCall) -> None:
    call.eax = call.arguments[0].bit_count()


def _find(*, is_set: bool, changes: bool = False) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        count, hint = call.arguments[1:3]
        bitmap = _Bitmap.of(call)
        if not count:
            call.eax = hint & ~7 if hint < bitmap.size else 0
            return
        call.eax = bitmap.find(count, hint, is_set=is_set)
        if changes and call.eax != NOT_FOUND:
            bitmap.fill(call.eax, count, is_set=not is_set)

    return behaviour


def _find_runs(call: ApiCall) -> None:
    """RtlFindClearRuns fills an array of {StartingIndex, NumberOfBits}, the longest runs first where asked to."""
    _, array, room, wants_longest = call.arguments[:4]
    runs = list(_Bitmap.of(call).clear_runs())
    if wants_longest & 0xFF:
        runs.sort(key=lambda run: -run[1])
    runs = runs[:room]
    for index, run in enumerate(runs):
        call.write(array + 8 * index, struct.pack("<II", *run))
    call.eax = len(runs)


def _tell_run(call: ApiCall, run: tuple[int, int], out: int) -> None:
    call.put_u32(out, run[0])
    call.eax = run[1]


def _longest_run(call: ApiCall) -> None:
    runs = _Bitmap.of(call).clear_runs()
    _tell_run(call, max(runs, key=lambda run: run[1], default=(0, 0)), call.arguments[1])


def _first_run(call: ApiCall) -> None:
    _tell_run(call, next(_Bitmap.of(call).clear_runs(), (0, 0)), call.arguments[1])


def _next_run(call: ApiCall) -> None:
    """RtlFindNextForwardRunClear: a run that `FromIndex` lies in counts from there on."""
    origin, out = call.arguments[1:3]
    for start, length in _Bitmap.of(call).clear_runs():
        if start + length > origin:
            first = max(start, origin)
            _tell_run(call, (first, start + length - first), out)
            return
    call.put_u32(out, origin)


def _last_run(call: ApiCall) -> None:
    """RtlFindLastBackwardRunClear: a run that `FromIndex` lies in counts up to there."""
    origin, out = call.arguments[1:3]
    runs = [run for run in _Bitmap.of(call).clear_runs() if run[0] <= origin]
    if not runs:
        call.put_u32(out, origin)
        return
    start, length = runs[-1]
    _tell_run(call, (start, min(length, origin + 1 - start)), out)


def _copy(call: ApiCall) -> None:
    source, destination, target = call.arguments[:3]
    bits = _Bitmap.at(call, source)
    _Bitmap.at(call, destination).put(target, bits.size, bits.bits(0, bits.size))


def _extract(call: ApiCall) -> None:
    source, destination, target, count = call.arguments[:4]
    _Bitmap.at(call, destination).put(0, count, _Bitmap.at(call, source).bits(target, count))


def _significant_bit(*, is_least: bool) -> Callable[[ApiCall], None]:
    """The number of a bit, -1 where none is set."""

    def behaviour(call: ApiCall) -> None:
        low, high = call.stack_words[:2]
        value = low | high << 32
        call.eax = (value & -value if is_least else value).bit_length() - 1

    return behaviour


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlInitializeBitMap": _initialize,
    "RtlSetBits": _fill(is_set=True),
    "RtlClearBits": _fill(is_set=False),
    "RtlSetAllBits": _fill_all(is_set=True),
    "RtlClearAllBits": _fill_all(is_set=False),
    "RtlSetBit": _fill_one(is_set=True),
    "RtlClearBit": _fill_one(is_set=False),
    "RtlTestBit": _test,
    "RtlAreBitsSet": _are(is_set=True),
    "RtlAreBitsClear": _are(is_set=False),
    "RtlNumberOfSetBits": _count(is_set=True),
    "RtlNumberOfClearBits": _count(is_set=False),
    "RtlNumberOfSetBitsInRange": _count(is_set=True, in_range=True),
    "RtlNumberOfClearBitsInRange": _count(is_set=False, in_range=True),
    "RtlNumberOfSetBitsUlongPtr": _count_word,
    "RtlFindSetBits": _find(is_set=True),
    "RtlFindClearBits": _find(is_set=False),
    "RtlFindSetBitsAndClear": _find(is_set=True, changes=True),
    "RtlFindClearBitsAndSet": _find(is_set=False, changes=True),
    "RtlFindClearRuns": _find_runs,
    "RtlFindLongestRunClear": _longest_run,
    "RtlFindFirstRunClear": _first_run,
    "RtlFindNextForwardRunClear": _next_run,
    "RtlFindLastBackwardRunClear": _last_run,
    "RtlCopyBitMap": _copy,
    "RtlExtractBitMap": _extract,
    "RtlFindLeastSignificantBit": _significant_bit(is_least=True),
    "RtlFindMostSignificantBit": _significant_bit(is_least=False),
}
