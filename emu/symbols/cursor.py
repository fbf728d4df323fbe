"""A bounded cursor over untrusted bytes: every read is checked, and a bad one says where it was."""

from __future__ import annotations

from stackemu.emu.errors import StackemuError


class FormatError(StackemuError):
    """A binary or text format that is not what it claims to be.

    `position` is the byte offset (the line number in a text file) in the thing that `what` names.
    """

    def __init__(self, what: str, position: int | None, problem: str) -> None:
        """`what` names the format, `problem` says what was expected there and what was found."""
        self.what = what
        self.position = position
        self.problem = problem
        place = "" if position is None else f" at {position:#x}"
        super().__init__(f"{what}{place}: {problem}")


def printable(raw: bytes) -> str:
    """Return text of an untrusted file with every byte escaped that a terminal or a report could act on."""
    text = raw.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


class Cursor:
    """Reads little-endian values from `data[start:end]`; a read past the end raises `FormatError`.

    Positions are offsets into the whole of `data`, so that errors in a sub-cursor name the same
    place as its parent would.
    """

    __slots__ = ("_data", "_end", "_position", "_start", "_what")

    def __init__(self, data: bytes, what: str, start: int = 0, end: int | None = None) -> None:
        """`what` names the data in errors; `end` is exclusive and defaults to the end of `data`."""
        stop = len(data) if end is None else end
        if not 0 <= start <= stop <= len(data):
            raise FormatError(what, start, f"range {start:#x}..{stop:#x} lies outside {len(data):#x} bytes")
        self._data = data
        self._what = what
        self._start = start
        self._position = start
        self._end = stop

    @property
    def position(self) -> int:
        """Return the offset of the next read in the underlying data."""
        return self._position

    @property
    def remaining(self) -> int:
        """Return how many bytes are left."""
        return self._end - self._position

    def __bool__(self) -> bool:
        """Return whether any byte is left."""
        return self._position < self._end

    def error(self, problem: str) -> FormatError:
        """Return (not raise) an error at the current position."""
        return FormatError(self._what, self._position, problem)

    def _take(self, size: int, what: str) -> int:
        """Advance over `size` bytes and return where they begin."""
        position = self._position
        if not 0 <= size <= self._end - position:
            raise self.error(f"expected {what} ({size} bytes), got {self._end - position} bytes to the end")
        self._position = position + size
        return position

    def peek(self) -> int:
        """Return the next byte without passing over it."""
        if not self:
            raise self.error("expected a byte, got the end")
        return self._data[self._position]

    def u8(self) -> int:
        """Read an unsigned byte."""
        return self._data[self._take(1, "u8")]

    def u16(self) -> int:
        """Read an unsigned 16-bit word."""
        at = self._take(2, "u16")
        return int.from_bytes(self._data[at : at + 2], "little")

    def u32(self) -> int:
        """Read an unsigned 32-bit word."""
        at = self._take(4, "u32")
        return int.from_bytes(self._data[at : at + 4], "little")

    def s32(self) -> int:
        """Read a signed 32-bit word."""
        at = self._take(4, "s32")
        return int.from_bytes(self._data[at : at + 4], "little", signed=True)

    def guid(self) -> str:
        """Read a GUID: 32 upper-case hex digits in the order in which it is written, not stored."""
        fields = f"{self.u32():08X}{self.u16():04X}{self.u16():04X}"
        return fields + self.bytes(8).hex().upper()

    def bytes(self, size: int) -> bytes:
        """Read exactly `size` bytes."""
        at = self._take(size, "bytes")
        return self._data[at : at + size]

    def cstring(self, limit: int = 4096) -> str:
        """Read a NUL-terminated string of at most `limit` bytes, as `printable` returns it."""
        stop = min(self._end, self._position + limit + 1)
        nul = self._data.find(b"\0", self._position, stop)
        if nul < 0:
            raise self.error(f"expected a string that ends within {stop - self._position} bytes, got no NUL")
        raw = self._data[self._position : nul]
        self._position = nul + 1
        return printable(raw)

    def pascal(self) -> str:
        """Read a string with a length byte before it, as the `_ST` records of old CodeView have."""
        return printable(self.bytes(self.u8()))

    def skip(self, size: int) -> None:
        """Pass over `size` bytes."""
        self._take(size, "padding")

    def align(self, size: int) -> None:
        """Pass over the bytes up to the next multiple of `size`, counted from the cursor's start."""
        over = (self._position - self._start) % size
        if over:
            self._take(min(size - over, self.remaining), "alignment")

    def sub(self, size: int, what: str | None = None) -> Cursor:
        """Return a cursor over the next `size` bytes and pass over them."""
        at = self._take(size, what or "block")
        return Cursor(self._data, what or self._what, at, at + size)
