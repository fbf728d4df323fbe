"""Inputs as a few bytes, and back: what a witness carries.

One header byte: the version of the format in bits 6 and 7, the style in bits 2 to 5, and in bits 0 and 1 whether
kernel functions succeed (0 either, 1 they fail, 2 they succeed). Then the seed, and each override in its order: a
byte with the place in bits 0 to 3 and, for memory, `size - 1` in the bits above it where that is less than 15; the
key; the value. Numbers are LEB128 varints (DWARF 5, section 7.6). A key in memory is the distance from the end of the
memory override before it, at first from where the arena begins, zigzag-coded, so that neighbours take no more than a
byte. The value of memory is its bytes, of anything else a number. Keys and values but those of memory have 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackemu.emu.inputs import ARENA_BASE, Input, Override, Place, Style
from stackemu.emu.slots import MAX_SLOT_SIZE

VERSION = 1
MAX_OVERRIDES = 4096
_STYLES = tuple(Style)
_PLACES = tuple(Place)
_SUCCEED = (None, False, True)
_LARGE = 15
"""Stands for a size that follows as a number."""
_MAX_VARINT = 10
"""Bytes of the longest varint: 64 bits."""
_WORD = 1 << 32


def encode(source: Input) -> bytes:
    """Return an input as bytes; inputs that are equal have equal bytes.

    Raises:
        ValueError: it has too many overrides, one that is too large, or a number that is.
    """
    if len(source.overrides) > MAX_OVERRIDES:
        raise ValueError(f"{len(source.overrides)} overrides, of at most {MAX_OVERRIDES}")
    header = VERSION << 6 | _STYLES.index(source.style) << 2 | _SUCCEED.index(source.succeed)
    parts, at = [bytes((header,)), _varint(source.seed)], ARENA_BASE
    for override in source.overrides:
        place = _PLACES.index(override.place)
        if override.place is not Place.MEMORY:
            parts += (bytes((place,)), _varint(_word(override.key)), _varint(_word(override.value)))
            continue
        size = override.size
        if not 0 < size <= MAX_SLOT_SIZE:
            raise ValueError(f"{size} bytes of memory, of at most {MAX_SLOT_SIZE}")
        parts.append(bytes((place | min(size - 1, _LARGE) << 4,)))
        if size - 1 >= _LARGE:
            parts.append(_varint(size))
        parts += (_varint(_zigzag(_word(override.key) - at)), _masked(override).to_bytes(size, "little"))
        at = override.key + size
    return b"".join(parts)


def decode(data: bytes) -> Input:
    """Return the input that bytes stand for.

    Raises:
        ValueError: they stand for none.
    """
    reader = _Reader(data)
    header = reader.byte()
    if header >> 6 != VERSION:
        raise ValueError(f"version {header >> 6} of the format of inputs")
    style, succeed = header >> 2 & 15, header & 3
    if style >= len(_STYLES) or succeed >= len(_SUCCEED):
        raise ValueError(f"header {header:#04x}")
    seed = reader.varint()
    return Input(seed, _STYLES[style], _SUCCEED[succeed], tuple(_overrides(reader)))


def _overrides(reader: _Reader) -> Iterator[Override]:
    at = ARENA_BASE
    for _ in range(MAX_OVERRIDES):
        if reader.is_at_end:
            return
        tag = reader.byte()
        if tag & 15 >= len(_PLACES):
            raise ValueError(f"place {tag & 15}")
        place = _PLACES[tag & 15]
        if place is not Place.MEMORY:
            if tag >> 4:
                raise ValueError(f"tag {tag:#04x}")
            yield Override(place, _word(reader.varint()), _word(reader.varint()))
            continue
        size = (tag >> 4) + 1 if tag >> 4 < _LARGE else reader.varint()
        key = _word(at + _unzigzag(reader.varint()))
        if not 0 < size <= MAX_SLOT_SIZE or (tag >> 4 == _LARGE and size <= _LARGE):
            raise ValueError(f"{size} bytes of memory at {key:#x}")
        yield Override(place, key, int.from_bytes(reader.take(size), "little"), size)
        at = key + size
    if not reader.is_at_end:
        raise ValueError(f"more than {MAX_OVERRIDES} overrides")


def _masked(override: Override) -> int:
    """Return a value of memory as it is used: what does not fit is left out."""
    return override.value & ((1 << 8 * override.size) - 1)


def _word(number: int) -> int:
    """Return a number that has 32 bits."""
    if not 0 <= number < _WORD:
        raise ValueError(f"{number:#x} is no number of 32 bits")
    return number


def _zigzag(number: int) -> int:
    return -2 * number - 1 if number < 0 else 2 * number


def _unzigzag(number: int) -> int:
    return -(number >> 1) - 1 if number & 1 else number >> 1


def _varint(number: int) -> bytes:
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{number} is no number of 64 bits")
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


class _Reader:
    """Takes bytes from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise ValueError(f"cut off after {len(self._data)} bytes")
        self._at += size
        return piece

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        """Return a number; only its shortest form counts, so that equal inputs have equal bytes."""
        number = 0
        for index in range(_MAX_VARINT):
            byte = self.byte()
            number |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if number >= 1 << 64 or (index and not byte):
                    break
                return number
        raise ValueError("a number that is not written as numbers are")
