"""Characters as the kernel sees them: 16-bit units, their case one by one, and the two 8-bit code pages.

Case is that of the kernel's own table, which maps single units: the simple mappings of Unicode that lead back
(RtlUpcaseUnicodeChar in the WDK). The code pages are those of a system in American English.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

_Case: TypeAlias = Callable[[str], str]
_UNKNOWN = ord("?")


def units(data: bytes) -> tuple[int, ...]:
    """Return the 16-bit units of little-endian bytes; a single byte at the end is left out."""
    return struct.unpack(f"<{len(data) // 2}H", data[: len(data) & ~1])


def from_units(text: Sequence[int]) -> bytes:
    """Return 16-bit units as little-endian bytes."""
    return struct.pack(f"<{len(text)}H", *text)


@functools.lru_cache(maxsize=4096)
def upcase(unit: int) -> int:
    """Return a 16-bit unit in upper case."""
    return _mapped(unit, str.upper, str.lower)


@functools.lru_cache(maxsize=4096)
def downcase(unit: int) -> int:
    """Return a 16-bit unit in lower case."""
    return _mapped(unit, str.lower, str.upper)


def _mapped(unit: int, there: _Case, back: _Case) -> int:
    character = chr(unit)
    mapped = there(character)
    leads_back = len(mapped) == 1 and ord(mapped) <= 0xFFFF and back(mapped) == character
    return ord(mapped) if leads_back else unit


class CodePage:
    """An 8-bit character set; bytes that it leaves open are the C1 control characters of the same number."""

    def __init__(self, codec: str) -> None:
        """Take the characters from one of Python's codecs."""
        self._units = tuple(_decoded(byte, codec) for byte in range(256))
        self._bytes: Mapping[int, int] = {unit: byte for byte, unit in enumerate(self._units)}

    def to_units(self, data: bytes) -> tuple[int, ...]:
        """Return the characters of a byte string."""
        return tuple(self._units[byte] for byte in data)

    def to_bytes(self, text: Iterable[int]) -> bytes:
        """Return the bytes of characters, question marks for those that the set does not have."""
        return bytes(self._bytes.get(unit, _UNKNOWN) for unit in text)

    def upcase(self, data: bytes) -> bytes:
        """Return a byte string in upper case; letters without a capital in the set stay."""
        return bytes(self._bytes.get(upcase(self._units[byte]), byte) for byte in data)


def _decoded(byte: int, codec: str) -> int:
    try:
        return ord(bytes((byte,)).decode(codec))
    except UnicodeDecodeError:
        return byte


ANSI = CodePage("cp1252")
OEM = CodePage("cp437")
