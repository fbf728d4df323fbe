"""Text formatted as the kernel's printf family does: the directives of the Microsoft C runtime, and %Z.

Sources: "Format specification syntax: printf and wprintf functions" in the Microsoft C runtime reference, and the
WDK's page of DbgPrint for %Z and %wZ. Characters are numbers throughout, 8 or 16 bits wide.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.characters import ANSI, units
from stackemu.emu.kernel.call import ApiCall, Context

MAX_TEXT = 0x8000
"""Characters that one call formats at most."""
MAX_FIELD = 0x1000
"""Characters that a width or a precision asks for at most."""

_DIRECTIVE = re.compile(
    r"(?P<flags>[-+ #0]*)(?P<width>\*|\d*)(?:\.(?P<precision>\*|\d*))?(?P<size>I64|I32|ll|hh|[hlLwIjzt])?(?P<kind>.)",
    re.DOTALL,
)
_NULL_TEXT = tuple(b"(null)")
_WIDE_SIZES = ("I64", "ll", "j")
_BASES = {"o": 8, "x": 16, "X": 16, "p": 16}
_POINTER_DIGITS = 8


def stack_arguments(call: ApiCall, first: int) -> Iterator[int]:
    """Yield the words on the stack from argument number `first` on."""
    yield from call.stack_words[first:]
    yield from list_arguments(call, call.host.registers()["ESP"] + 4 + 4 * len(call.stack_words))


def list_arguments(context: Context, address: int) -> Iterator[int]:
    """Yield the words that a `va_list` points to."""
    while True:
        yield context.u32(address)
        address += 4


@dataclass(slots=True)
class Formatter:
    """Formats one text; `is_wide` says what %s and %c mean without a prefix: text of the function's own kind."""

    context: Context
    arguments: Iterator[int]
    is_wide: bool
    used_unicode: bool = field(default=False, init=False)
    """Whether a directive converted between the two kinds of text: allowed at PASSIVE_LEVEL only."""

    def format(self, template: Sequence[int]) -> list[int]:
        """Return the characters of a formatted template.

        Raises:
            BadAddress: an argument points to memory that is not there.
        """
        text = "".join(map(chr, template))
        out: list[int] = []
        at = 0
        while at < len(text) and len(out) < MAX_TEXT:
            percent = text.find("%", at)
            if percent < 0:
                percent = len(text)
            out += map(ord, text[at:percent])
            found = _DIRECTIVE.match(text, percent + 1)
            if found is None:
                break
            out += self._directive(found)
            at = found.end()
        return out[:MAX_TEXT]

    def _directive(self, found: re.Match[str]) -> Sequence[int]:
        kind, size = found["kind"], found["size"] or ""
        flags = set(found["flags"])
        width = self._number(found["width"])
        if width < 0:
            flags.add("-")
            width = -width
        precision = None if found["precision"] is None else self._number(found["precision"])
        if precision is not None and precision < 0:
            precision = None
        convert = _CONVERSIONS.get(kind)
        if convert is None:
            return (ord(kind),)
        prefix, body = convert(self, _Directive(kind, size, frozenset(flags), precision))
        missing = min(width, MAX_FIELD) - len(prefix) - len(body)
        if "-" in flags:
            return (*prefix, *body, *[0x20] * missing)
        if "0" in flags and (precision is None or kind not in _INTEGERS):
            return (*prefix, *[0x30] * missing, *body)
        return (*[0x20] * missing, *prefix, *body)

    def _number(self, text: str) -> int:
        if text != "*":
            return min(int(text or "0"), MAX_FIELD)
        return max(-MAX_FIELD, min(_signed(next(self.arguments), 32), MAX_FIELD))

    def word(self) -> int:
        """Return the next argument."""
        return next(self.arguments)

    def wide_word(self) -> int:
        """Return the next argument of 64 bits."""
        low = next(self.arguments)
        return low | next(self.arguments) << 32

    def characters(self, data: bytes, is_wide: bool) -> tuple[int, ...]:
        """Return text of one kind in the kind that is formatted."""
        self.used_unicode |= is_wide and not self.is_wide
        if is_wide:
            return units(data) if self.is_wide else tuple(ANSI.to_bytes(units(data)))
        return ANSI.to_units(data) if self.is_wide else tuple(data)


