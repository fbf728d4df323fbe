"""The C runtime's exports: memory, strings, numbers, sorting, as the C language and Microsoft's reference say."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest

COMPARE = 0xA5DE1100
EINVAL, ERANGE, TRUNCATED = 22, 34, 80
TRUNCATE = 0xFFFFFFFF


class Kind:
    """Narrow or wide text."""

    def __init__(self, prefix: str, unit: int) -> None:
        self.prefix, self.unit = prefix, unit
        self.codec = "latin-1" if unit == 1 else "utf-16-le"

    def text(self, kernel: Any, text: str, room: int = 0) -> int:
        data = f"{text}\0".encode(self.codec)
        return int(kernel.text(data + b"\xcc" * (room * self.unit)))

    def read(self, kernel: Any, address: int) -> str:
        return str(kernel.context().terminated(address, self.unit).decode(self.codec))

    def raw(self, kernel: Any, address: int, count: int) -> str:
        return str(kernel.host.read(address, count * self.unit).decode(self.codec))

    def call(self, kernel: Any, name: str, *arguments: int) -> int:
        return int(kernel.call(name.replace("str", self.prefix, 1), *arguments))


@pytest.fixture(params=[("str", 1), ("wcs", 2)], ids=["narrow", "wide"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(*request.param)


# -- memory --


def test_the_arguments_of_fills(kernel: Any) -> None:
    block = kernel.text(bytes(8))
    assert kernel.call("memset", block, 0x1AB, 4) == block
    kernel.call("RtlFillMemory", block + 4, 2, 0xCD)
    assert kernel.host.read(block, 8) == b"\xab\xab\xab\xab\xcd\xcd\0\0"
    kernel.call("RtlFillMemoryUlong", block, 8, 0x01020304)
    assert kernel.host.read(block, 8) == b"\4\3\2\1" * 2
    assert kernel.call("RtlCompareMemoryUlong", block, 8, 0x01020304) == 8
    kernel.call("RtlZeroMemory", block, 3)
    assert kernel.call("RtlCompareMemory", block, kernel.text(bytes(8)), 8) == 3


def test_overlapping_memory_moves_whole(kernel: Any) -> None:
    block = kernel.text(b"abcdef")
    kernel.call("memmove", block + 1, block, 5)
    assert kernel.host.read(block, 6) == b"aabcde"


def test_secure_copies_clear_what_is_too_small(kernel: Any) -> None:
    block = kernel.text(b"\xcc" * 4)
    assert kernel.call("memcpy_s", block, 4, kernel.text(b"abcdef"), 6) == ERANGE
    assert kernel.host.read(block, 4) == bytes(4)


def test_the_checksum_is_crc32_and_can_be_carried_on(kernel: Any) -> None:
    first = kernel.call("RtlComputeCrc32", 0, kernel.text(b"12345"), 5)
    assert kernel.call("RtlComputeCrc32", first, kernel.text(b"6789"), 4) == zlib.crc32(b"123456789")


# -- strings --


def test_lengths_searches_and_spans(kernel: Any, kind: Kind) -> None:
    text = kind.text(kernel, "passthrough")
    assert kind.call(kernel, "strlen", text) == 11
    assert kind.call(kernel, "strnlen", text, 4) == 4
    assert kind.call(kernel, "strchr", text, ord("t")) == text + 4 * kind.unit
    assert kind.call(kernel, "strrchr", text, ord("h")) == text + 10 * kind.unit
    assert kind.call(kernel, "strchr", text, 0) == text + 11 * kind.unit
    assert kind.call(kernel, "strchr", text, ord("z")) == 0
    assert kind.call(kernel, "strstr", text, kind.text(kernel, "thr")) == text + 4 * kind.unit
    assert kind.call(kernel, "strspn", text, kind.text(kernel, "pas")) == 4
    assert kind.call(kernel, "strcspn", text, kind.text(kernel, "ro")) == 6


@pytest.mark.parametrize(
    ("name", "left", "right", "count", "sign"),
    [("strcmp", "a", "b", 0, -1), ("strcmp", "ab", "a", 0, 1), ("strcmp", "a", "é", 0, -1),
     ("strncmp", "abX", "abY", 2, 0), ("_stricmp", "ABC", "abd", 0, -1), ("_strnicmp", "ABx", "aby", 2, 0)],
)  # fmt: skip
def test_comparisons(kernel: Any, kind: Kind, name: str, left: str, right: str, count: int, sign: int) -> None:
    result = kind.call(kernel, name, kind.text(kernel, left), kind.text(kernel, right), count)
    result -= (result & 0x80000000) << 1
    assert (result > 0) - (result < 0) == sign


def test_copies_and_joins(kernel: Any, kind: Kind) -> None:
    buffer = kind.text(kernel, "", room=16)
    assert kind.call(kernel, "strcpy", buffer, kind.text(kernel, "abc")) == buffer
    kind.call(kernel, "strcat", buffer, kind.text(kernel, "def"))
    kind.call(kernel, "strncat", buffer, kind.text(kernel, "ghi"), 2)
    assert kind.read(kernel, buffer) == "abcdefgh"
    kind.call(kernel, "strncpy", buffer, kind.text(kernel, "xyz"), 2)
    assert kind.read(kernel, buffer) == "xycdefgh"
    kind.call(kernel, "strncpy", buffer, kind.text(kernel, "xyz"), 6)
    assert kind.raw(kernel, buffer, 8) == "xyz\0\0\0gh"


@pytest.mark.parametrize(
    ("name", "size", "count", "error", "result"),
    [("strcpy_s", 4, 0, 0, "xyz"), ("strcpy_s", 3, 0, ERANGE, ""), ("strcpy_s", 0, 0, EINVAL, "ab"),
     ("strncpy_s", 3, 2, 0, "xy"), ("strncpy_s", 3, TRUNCATE, TRUNCATED, "xy"), ("strcat_s", 6, 0, 0, "abxyz"),
     ("strcat_s", 5, 0, ERANGE, ""), ("strncat_s", 4, 1, 0, "abx"), ("strncat_s", 4, TRUNCATE, TRUNCATED, "abx")],
)  # fmt: skip
def test_secure_functions_empty_what_is_too_small(
    kernel: Any, kind: Kind, name: str, size: int, count: int, error: int, result: str
) -> None:
    buffer = kind.text(kernel, "ab", room=8)
    assert kind.call(kernel, name, buffer, size, kind.text(kernel, "xyz"), count) == error
    assert kind.read(kernel, buffer) == result


def test_tokens_are_cut_out_in_place(kernel: Any, kind: Kind) -> None:
    text, delimiters, state = kind.text(kernel, ",a,,bc,"), kind.text(kernel, ","), kernel.text(bytes(4))
    tokens = []
    token = kind.call(kernel, "strtok_s", text, delimiters, state)
    while token:
        tokens.append(kind.read(kernel, token))
        token = kind.call(kernel, "strtok_s", 0, delimiters, state)
    assert tokens == ["a", "bc"]


def test_changes_in_place(kernel: Any, kind: Kind) -> None:
    text = kind.text(kernel, "aBc")
    for name, arguments, expected in (("_strupr", (), "ABC"), ("_strlwr", (), "abc"), ("_strrev", (), "cba"),
                                      ("_strnset", (ord("x"), 2), "xxa")):  # fmt: skip
        assert kind.call(kernel, name, text, *arguments) == text
        assert kind.read(kernel, text) == expected


# -- numbers and characters --


@pytest.mark.parametrize(
    ("text", "base", "value", "used"),
    [(" -12x", 10, -12, 4), ("0x1F", 16, 31, 4), ("0x1F", 0, 31, 4), ("017", 0, 15, 3), ("zz", 36, 35 * 37, 2),
     ("none", 10, 0, 0), ("0xg", 0, 0, 1), ("99999999999", 10, 0xFFFFFFFF, 11)],
)  # fmt: skip
def test_strtoul_tells_the_end_and_clips(
    kernel: Any, kind: Kind, text: str, base: int, value: int, used: int
) -> None:
    address, end = kind.text(kernel, text), kernel.text(bytes(4))
    assert kind.call(kernel, "strtoul", address, end, base) == value & 0xFFFFFFFF
    assert struct.unpack("<I", kernel.host.read(end, 4))[0] - address == used * kind.unit


def test_text_to_numbers_of_64_bits(kernel: Any) -> None:
    assert kernel.call64("_strtoui64", kernel.text(b"1234567890123\0"), 0, 10) == 1234567890123
    assert kernel.call("atoi", kernel.text(b"-5\0")) == 0xFFFFFFFB


def test_numbers_to_text(kernel: Any) -> None:
    buffer = kernel.text(bytes(40))
    for name, arguments, expected in (
        ("_itoa", (-5 & 0xFFFFFFFF, buffer, 10), b"-5\0"),
        ("_itoa", (-5 & 0xFFFFFFFF, buffer, 16), b"fffffffb\0"),
        ("_itow", (42, buffer, 2), "101010\0".encode("utf-16-le")),
        ("_ui64toa_s", (0, 1, buffer, 40, 10), b"4294967296\0"),
        ("_itoa_s", (123, buffer, 3, 10), b"\0"),
    ):
        result = kernel.call(name, *arguments)
        assert kernel.host.read(buffer, len(expected)) == expected
        assert result == (buffer if not name.endswith("_s") else ERANGE if expected == b"\0" else 0)


def test_classes_and_case_are_those_of_ascii(kernel: Any) -> None:
    for code in range(128):
        character = chr(code)
        assert bool(kernel.call("isdigit", code)) == character.isdigit()
        assert bool(kernel.call("isspace", code)) == (character in " \t\n\v\f\r")
        assert bool(kernel.call("isprint", code)) == character.isprintable()
        assert kernel.call("toupper", code) == ord(character.upper())
    assert kernel.call("towupper", ord("é")) == ord("É")


def test_random_numbers_repeat_with_the_seed(kernel: Any) -> None:
    kernel.call("srand", 1)
    assert [kernel.call("rand") for _ in range(3)] == [41, 18467, 6334]
    seed = kernel.text(struct.pack("<I", 5))
    assert len({kernel.call("RtlRandomEx", seed) for _ in range(10)}) == 10


# -- sorting --


def _compare(kernel: Any) -> None:
    def compare(first: int, second: int) -> int:
        a, b = (struct.unpack("<i", kernel.host.read(at, 4))[0] for at in (first, second))
        return (a > b) - (a < b) & 0xFFFFFFFF

    kernel.host.code[COMPARE] = compare


def test_qsort_sorts_by_the_drivers_function(kernel: Any) -> None:
    _compare(kernel)
    numbers = [5, -1, 3, 3, 100, -7, 0]
    base = kernel.text(struct.pack("<7i", *numbers))
    kernel.call("qsort", base, 7, 4, COMPARE)
    assert list(struct.unpack("<7i", kernel.host.read(base, 28))) == sorted(numbers)


def test_a_sort_of_absurd_length_ends(kernel: Any) -> None:
    kernel.host.code[COMPARE] = lambda first, second: 1
    kernel.call("qsort", kernel.text(bytes(64)), 0x7FFFFFFF, 4, COMPARE)
    assert len(kernel.host.invoked) < 10_000


def test_bsearch_finds_what_is_there(kernel: Any) -> None:
    _compare(kernel)
    base = kernel.text(struct.pack("<5i", -4, 0, 3, 9, 12))
    assert kernel.call("bsearch", kernel.text(struct.pack("<i", 9)), base, 5, 4, COMPARE) == base + 12
    assert kernel.call("bsearch", kernel.text(struct.pack("<i", 8)), base, 5, 4, COMPARE) == 0
