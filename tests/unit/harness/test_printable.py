"""Text from untrusted files: what could move the cursor or break a line becomes a backslash escape."""

from __future__ import annotations

import pytest

from stackemu.harness.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("PtCreate", "PtCreate"),
        ("Größe と 大きさ", "Größe と 大きさ"),
        ("?dtor$1@?0?Foo <a, b>", "?dtor$1@?0?Foo <a, b>"),
        ("", ""),
        ("two\nlines\r\ttab", r"two\nlines\r\ttab"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("bell\x07 c1\x9b0m", r"bell\x07 c1\x9b0m"),
        ("nul\0", r"nul\x00"),
        # right-to-left override, zero-width space, line separator
        ("abc\u202ecba", r"abc\u202ecba"),
        ("a\u200bb\u2028c", r"a\u200bb\u2028c"),
        # what UTF-8 cannot hold
        ("na\udc80me", r"na\udc80me"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_printable_stays_so() -> None:
    once = printable("\x1b]0;title\x07")
    assert printable(once) == once
    assert once.isprintable()
