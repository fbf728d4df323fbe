"""Counted strings: made over terminated ones, copied, joined, compared, changed in case, given back.

What each function promises is on its page in the WDK (wdm.h, ntifs.h); a UNICODE_STRING counts in bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from stackemu.emu.kernel.api.characters import ANSI, downcase, from_units, units, upcase
from stackemu.emu.kernel.api.pool import allocate_pool, free_pool
from stackemu.emu.kernel.call import MAX_STRING, ApiCall, Context

STATUS_BUFFER_OVERFLOW = 0x80000005
STATUS_INVALID_PARAMETER = 0xC000000D
STATUS_NO_MEMORY = 0xC0000017
STATUS_BUFFER_TOO_SMALL = 0xC0000023
STATUS_NAME_TOO_LONG = 0xC0000106
_HASH_DEFAULT, _HASH_X65599 = 0, 1
_DUPLICATE_TERMINATED, _DUPLICATE_EMPTY = 1, 2
"""RTL_DUPLICATE_UNICODE_STRING_NULL_TERMINATE and ..._ALLOCATE_NULL_STRING (ntifs.h)."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The three fields of a UNICODE_STRING, ANSI_STRING or OEM_STRING; sizes in bytes."""

    length: int
    maximum: int
    buffer: int

    @classmethod
    def at(cls, context: Context, address: int) -> Counted:
        """Return the string at an address."""
        return cls(*struct.unpack("<HHI", context.read(address, 8)))

    def put(self, context: Context, address: int) -> None:
        """Write the string's fields."""
        context.write(address, struct.pack("<HHI", self.length, self.maximum, self.buffer))

    def text(self, context: Context) -> bytes:
        """Return the bytes that the string counts."""
        return context.read(self.buffer, self.length) if self.length else b""


def set_text(context: Context, address: int, data: bytes, unit: int) -> None:
    """Put text into the buffer of the string at `address`, with a terminator of `unit` bytes where one fits."""
    string = Counted.at(context, address)
    if len(data) + unit <= string.maximum:
        context.write(string.buffer, data + bytes(unit))
    elif data:
        context.write(string.buffer, data)
    replace(string, length=len(data)).put(context, address)


def allocate_text(call: ApiCall, address: int, data: bytes, room: int) -> None:
    """Make the string at `address` one over new pool that holds `data` and has `room` bytes more; sets EAX."""
    buffer = allocate_pool(call, len(data) + room) if call.succeeds else 0
    if not buffer:
        call.eax = STATUS_NO_MEMORY
        return
    call.write(buffer, data + bytes(room))
    Counted(len(data), len(data) + room, buffer).put(call, address)


def _init(unit: int, *, checks: bool = False) -> Callable[[ApiCall], None]:
    """{Length, MaximumLength, Buffer} over a terminated string; the `Ex` functions refuse one that is too long."""

    def behaviour(call: ApiCall) -> None:
        destination, source = call.arguments[:2]
        size = len(call.terminated(source, unit)) if source else 0
        if checks and size >= MAX_STRING:
            call.eax = STATUS_NAME_TOO_LONG
            return
        Counted(size, size + unit if source else 0, source).put(call, destination)

    return behaviour


def _copy(unit: int, *, terminates: bool) -> Callable[[ApiCall], None]:
    """What does not fit is left out; only wide strings get a terminator, where there is room."""

    def behaviour(call: ApiCall) -> None:
        destination, source = call.arguments[:2]
        target = Counted.at(call, destination)
        text = Counted.at(call, source).text(call)[: target.maximum] if source else b""
        if terminates and text:
            set_text(call, destination, text, unit)
            return
        if text:
            call.write(target.buffer, text)
        replace(target, length=len(text)).put(call, destination)

    return behaviour


