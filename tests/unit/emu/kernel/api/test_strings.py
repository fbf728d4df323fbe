"""Counted strings: what the WDK's pages of the Rtl string functions promise."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import pytest

OVERFLOW, TOO_SMALL, INVALID, NO_MEMORY = 0x80000005, 0xC0000023, 0xC000000D, 0xC0000017
SOME_NOT_MAPPED = 0x107


def _wide(kernel: Any, text: str) -> int:
    return int(kernel.text((text + "\0").encode("utf-16-le")))


def _ansi(kernel: Any, data: bytes) -> int:
    return int(kernel.text(struct.pack("<HHI", len(data), len(data), kernel.text(data))))


def _empty(kernel: Any, maximum: int) -> int:
    """Return a counted string without text over `maximum` bytes of 0xCC."""
    buffer = kernel.text(b"\xcc" * (maximum + 8)) if maximum else 0
    return int(kernel.text(struct.pack("<HHI", 0, maximum, buffer)))


def _fields(kernel: Any, string: int) -> tuple[int, int, int]:
    length, maximum, buffer = struct.unpack("<HHI", kernel.host.read(string, 8))
    return length, maximum, buffer


def _buffer(kernel: Any, string: int, size: int) -> bytes:
    return bytes(kernel.host.read(_fields(kernel, string)[2], size))


def _text(kernel: Any, string: int) -> str:
    return str(kernel.context().unicode(string))


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


# -- made, copied, joined --


def test_a_string_over_a_terminated_one_does_not_count_the_terminator(kernel: Any) -> None:
    string, text = kernel.text(bytes(8)), _wide(kernel, "abc")
    kernel.call("RtlInitUnicodeString", string, text)
    assert _fields(kernel, string) == (6, 8, text)
    kernel.call("RtlInitAnsiString", string, kernel.text(b"abcd\0"))
    assert _fields(kernel, string)[:2] == (4, 5)


def test_a_string_over_null_is_empty(kernel: Any) -> None:
    string = kernel.text(b"\xcc" * 8)
    kernel.call("RtlInitUnicodeString", string, 0)
    assert _fields(kernel, string) == (0, 0, 0)


def test_a_copy_is_cut_to_the_room_and_terminated_where_that_fits(kernel: Any) -> None:
    exact, roomy = _empty(kernel, 4), _empty(kernel, 16)
    kernel.call("RtlCopyUnicodeString", exact, kernel.unicode("abc"))
    kernel.call("RtlCopyUnicodeString", roomy, kernel.unicode("abc"))
    assert _buffer(kernel, exact, 6) == "ab".encode("utf-16-le") + b"\xcc\xcc"
    assert _buffer(kernel, roomy, 8) == "abc\0".encode("utf-16-le")
    kernel.call("RtlCopyUnicodeString", roomy, 0)
    assert _fields(kernel, roomy)[0] == 0


def test_appending_wants_room_for_all_of_it(kernel: Any) -> None:
    string = _empty(kernel, 10)
    assert kernel.call("RtlAppendUnicodeToString", string, _wide(kernel, "abc")) == 0
    assert kernel.call("RtlAppendUnicodeStringToString", string, kernel.unicode("def")) == TOO_SMALL
    assert _text(kernel, string) == "abc"
    assert kernel.call("RtlAppendUnicodeStringToString", string, kernel.unicode("de")) == 0
    assert _text(kernel, string) == "abcde"


# -- compared --


@pytest.mark.parametrize(
    ("left", "right", "ignores_case", "sign"),
    [("abc", "abd", 0, -1), ("ABC", "abc", 0, -1), ("ABC", "abc", 1, 0), ("äb", "ÄB", 1, 0), ("ab", "a", 1, 1)],
)
def test_comparison_tells_which_string_comes_first(
    kernel: Any, left: str, right: str, ignores_case: int, sign: int
) -> None:
    strings = kernel.unicode(left), kernel.unicode(right)
    result = kernel.call("RtlCompareUnicodeString", *strings, ignores_case)
    result -= (result & 0x80000000) << 1
    assert (result > 0) - (result < 0) == sign
    assert kernel.call("RtlEqualUnicodeString", *strings, ignores_case) == (sign == 0)


def test_prefix_and_suffix_look_at_the_first_string_as_the_part(kernel: Any) -> None:
    whole = kernel.unicode("\\Device\\Disk")
    assert kernel.call("RtlPrefixUnicodeString", kernel.unicode("\\DEVICE"), whole, 1) == 1
    assert kernel.call("RtlPrefixUnicodeString", kernel.unicode("\\DEVICE"), whole, 0) == 0
    assert kernel.call("RtlPrefixUnicodeString", whole, kernel.unicode("\\Device"), 0) == 0
    assert kernel.call("RtlSuffixUnicodeString", kernel.unicode("disk"), whole, 1) == 1


def test_the_hash_is_x65599(kernel: Any) -> None:
    out, value = kernel.text(bytes(4)), 0
    for character in "ABC":
        value = (value * 65599 + ord(character)) % 2**32
    assert kernel.call("RtlHashUnicodeString", kernel.unicode("abc"), 1, 0, out) == 0
    assert _u32(kernel, out) == value
    assert kernel.call("RtlHashUnicodeString", kernel.unicode("abc"), 1, 2, out) == INVALID


def test_case_maps_character_by_character(kernel: Any) -> None:
    string = _empty(kernel, 32)
    assert kernel.call("RtlUpcaseUnicodeString", string, kernel.unicode("straße éÿ"), 0) == 0
    assert _text(kernel, string) == "STRAßE ÉŸ"
    assert kernel.call("RtlDowncaseUnicodeChar", ord("Ω")) == ord("ω")


# -- strings that own their buffers --


def test_allocated_text_is_freed_once(kernel: Any) -> None:
    string = kernel.text(bytes(8))
    assert kernel.call("RtlAnsiStringToUnicodeString", string, _ansi(kernel, b"abc"), 1) == 0
    buffer = _fields(kernel, string)[2]
    assert kernel.host.read(buffer, 8) == "abc\0".encode("utf-16-le")
    kernel.call("RtlFreeUnicodeString", string)
    assert _fields(kernel, string) == (0, 0, 0)
    kernel.call("ExFreePool", buffer)
    assert "freed before" in next(iter(kernel.state.records.notes))


def test_allocation_can_fail(kernel: Any) -> None:
    string = kernel.text(bytes(8))
    source = kernel.FAILURE
    assert kernel.call("RtlUnicodeStringToAnsiString", string, kernel.unicode("a"), 1, source=source) == NO_MEMORY
    assert kernel.call("RtlCreateUnicodeString", string, _wide(kernel, "a"), source=source) == 0
    assert _fields(kernel, string) == (0, 0, 0)


def test_what_no_unicode_string_may_be_is_invalid(kernel: Any) -> None:
    good = kernel.unicode("abc")
    assert kernel.call("RtlValidateUnicodeString", 0, good) == 0
    assert kernel.call("RtlValidateUnicodeString", 1, good) == INVALID
    for fields in ((3, 8, good), (8, 6, good), (2, 2, 0)):
        assert kernel.call("RtlValidateUnicodeString", 0, kernel.text(struct.pack("<HHI", *fields))) == INVALID


# -- converted --


def test_narrow_text_is_code_page_1252_and_the_oem_text_437(kernel: Any) -> None:
    ansi, oem = _empty(kernel, 8), _empty(kernel, 8)
    kernel.call("RtlUnicodeStringToAnsiString", ansi, kernel.unicode("ä€Ж"), 0)
    kernel.call("RtlUpcaseUnicodeStringToOemString", oem, kernel.unicode("ä"), 0)
    assert _buffer(kernel, ansi, 4) == "ä€".encode("cp1252") + b"?\0"
    assert _buffer(kernel, oem, 2) == "Ä".encode("cp437") + b"\0"


def test_text_without_room_overflows(kernel: Any) -> None:
    wide, narrow = _empty(kernel, 6), _empty(kernel, 3)
    assert kernel.call("RtlAnsiStringToUnicodeString", wide, _ansi(kernel, b"abc"), 0) == OVERFLOW
    assert kernel.call("RtlUnicodeStringToAnsiString", narrow, kernel.unicode("abc"), 0) == OVERFLOW
    assert _buffer(kernel, narrow, 3) == b"ab\0"


def test_buffers_are_converted_as_far_as_they_go(kernel: Any) -> None:
    out, written = kernel.text(b"\xcc" * 8), kernel.text(bytes(4))
    assert kernel.call("RtlMultiByteToUnicodeN", out, 5, written, kernel.text(b"abc"), 3) == 0
    assert kernel.host.read(out, 5) == "ab".encode("utf-16-le") + b"\xcc"
    assert _u32(kernel, written) == 4
    assert kernel.call("RtlxAnsiStringToUnicodeSize", _ansi(kernel, b"abc")) == 8


def test_utf8_tells_sizes_and_what_is_not_well_formed(kernel: Any) -> None:
    text, size = "aä€😀", kernel.text(bytes(4))
    data = text.encode()
    assert kernel.call("RtlUTF8ToUnicodeN", 0, 0, size, kernel.text(data), len(data)) == 0
    assert _u32(kernel, size) == len(text.encode("utf-16-le"))
    out = kernel.text(bytes(64))
    assert kernel.call("RtlUTF8ToUnicodeN", out, 64, size, kernel.text(b"a\xff"), 2) == SOME_NOT_MAPPED
    assert kernel.host.read(out, 4).decode("utf-16-le") == "a\ufffd"
    wide = text.encode("utf-16-le")
    assert kernel.call("RtlUnicodeToUTF8N", out, 5, size, kernel.text(wide), len(wide)) == TOO_SMALL
    assert kernel.host.read(out, _u32(kernel, size)).decode() == "aä"


# -- numbers --


@pytest.mark.parametrize(
    ("text", "base", "value"),
    [("42", 10, 42), (" -1", 10, 0xFFFFFFFF), ("0x1fZ", 0, 0x1F), ("0b101", 0, 5), ("0o17", 0, 0o17), ("ff", 16, 255),
     ("", 10, 0), ("9", 8, 0), ("4294967297", 10, 1)],
)  # fmt: skip
def test_a_number_ends_at_the_first_character_that_is_no_digit(kernel: Any, text: str, base: int, value: int) -> None:
    out = kernel.text(b"\xcc" * 4)
    assert kernel.call("RtlUnicodeStringToInteger", kernel.unicode(text), base, out) == 0
    assert _u32(kernel, out) == value


def test_bases_are_2_8_10_and_16(kernel: Any) -> None:
    out, string = kernel.text(bytes(4)), _empty(kernel, 64)
    assert kernel.call("RtlUnicodeStringToInteger", kernel.unicode("1"), 7, out) == INVALID
    assert kernel.call("RtlIntegerToUnicodeString", 1, 7, string) == INVALID
    for base, text in ((0, "48879"), (2, f"{0xBEEF:b}"), (8, f"{0xBEEF:o}"), (10, "48879"), (16, "BEEF")):
        assert kernel.call("RtlIntegerToUnicodeString", 0xBEEF, base, string) == 0
        assert _text(kernel, string) == text
    assert kernel.call("RtlInt64ToUnicodeString", 0, 1, 10, string) == 0
    assert _text(kernel, string) == str(2**32)
    assert kernel.call("RtlIntegerToUnicodeString", 0xBEEF, 10, _empty(kernel, 8)) == OVERFLOW


def test_guids_go_there_and_back(kernel: Any) -> None:
    guid = uuid.UUID("1f3c0c90-5e0a-4b0b-9f0e-8d6c0a5b4c3d")
    string, out = kernel.text(bytes(8)), kernel.text(bytes(16))
    assert kernel.call("RtlStringFromGUID", kernel.text(guid.bytes_le), string) == 0
    assert _text(kernel, string) == "{1F3C0C90-5E0A-4B0B-9F0E-8D6C0A5B4C3D}"
    assert kernel.call("RtlGUIDFromString", string, out) == 0
    assert kernel.host.read(out, 16) == guid.bytes_le
    assert kernel.call("RtlGUIDFromString", kernel.unicode(str(guid)), out) == INVALID
