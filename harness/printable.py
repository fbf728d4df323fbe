"""Text from untrusted files made safe to print.

Names come from PDBs and images that nobody vouches for: a control character in one could move the cursor,
recolour the terminal or break a line-based format.
"""

from __future__ import annotations

import os
from pathlib import Path


def printable(text: str) -> str:
    """Return `text` with control, bidirectional and surrogate characters written as backslash escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def path_text(path: Path) -> str:
    """Return a path as text that can be encoded: bytes that are no UTF-8, which Python has as surrogates, escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