def _append(source_text: Callable[[ApiCall, int], bytes], unit: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        destination, source = call.arguments[:2]
        target = Counted.at(call, destination)
        text = source_text(call, source) if source else b""
        length = target.length + len(text)
        if length > target.maximum:
            call.eax = STATUS_BUFFER_TOO_SMALL
            return
        if text:
            ends = unit == 2 and length + unit <= target.maximum
            call.write(target.buffer + target.length, text + bytes(unit if ends else 0))
            replace(target, length=length).put(call, destination)

    return behaviour


def _counted_text(call: ApiCall, address: int) -> bytes:
    return Counted.at(call, address).text(call)


def _wide_text(call: ApiCall, address: int) -> bytes:
    return call.terminated(address, 2)


def _narrow_text(call: ApiCall, address: int) -> bytes:
    return call.terminated(address)


# -- comparison --


def folded(data: bytes, unit: int, *, ignores_case: bool) -> tuple[int, ...]:
    """Return the characters of a string to compare, in upper case where case does not matter."""
    if unit == 1:
        return tuple(ANSI.upcase(data) if ignores_case else data)
    return tuple(map(upcase, units(data))) if ignores_case else units(data)


def _pair(call: ApiCall, unit: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    first, second, ignores_case = call.arguments[:3]
    is_folded = bool(ignores_case & 0xFF)
    left, right = (folded(call.counted(string), unit, ignores_case=is_folded) for string in (first, second))
    return left, right


def _difference(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """Return what the first characters that differ differ by, or else the lengths."""
    for a, b in zip(left, right, strict=False):
        if a != b:
            return a - b
    return len(left) - len(right)


def _compare(unit: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = _difference(*_pair(call, unit))

    return behaviour


def _compare_buffers(call: ApiCall) -> None:
    """RtlCompareUnicodeStrings takes buffers and their lengths in characters."""
    first, first_length, second, second_length, ignores_case = call.arguments[:5]
    left, right = (
        folded(call.read(buffer, min(2 * length, MAX_STRING)), 2, ignores_case=bool(ignores_case & 0xFF))
        for buffer, length in ((first, first_length), (second, second_length))
    )
    call.eax = _difference(left, right)


def _equal(unit: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        left, right = _pair(call, unit)
        call.eax = int(left == right)

    return behaviour


def _prefix(unit: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        start, whole = _pair(call, unit)
        call.eax = int(whole[: len(start)] == start)

    return behaviour


def _suffix(call: ApiCall) -> None:
    end, whole = _pair(call, 2)
    call.eax = int(whole[max(0, len(whole) - len(end)) :] == end)


def _hash(call: ApiCall) -> None:
    string, ignores_case, algorithm, out = call.arguments[:4]
    if not string or not out or algorithm not in (_HASH_DEFAULT, _HASH_X65599):
        call.eax = STATUS_INVALID_PARAMETER
        return
    value = 0
    for unit in folded(call.counted(string), 2, ignores_case=bool(ignores_case & 0xFF)):
        value = (value * 65599 + unit) & 0xFFFFFFFF
    call.put_u32(out, value)


# -- case --


def _character(change: Callable[[int], int]) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = change(call.arguments[0] & 0xFFFF)

    return behaviour


def _upper_char(call: ApiCall) -> None:
    call.eax = ANSI.upcase(bytes((call.arguments[0] & 0xFF,)))[0]


def _change_case(change: Callable[[int], int]) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        destination, source, allocates = call.arguments[:3]
        text = from_units([change(unit) for unit in units(call.counted(source))])
        if allocates & 0xFF:
            allocate_text(call, destination, text, 0)
            return
        target = Counted.at(call, destination)
        if len(text) > target.maximum:
            call.eax = STATUS_BUFFER_OVERFLOW
            return
        if text:
            call.write(target.buffer, text)
        replace(target, length=len(text)).put(call, destination)

    return behaviour


def _upper_string(call: ApiCall) -> None:
    destination, source = call.arguments[:2]
    target = Counted.at(call, destination)
    text = ANSI.upcase(call.counted(source)[: target.maximum])
    if text:
        call.write(target.buffer, text)
    replace(target, length=len(text)).put(call, destination)


# -- strings that own their buffers --


def _create(call: ApiCall) -> None:
    destination, source = call.arguments[:2]
    allocate_text(call, destination, call.terminated(source, 2), 2)
    call.eax = int(call.eax == 0)


def _duplicate(call: ApiCall) -> None:
    flags, source, destination = call.arguments[:3]
    ends, keeps_empty = bool(flags & _DUPLICATE_TERMINATED), bool(flags & _DUPLICATE_EMPTY)
    if flags & ~(_DUPLICATE_TERMINATED | _DUPLICATE_EMPTY) or (keeps_empty and not ends) or not destination:
        call.eax = STATUS_INVALID_PARAMETER
        return
    text = call.counted(source)
    if text or keeps_empty:
        allocate_text(call, destination, text, 2 if ends else 0)
    else:
        Counted(0, 0, 0).put(call, destination)


def _free(call: ApiCall) -> None:
    string = Counted.at(call, call.arguments[0])
    if string.buffer:
        free_pool(call, string.buffer)
        Counted(0, 0, 0).put(call, call.arguments[0])


def _validate(call: ApiCall) -> None:
    flags, address = call.arguments[:2]
    string = Counted.at(call, address) if address else Counted(0, 0, 0)
    is_odd = string.length % 2 or string.maximum % 2
    is_open = string.length > string.maximum or (string.maximum and not string.buffer)
    if flags or is_odd or is_open:
        call.eax = STATUS_INVALID_PARAMETER


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlInitUnicodeString": _init(2),
    "RtlInitAnsiString": _init(1),
    "RtlInitString": _init(1),
    "RtlInitUTF8String": _init(1),
    "RtlInitUnicodeStringEx": _init(2, checks=True),
    "RtlInitAnsiStringEx": _init(1, checks=True),
    "RtlInitUTF8StringEx": _init(1, checks=True),
    "RtlCopyUnicodeString": _copy(2, terminates=True),
    "RtlCopyString": _copy(1, terminates=False),
    "RtlAppendUnicodeStringToString": _append(_counted_text, 2),
    "RtlAppendUnicodeToString": _append(_wide_text, 2),
    "RtlAppendStringToString": _append(_counted_text, 1),
    "RtlAppendAsciizToString": _append(_narrow_text, 1),
    "RtlCompareUnicodeString": _compare(2),
    "RtlCompareString": _compare(1),
    "RtlCompareUnicodeStrings": _compare_buffers,
    "RtlEqualUnicodeString": _equal(2),
    "RtlEqualString": _equal(1),
    "RtlPrefixUnicodeString": _prefix(2),
    "RtlPrefixString": _prefix(1),
    "RtlSuffixUnicodeString": _suffix,
    "RtlHashUnicodeString": _hash,
    "RtlUpcaseUnicodeChar": _character(upcase),
    "RtlDowncaseUnicodeChar": _character(downcase),
    "RtlUpperChar": _upper_char,
    "RtlUpcaseUnicodeString": _change_case(upcase),
    "RtlDowncaseUnicodeString": _change_case(downcase),
    "RtlUpperString": _upper_string,
    "RtlCreateUnicodeString": _create,
    "RtlDuplicateUnicodeString": _duplicate,
    "RtlFreeUnicodeString": _free,
    "RtlFreeAnsiString": _free,
    "RtlFreeOemString": _free,
    "RtlFreeUTF8String": _free,
    "RtlValidateUnicodeString": _validate,
}
