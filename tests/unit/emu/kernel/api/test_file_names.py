"""Names of files: which expressions they are in, where they are legal, how paths come apart."""

from __future__ import annotations

import struct
from typing import Any

import pytest

IN_EXPRESSION = [
    # The rules of "Naming Files": `*` any characters, `?` exactly one.
    ("*", "anything", True),
    ("*.TXT", "A.TXT", True),
    ("*.TXT", "A.TXT.BAK", False),
    ("A?C", "ABC", True),
    ("A?C", "AC", False),
    ("A*B*C", "AXXBYYC", True),
    ("A*B*C", "AXXCYYB", False),
    ("ABC", "ABC", True),
    ("ABC", "ABCD", False),
    ("", "", True),
    ("*", "", False),
    # DOS_STAR: up to the final dot, which it takes.
    ("<.TXT", "A.B.TXT", True),
    ("<TXT", "A.TXT", True),
    ("<", "A.B", False),
    ("<", "AB", True),
    # DOS_QM: one character, or none before a dot and at the end.
    ("A>>.TXT", "AB.TXT", True),
    ("A>>.TXT", "ABC.TXT", True),
    ("A>>.TXT", "ABCD.TXT", False),
    ("A>>>", "A", True),
    (">", "AB", False),
    # DOS_DOT: a dot, or nothing at the end.
    ('A"', "A", True),
    ('A"B', "A.B", True),
    ('A"B', "AB", False),
    # What `dir *.*` becomes finds names without a dot too.
    ('<"*', "README", True),
    ('<"*', "A.B", True),
]


@pytest.mark.parametrize(("expression", "name", "expected"), IN_EXPRESSION)
def test_names_in_expressions(kernel: Any, expression: str, name: str, expected: bool) -> None:
    arguments = (kernel.unicode(expression), kernel.unicode(name), 0, 0)
    assert kernel.call("FsRtlIsNameInExpression", *arguments) == expected
    ansi = [kernel.text(_ansi(kernel, text.encode())) for text in (expression, name)]
    assert kernel.call("FsRtlIsDbcsInExpression", *ansi) == expected


def _ansi(kernel: Any, data: bytes) -> bytes:
    """A STRING: Length, MaximumLength, Buffer."""
    return struct.pack("<HHI", len(data), len(data), kernel.text(data) if data else 0)


def test_case_is_the_names_unless_the_expression_is_upcased_too(kernel: Any) -> None:
    lower, upper = kernel.unicode("*.t\xe4t"), kernel.unicode("*.T\xc4T")
    name = kernel.unicode("a.t\xe4t")
    assert kernel.call("FsRtlIsNameInExpression", upper, name, 1, 0) == 1
    assert kernel.call("FsRtlIsNameInExpression", lower, name, 1, 0) == 0  # the caller has to give it in upper case
    assert kernel.call("FsRtlIsNameInUnUpcasedExpression", lower, name, 1, 0) == 1
    assert kernel.call("FsRtlIsNameInExpression", upper, name, 0, 0) == 0


def test_an_upcase_table_decides_instead_of_the_systems(kernel: Any) -> None:
    table = kernel.text(struct.pack("<256H", *(ord("z") if unit == ord("a") else unit for unit in range(256))))
    assert kernel.call("FsRtlAreNamesEqual", kernel.unicode("az"), kernel.unicode("za"), 1, table) == 1
    assert kernel.call("FsRtlAreNamesEqual", kernel.unicode("az"), kernel.unicode("AZ"), 1, table) == 0
    assert kernel.call("FsRtlAreNamesEqual", kernel.unicode("az"), kernel.unicode("AZ"), 1, 0) == 1


@pytest.mark.parametrize(
    ("name", "wild", "path", "leading", "fat", "hpfs"),
    [
        (b"README.TXT", 0, 0, 0, True, True),
        (b"NINECHARS.TXT", 0, 0, 0, False, True),  # nine before the dot
        (b"A.HTML", 0, 0, 0, False, True),  # four behind it
        (b"A.B.C", 0, 0, 0, False, True),
        (b"NINECHARS", 0, 0, 0, False, True),
        (b".A", 0, 0, 0, False, True),
        (b"A .B", 0, 0, 0, False, True),
        (b"A ", 0, 0, 0, False, False),
        (b"A.", 0, 0, 0, True, False),
        (b"A+B", 0, 0, 0, False, True),
        (b"A:B", 0, 0, 0, False, False),
        (b"A?.*", 0, 0, 0, False, False),
        (b"A?.*", 1, 0, 0, True, True),
        (b"..", 0, 0, 0, False, False),
        (b"..", 1, 0, 0, True, True),
        (b"", 1, 1, 1, False, False),
        (b"\\A", 0, 0, 0, False, False),
        (b"\\A", 0, 0, 1, True, True),
        (b"\\", 0, 0, 1, True, True),
        (b"A\\B", 0, 0, 0, False, False),
        (b"A\\B", 0, 1, 0, True, True),
        (b"A\\\\B", 0, 1, 0, False, False),
        (b"\xe4\xf6", 0, 0, 0, True, True),
    ],
)
def test_legal_names(kernel: Any, name: bytes, wild: int, path: int, leading: int, fat: bool, hpfs: bool) -> None:
    words = struct.unpack("<II", _ansi(kernel, name))
    assert kernel.call("FsRtlIsFatDbcsLegal", *words, wild, path, leading) == fat
    assert kernel.call("FsRtlIsHpfsDbcsLegal", *words, wild, path, leading) == hpfs


@pytest.mark.parametrize(
    ("path", "first", "rest"),
    [
        ("\\A\\BC\\D", "A", "BC\\D"),
        ("A\\B", "A", "B"),
        ("\\A", "A", ""),
        ("A\\", "A", ""),
        ("", "", ""),
        ("\\\\A", "", "A"),
    ],
)
def test_paths_come_apart_at_their_first_component(kernel: Any, path: str, first: str, rest: str) -> None:
    words = struct.unpack("<II", kernel.host.read(kernel.unicode(path), 8))
    outs = kernel.text(b"\xee" * 8), kernel.text(b"\xee" * 8)
    kernel.call("FsRtlDissectName", *words, *outs)
    assert [kernel.context().unicode(out) for out in outs] == [first, rest]


def test_wild_cards_are_looked_for_in_the_last_component(kernel: Any) -> None:
    assert kernel.call("FsRtlDoesNameContainWildCards", kernel.unicode("\\A\\*.txt")) == 1
    assert kernel.call("FsRtlDoesNameContainWildCards", kernel.unicode("\\A*\\b.txt")) == 0
    assert kernel.call("FsRtlDoesDbcsContainWildCards", kernel.text(_ansi(kernel, b"a<"))) == 1


def test_dots_are_removed_from_paths(kernel: Any) -> None:
    path = "\\A\\.\\B\\..\\C".encode("utf-16-le")
    address, length = kernel.text(path), kernel.text(bytes(2))
    assert kernel.call("FsRtlRemoveDotsFromPath", address, len(path), length) == 0
    size = int.from_bytes(kernel.host.read(length, 2), "little")
    assert kernel.host.read(address, size).decode("utf-16-le") == "\\A\\C"
    above = "\\..\\A".encode("utf-16-le")
    assert kernel.call("FsRtlRemoveDotsFromPath", kernel.text(above), len(above), length) & 0xC0000000