@dataclass(frozen=True, slots=True)
class _Directive:
    kind: str
    size: str
    flags: frozenset[str]
    precision: int | None

    def is_wide(self, formatter: Formatter) -> bool:
        """Whether a text or character argument is wide; capital letters mean the other kind than the function's."""
        if self.size in ("w", "l", "ll"):
            return True
        if self.size in ("h", "hh"):
            return False
        return formatter.is_wide != self.kind.isupper()

    @property
    def bits(self) -> int:
        """Return the width of an integer argument."""
        if self.kind == "p":
            return 32
        return 64 if self.size in _WIDE_SIZES else 16 if self.size in ("h", "hh") else 32


_Parts = tuple[Sequence[int], Sequence[int]]
"""Sign or prefix, behind which zeros go, and the rest."""


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _integer(formatter: Formatter, directive: _Directive) -> _Parts:
    value = formatter.wide_word() if directive.bits == 64 else formatter.word()
    value = _signed(value, directive.bits) if directive.kind in "di" else value & ((1 << directive.bits) - 1)
    precision = _POINTER_DIGITS if directive.kind == "p" else directive.precision
    digits = _digits(abs(value), _BASES.get(directive.kind, 10))
    if directive.kind == "x":
        digits = digits.lower()
    if value == 0 and precision == 0:
        digits = ""
    digits = digits.rjust(min(precision or 0, MAX_FIELD), "0")
    if directive.kind == "o" and "#" in directive.flags and not digits.startswith("0"):
        digits = "0" + digits
    return tuple(_sign(value, directive).encode()), tuple(digits.encode())


def _digits(value: int, base: int) -> str:
    return f"{value:d}" if base == 10 else f"{value:o}" if base == 8 else f"{value:X}"


def _sign(value: float, directive: _Directive) -> str:
    if directive.kind in "xXp":
        shows = "#" in directive.flags and value
        return ("0X" if directive.kind in "Xp" else "0x") if shows else ""
    if directive.kind in "uo":
        return ""
    if value < 0:
        return "-"
    return "+" if "+" in directive.flags else " " if " " in directive.flags else ""


def _character(formatter: Formatter, directive: _Directive) -> _Parts:
    value = formatter.word()
    if directive.is_wide(formatter):
        return (), formatter.characters(struct.pack("<H", value & 0xFFFF), True)
    return (), formatter.characters(bytes((value & 0xFF,)), False)


def _string(formatter: Formatter, directive: _Directive) -> _Parts:
    address = formatter.word()
    limit = directive.precision
    if not address:
        return (), _NULL_TEXT[:limit]
    is_wide = directive.is_wide(formatter)
    unit = 2 if is_wide else 1
    if limit is None:
        data = formatter.context.terminated(address, unit)
    else:
        data = formatter.context.terminated(address, unit, unit * limit)
    return (), formatter.characters(data, is_wide)


def _counted(formatter: Formatter, directive: _Directive) -> _Parts:
    """%Z takes the address of an ANSI_STRING, %wZ that of a UNICODE_STRING."""
    address = formatter.word()
    if not address or not formatter.context.u32(address + 4):
        return (), _NULL_TEXT[: directive.precision]
    is_wide = directive.size in ("w", "l")
    text = formatter.characters(formatter.context.counted(address), is_wide)
    return (), text[: directive.precision]


def _float(formatter: Formatter, directive: _Directive) -> _Parts:
    (value,) = struct.unpack("<d", struct.pack("<Q", formatter.wide_word()))
    precision = 6 if directive.precision is None else min(directive.precision, MAX_FIELD)
    kind = directive.kind if directive.kind in "eEfgG" else "e"
    alternate = "#" if "#" in directive.flags else ""
    return tuple(_sign(value, directive).encode()), tuple(f"{abs(value):{alternate}.{precision}{kind}}".encode())


def _count(formatter: Formatter, _directive: _Directive) -> _Parts:
    """%n takes its argument and, as in every secure build of the runtime, writes nothing."""
    formatter.word()
    return (), ()


_INTEGERS = frozenset("diuoxXp")
_CONVERSIONS: dict[str, Callable[[Formatter, _Directive], _Parts]] = {
    **dict.fromkeys("diuoxXp", _integer),
    **dict.fromkeys("cC", _character),
    **dict.fromkeys("sS", _string),
    **dict.fromkeys("aAeEfgG", _float),
    "Z": _counted,
    "n": _count,
}
