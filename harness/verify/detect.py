"""Which format a source has, by its content, and its reading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from stackemu.emu.errors import InputError
from stackemu.emu.load_image import read_input
from stackemu.harness.verify import ace, c6262, earlier, kf, su
from stackemu.harness.verify.claim import Format, Source
from stackemu.harness.verify.text import MAX_SIZE, decode, lines_of


class Reader(Protocol):
    """A module that reads one format in text."""

    def recognise(self, text: str) -> bool:
        """Return whether `text` has the format, whole or damaged."""

    def read(self, lines: Sequence[str], where: str) -> Source:
        """Return what the lines say; raises `InputError` where they are damaged."""


MAX_CLAIMS = 200_000
"""Functions of a source; the largest drivers have some ten thousand."""
FORMATS: tuple[Reader, ...] = (ace, kf, c6262, su)
"""Formats in text. The first that recognises itself reads: marks that stand in the middle of logs come first."""


def read_source(path: Path) -> Source:
    """Return what the file at `path` says of functions' stack use.

    Raises:
        InputError: it cannot be read, has none of the formats, or is damaged.
    """
    where = str(path)
    data = read_input(path, MAX_SIZE)
    text = decode(data)
    if text is None:
        raise _unknown(where)
    if earlier.recognise(text):
        return earlier.read(text.encode("utf-8"), where)
    reader = next((one for one in FORMATS if one.recognise(text)), None)
    if reader is None:
        raise _unknown(where)
    source = reader.read(lines_of(text, where), where)
    if not source.claims:
        raise InputError(where, f"this {source.format.value} has no figure of any function")
    if len(source.claims) > MAX_CLAIMS:
        raise InputError(where, f"expected at most {MAX_CLAIMS} functions, got {len(source.claims)}")
    return source


def _unknown(where: str) -> InputError:
    known = ", ".join(one.value for one in Format)
    return InputError(where, "no format that is known", f"expected one of: {known}")
