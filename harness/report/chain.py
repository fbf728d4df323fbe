"""A deepest chain as text, folded between frames and never inside a name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from stackemu.harness.printable import printable
from stackemu.harness.results import ChainFrame, FunctionResult

SHOWN_LINKS = 8
"""Frames of a chain that a short report shows; the middle of a longer one is counted, not listed."""


def links(function: FunctionResult, *, shares: bool = False) -> list[str]:
    """Return the function's name and then the frames below it in its deepest chain.

    Frames that repeat (recursion) are one link with a count. `shares` adds each frame's bytes.
    """
    chain = function.measured.chain if function.measured else ()
    if not chain or chain[0].function != function.name:
        return [printable(function.name), *_links(chain, shares)]
    return _links(chain, shares)


def path(frames: Sequence[ChainFrame]) -> str:
    """Return frames with their bytes in one line."""
    return " > ".join(_links(frames, True))


def _links(chain: Sequence[ChainFrame], shares: bool) -> list[str]:
    texts = []
    for text, group in groupby(_link(frame, shares) for frame in chain):
        count = sum(1 for _ in group)
        texts.append(text if count == 1 else f"{text} x{count}")
    return texts


def _link(frame: ChainFrame, share: bool) -> str:
    name = printable(frame.function)
    return f"{name} {frame.bytes}" if share else name


def shorten(texts: list[str]) -> list[str]:
    """Return `texts`, its middle replaced by a count when there are more than `SHOWN_LINKS`."""
    if len(texts) <= SHOWN_LINKS:
        return texts
    half = (SHOWN_LINKS - 1) // 2
    hidden = len(texts) - (SHOWN_LINKS - 1 - half) - half
    return [*texts[: SHOWN_LINKS - 1 - half], f"({hidden} more)", *texts[-half:]]


def fold(texts: Sequence[str], width: int) -> list[str]:
    """Return `A > B > C` as lines of at most `width` columns where the names allow it."""
    lines: list[str] = []
    current = ""
    for text in texts:
        if not current:
            current = text
        elif len(current) + len(" > ") + len(text) <= width:
            current += f" > {text}"
        else:
            lines.append(current)
            current = f"  > {text}"
    return [*lines, current]
