"""The C runtime's numbers and characters: text to number and back, classes of characters, pseudo-random numbers.

Rules of their pages in the Microsoft C runtime reference. Numbers that do not fit are clipped by the strto… functions
and wrap in the ato… functions.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from stackemu.emu.kernel.api.arithmetic import set64, signed, wide_argument
from stackemu.emu.kernel.api.c_strings import lower, upper
from stackemu.emu.kernel.api.characters import ANSI, downcase, from_units, units, upcase
from stackemu.emu.kernel.api.memory import EINVAL, ERANGE
from stackemu.emu.kernel.api.string_numbers import format_integer
from stackemu.emu.kernel.call import MAX_STRING, ApiCall

_SPACES = frozenset(b" \t\n\v\f\r")
_MAX_DIGITS = 128
"""Characters of a number that are looked at, at most."""


def _read(call: ApiCall, address: int, unit: int) -> str:
    """Return the text at an address; characters beyond ASCII are no part of any number."""
    data = call.terminated(address, unit, _MAX_DIGITS * unit)
    return "".join(chr(one) if one < 128 else "?" for one in (data if unit == 1 else units(data)))


def _scan(text: str, base: int) -> tuple[int, int]:
    """Return the number at the start of a text, and how many characters belong to it; none when there is none."""
    at = len(text) - len(text.lstrip(" \t\n\v\f\r"))
    negative = text[at : at + 1] == "-"
    at += text[at : at + 1] in ("-", "+") and at < len(text)
    has_prefix = text[at : at + 2].lower() == "0x" and text[at + 2 : at + 3] in [*string.hexdigits]
    if not base:
        base = 16 if has_prefix else 8 if text[at : at + 1] == "0" else 10
    if base == 16 and has_prefix:
        at += 2
    digits = (string.digits + string.ascii_lowercase)[:base]
    end = at
    while end < len(text) and text[end].lower() in digits:
        end += 1
    if end == at:
        return 0, 0
    value = int(text[at:end], base)
    return (-value if negative else value), end


def _ato(unit: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = _scan(_read(call, call.stack_words[0], unit), 10)[0]

    return behaviour


def _strto(unit: int, bits: int, *, is_signed: bool) -> Callable[[ApiCall], None]:
    """(text, where to tell the end, base)."""
    lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)

    def behaviour(call: ApiCall) -> None:
        address, end, base = call.stack_words[:3]
        value, used = _scan(_read(call, address, unit), base) if base == 0 or 2 <= base <= 36 else (0, 0)
        call.put_optional(end, address + used * unit)
        if abs(value) > highest:
            value = highest if value > 0 or not is_signed else lowest
        if bits == 64:
            set64(call, value)
        else:
            call.eax = value

    return behaviour


@dataclass(frozen=True, slots=True)
class _Writer:
    """(value, buffer[, its size in characters], base): a number as text; only base 10 has a sign."""

    unit: int
    bits: int
    is_signed: bool
    is_secure: bool

    def __call__(self, call: ApiCall) -> None:
        """Write the text; secure functions refuse what does not fit."""
        words = self.bits // 32
        value = wide_argument(call, 0) if words == 2 else call.stack_words[0]
        buffer, size, base = call.stack_words[words : words + 3]
        if not self.is_secure:
            size, base = MAX_STRING, size
            call.eax = buffer
        if not 2 <= base <= 36 or not buffer:
            call.eax = EINVAL if self.is_secure else 0
            return
        text = self._text(value, base)
        if len(text) >= size:
            call.eax = ERANGE
            text = ""
        if size:
            data = text.encode("ascii") + b"\0"
            call.write(buffer, data if self.unit == 1 else from_units(data))

    def _text(self, value: int, base: int) -> str:
        number = signed(value, self.bits) if self.is_signed and base == 10 else value
        return "-" * (number < 0) + format_integer(abs(number), base).lower()


_WRITERS = {"i": (32, True), "l": (32, True), "ul": (32, False), "i64": (64, True), "ui64": (64, False)}


def _writers() -> Iterator[tuple[str, _Writer]]:
    for kind, (bits, is_signed) in _WRITERS.items():
        for letter, unit in (("a", 1), ("w", 2)):
            yield f"_{kind}to{letter}", _Writer(unit, bits, is_signed, is_secure=False)
            yield f"_{kind}to{letter}_s", _Writer(unit, bits, is_signed, is_secure=True)


# -- characters --


def _class(characters: Collection[int], *, is_wide: bool = False) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        mask = 0xFFFF if is_wide else 0xFFFFFFFF
        call.eax = int(call.stack_words[0] & mask in characters)

    return behaviour


_CLASSES: Mapping[str, Collection[int]] = {
    "alpha": frozenset(string.ascii_letters.encode()),
    "digit": frozenset(string.digits.encode()),
    "alnum": frozenset((string.ascii_letters + string.digits).encode()),
    "lower": frozenset(string.ascii_lowercase.encode()),
    "upper": frozenset(string.ascii_uppercase.encode()),
    "space": _SPACES,
    "xdigit": frozenset(string.hexdigits.encode()),
    "punct": frozenset(string.punctuation.encode()),
    "print": range(0x20, 0x7F),
    "graph": range(0x21, 0x7F),
    "cntrl": (*range(0x20), 0x7F),
}


def _case(change: Callable[[int], int], mask: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        value = call.stack_words[0]
        call.eax = change(value & mask) if mask == 0xFFFF else change(value)

    return behaviour


# -- narrow and wide --


def _to_wide(call: ApiCall) -> None:
    """mbstowcs(wide, narrow, count): a null destination asks for the length."""
    destination, source, count = call.stack_words[:3]
    text = ANSI.to_units(call.terminated(source))
    _put_converted(call, destination, text[:count] if destination else text, count, 2)


def _to_narrow(call: ApiCall) -> None:
    destination, source, count = call.stack_words[:3]
    text = ANSI.to_bytes(units(call.terminated(source, 2)))
    _put_converted(call, destination, tuple(text[:count] if destination else text), count, 1)


def _put_converted(call: ApiCall, destination: int, text: tuple[int, ...], count: int, unit: int) -> None:
    call.eax = len(text)
    if destination and count:
        ended = (*text, 0)[:count]
        call.write(destination, bytes(ended) if unit == 1 else from_units(ended))


def _one_to_wide(call: ApiCall) -> None:
    """mbtowc(wide, narrow, count)."""
    destination, source, count = call.stack_words[:3]
    if not source or not count:
        return
    (unit,) = ANSI.to_units(call.read(source, 1))
    if destination:
        call.put_u16(destination, unit)
    call.eax = int(unit != 0)


# -- pseudo-random numbers --


@dataclass(slots=True)
class RandomNumbers:
    """The state of `rand`, None until somebody asks."""

    state: int | None = None


def _seed(call: ApiCall) -> None:
    call.state(RandomNumbers).state = call.stack_words[0]


def _rand(call: ApiCall) -> None:
    """A linear congruential generator; unless seeded it starts where the input says."""
    numbers = call.state(RandomNumbers)
    before = call.draw() if numbers.state is None else numbers.state
    numbers.state = (before * 214013 + 2531011) & 0xFFFFFFFF
    call.eax = numbers.state >> 16 & 0x7FFF


def _random(call: ApiCall) -> None:
    """RtlRandom and RtlRandomEx: a number below 2^31 - 1, and a new seed; the input has a share in it."""
    seed = (call.u32(call.arguments[0]) * 0x7FFFFFED + 0x7FFFFFC3) % 0x7FFFFFFF
    call.put_u32(call.arguments[0], seed)
    call.eax = (seed + call.draw()) % 0x7FFFFFFF


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "atoi": _ato(1),
    "atol": _ato(1),
    "_wtoi": _ato(2),
    "_wtol": _ato(2),
    "strtol": _strto(1, 32, is_signed=True),
    "strtoul": _strto(1, 32, is_signed=False),
    "wcstol": _strto(2, 32, is_signed=True),
    "wcstoul": _strto(2, 32, is_signed=False),
    "_strtoi64": _strto(1, 64, is_signed=True),
    "_strtoui64": _strto(1, 64, is_signed=False),
    "_wcstoi64": _strto(2, 64, is_signed=True),
    "_wcstoui64": _strto(2, 64, is_signed=False),
    **dict(_writers()),
    **{f"is{name}": _class(characters) for name, characters in _CLASSES.items()},
    **{f"isw{name}": _class(characters, is_wide=True) for name, characters in _CLASSES.items()},
    "tolower": _case(lower, 0xFFFFFFFF),
    "toupper": _case(upper, 0xFFFFFFFF),
    "towlower": _case(downcase, 0xFFFF),
    "towupper": _case(upcase, 0xFFFF),
    "mbstowcs": _to_wide,
    "wcstombs": _to_narrow,
    "mbtowc": _one_to_wide,
    "srand": _seed,
    "rand": _rand,
    "RtlRandom": _random,
    "RtlRandomEx": _random,
}
