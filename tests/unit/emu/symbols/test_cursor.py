"""Cursor: reads inside its range, errors with a place outside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stackemu.emu.errors import StackemuError
from stackemu.emu.symbols.cursor import Cursor, FormatError

DATA = bytes.fromhex("01 0203 04050607 feffffff") + b"name\0" + b"\3abc"


def test_reads_little_endian_values_in_order() -> None:
    cursor = Cursor(DATA, "test")
    assert (cursor.u8(), cursor.u16(), cursor.u32(), cursor.s32()) == (1, 0x0302, 0x07060504, -2)
    assert (cursor.cstring(), cursor.pascal(), bool(cursor), cursor.remaining) == ("name", "abc", False, 0)


@pytest.mark.parametrize(
    "read",
    [
        Cursor.u8,
        Cursor.u16,
        Cursor.u32,
        Cursor.s32,
        Cursor.cstring,
        Cursor.pascal,
        Cursor.guid,
        lambda cursor: cursor.bytes(1),
        lambda cursor: cursor.skip(1),
        lambda cursor: cursor.skip(-1),
        lambda cursor: cursor.sub(1),
    ],
)
def test_a_read_past_the_end_names_the_place(read: Callable[[Cursor], object]) -> None:
    cursor = Cursor(DATA, "thing", 4, 5)
    cursor.skip(1)
    with pytest.raises(FormatError, match="thing at 0x5: ") as caught:
        read(cursor)
    assert caught.value.position == 5
    assert isinstance(caught.value, StackemuError)


def test_a_sub_cursor_is_bounded_and_keeps_positions() -> None:
    cursor = Cursor(DATA, "outer")
    cursor.skip(3)
    inner = cursor.sub(4, "inner")
    assert (inner.position, inner.remaining, cursor.position) == (3, 4, 7)
    inner.skip(4)
    with pytest.raises(FormatError, match="inner at 0x7"):
        inner.u8()


def test_alignment_counts_from_the_start_of_the_cursor() -> None:
    cursor = Cursor(DATA, "test", 3)
    cursor.align(4)
    assert cursor.position == 3
    cursor.skip(1)
    cursor.align(4)
    assert cursor.position == 7


@pytest.mark.parametrize("span", [(-1, 2), (3, 2), (0, 99)])
def test_a_range_outside_the_data_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(FormatError, match="lies outside"):
        Cursor(DATA, "test", *span)


def test_strings_are_limited_and_made_printable() -> None:
    with pytest.raises(FormatError, match="got no NUL"):
        Cursor(b"abcdef\0", "test").cstring(limit=5)
    assert Cursor(b"abcde\0", "test").cstring(limit=5) == "abcde"
    assert Cursor(b"a\x1b[31m\n\xff\0", "test").cstring() == "a\\u001b[31m\\u000a\\xff"


def test_guid_is_written_as_symbol_servers_write_it() -> None:
    # The bytes of WinDivert32.sys and llvm-readobj's order of them.
    raw = bytes.fromhex("B0B1EDDF9075D04AAEA03E43506EA8FA")
    assert Cursor(raw, "test").guid() == "DFEDB1B075904AD0AEA03E43506EA8FA"
