"""The printf family and DbgPrint: directives as Python's own % formats them, Microsoft's extensions, and room."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.api.debug import MAX_MESSAGES, DebugOutput
from stackemu.emu.kernel.call import Raised

FAILED = 0xFFFFFFFF
TRUNCATE = 0xFFFFFFFF
IRQL = 0xFFDFF024


def _narrow(kernel: Any, text: str) -> int:
    return int(kernel.text(text.encode("cp1252") + b"\0"))


def _wide(kernel: Any, text: str) -> int:
    return int(kernel.text((text + "\0").encode("utf-16-le")))


def _formatted(kernel: Any, template: str, *words: int) -> str:
    buffer = kernel.text(bytes(0x400))
    size = kernel.call("sprintf", buffer, _narrow(kernel, template), *words)
    return str(kernel.host.read(buffer, size).decode("cp1252"))


@pytest.mark.parametrize(
    ("template", "value"),
    [("%d", -5), ("%i|", 7), ("%5d|", -42), ("%-5d|", 42), ("%05d", -42), ("%+d", 3), ("% d", 3), ("%.3d", 7),
     ("%8.3d|", -7), ("%x", 0xBEEF), ("%X", 0xBEEF), ("%#x", 0xBEEF), ("%08X", 0xBEEF), ("%#010x", 0xBEEF),
     ("%c%%", 65), ("%-3c|", 65), ("no directive %%", 0)],
)  # fmt: skip
def test_directives_that_python_shares(kernel: Any, template: str, value: int) -> None:
    expected = template % value if template.replace("%%", "").count("%") else template % ()
    assert _formatted(kernel, template, value) == expected


@pytest.mark.parametrize(
    ("template", "words", "expected"),
    [("%u", [0xFFFFFFFF], "4294967295"), ("%hd", [0xFFFF8000], "-32768"), ("%hu", [0x12345], "9029"),
     ("%p", [0xBEEF], "0000BEEF"), ("%o", [8], "10"), ("%lu", [7], "7"), ("%x", [0xFFFFFFFF], "ffffffff"),
     ("%I64d", [0xFFFFFFFF, 0xFFFFFFFF], "-1"), ("%I64x %d", [0x89ABCDEF, 0x1234567, 5], "123456789abcdef 5"),
     ("%llu", [0, 1], "4294967296"), ("%I32u", [1], "1"), ("%*d|", [4, 7], "   7|"), ("%-*d|", [4, 7], "7   |"),
     ("%*d|", [0xFFFFFFFC, 7], "7   |"), ("%.*x", [4, 0xAB], "00ab"), ("%.0d|", [0], "|"), ("%s", [0], "(null)"),
     ("%Z", [0], "(null)"), ("%.3s", [0], "(nu"), ("%d%%", [50], "50%")],
)  # fmt: skip
def test_directives_of_the_c_language_and_of_microsoft(
    kernel: Any, template: str, words: list[int], expected: str
) -> None:
    assert _formatted(kernel, template, *words) == expected


def test_text_of_both_kinds(kernel: Any) -> None:
    narrow, wide, counted = _narrow(kernel, "näh"), _wide(kernel, "wéit"), kernel.unicode("counted")
    ansi = kernel.text(struct.pack("<HHI", 2, 2, narrow))
    words = (narrow, wide, wide, wide, narrow, counted, ansi)
    assert _formatted(kernel, "%s %S %ws %ls %hs %wZ %Z", *words) == "näh wéit wéit wéit näh counted nä"
    assert _formatted(kernel, "%6.2s|%-5.1ws|", narrow, wide) == "    nä|w    |"
    buffer = kernel.text(bytes(0x100))
    size = kernel.call("swprintf", buffer, _wide(kernel, "%s %S %ws %hs %wZ"), wide, narrow, wide, narrow, counted)
    assert kernel.host.read(buffer, 2 * size).decode("utf-16-le") == "wéit näh wéit näh counted"


def test_a_precision_bounds_what_is_read(kernel: Any) -> None:
    at_the_end = 0xFFFFFFFC
    kernel.host.write(at_the_end, b"abcd")
    assert _formatted(kernel, "%.4s", at_the_end) == "abcd"


def test_lists_of_arguments_are_read_from_memory(kernel: Any) -> None:
    arguments = kernel.text(struct.pack("<IQI", 7, 1 << 40, _narrow(kernel, "end")))
    buffer = kernel.text(bytes(64))
    kernel.call("_vsnprintf", buffer, 64, _narrow(kernel, "%d %I64u %s"), arguments)
    assert kernel.context().terminated(buffer).decode() == f"7 {1 << 40} end"


@pytest.mark.parametrize(
    ("name", "sizes", "result", "content"),
    [("_snprintf", [6], 5, b"12345\0\xcc\xcc"), ("_snprintf", [5], 5, b"12345\xcc\xcc\xcc"),
     ("_snprintf", [4], FAILED, b"1234\xcc\xcc\xcc\xcc"), ("sprintf_s", [6], 5, b"12345\0\xcc\xcc"),
     ("sprintf_s", [5], FAILED, b"\0\xcc"), ("_snprintf_s", [8, 3], FAILED, b"123\0\xcc"),
     ("_snprintf_s", [8, TRUNCATE], 5, b"12345\0"), ("_snprintf_s", [4, TRUNCATE], FAILED, b"123\0\xcc"),
     ("_snprintf_s", [4, 5], FAILED, b"\0\xcc")],
)  # fmt: skip
def test_what_has_no_room(kernel: Any, name: str, sizes: list[int], result: int, content: bytes) -> None:
    buffer = kernel.text(b"\xcc" * 16)
    assert kernel.call(name, buffer, *sizes, _narrow(kernel, "%d"), 12345) == result
    assert kernel.host.read(buffer, len(content)) == content


def test_a_size_in_characters_holds_for_wide_text(kernel: Any) -> None:
    buffer = kernel.text(b"\xcc" * 16)
    assert kernel.call("_snwprintf", buffer, 3, _wide(kernel, "%d"), 12) == 2
    assert kernel.host.read(buffer, 8) == "12\0".encode("utf-16-le") + b"\xcc\xcc"


def test_output_is_bounded(kernel: Any) -> None:
    assert len(_formatted(kernel, "%*d" * 14, *(0x7FFFFFFF, 1) * 14)) <= 0x8000


# -- the debugger's side --


def test_messages_are_kept_up_to_512_bytes(kernel: Any) -> None:
    assert kernel.call("DbgPrint", _narrow(kernel, "%s=%x\n"), _narrow(kernel, "a"), 10) == 0
    assert kernel.call("DbgPrintEx", 77, 3, _narrow(kernel, "%1000d"), 1) == 0
    arguments = kernel.text(struct.pack("<I", 5))
    kernel.call("vDbgPrintExWithPrefix", _narrow(kernel, "p:"), 77, 3, _narrow(kernel, "%d"), arguments)
    assert kernel.state.of(DebugOutput).messages == ["a=a\n", " " * 512, "p:5"]


def test_messages_do_not_pile_up_without_end(kernel: Any) -> None:
    kernel.state.of(DebugOutput).messages = ["x"] * MAX_MESSAGES
    kernel.call("DbgPrint", _narrow(kernel, "one more"))
    assert len(kernel.state.of(DebugOutput).messages) == MAX_MESSAGES
    assert kernel.state.of(DebugOutput).dropped == 1


def test_unicode_may_be_printed_at_passive_level_only(kernel: Any) -> None:
    kernel.call("DbgPrint", _narrow(kernel, "%wZ"), kernel.unicode("a"))
    assert not kernel.state.records.notes
    kernel.host.write(IRQL, b"\x02")
    kernel.call("DbgPrint", _narrow(kernel, "%s"), _narrow(kernel, "a"))
    assert not kernel.state.records.notes
    kernel.call("DbgPrint", _narrow(kernel, "%wZ"), kernel.unicode("a"))
    assert "DbgPrint: Unicode" in next(iter(kernel.state.records.notes))


def test_assertions_are_noted_and_breakpoints_raised(kernel: Any) -> None:
    kernel.call("RtlAssert", _narrow(kernel, "a == b"), _narrow(kernel, "x.c"), 12, 0)
    assert list(kernel.state.records.notes) == ["RtlAssert: a == b does not hold (x.c, line 12)"]
    with pytest.raises(Raised) as raised:
        kernel.call("DbgBreakPoint")
    assert raised.value.status == 0x80000003


def test_a_print_callback_is_a_root_that_is_shown_a_message(kernel: Any) -> None:
    kernel.call("DbgSetDebugPrintCallback", 0xA5DE1100, 1)
    (root,) = kernel.roots
    string, component, _level = kernel.arguments(root).stack
    assert kernel.context().counted(string).endswith(b"\n")
    assert component == 77
