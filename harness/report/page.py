"""Where a report in text will be read: its width and whether it may be coloured."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

PIPED_WIDTH = 80
"""Columns of a report that no terminal shows."""


@dataclass(frozen=True, slots=True)
class Page:
    """The reader's page: `width` in columns, `color` whether ANSI escapes may be written."""

    width: int = PIPED_WIDTH
    color: bool = False


def to_text(renderables: list[RenderableType], page: Page) -> str:
    """Return rich renderables as text, without trailing blanks.

    The renderables are laid out for `page.width` already: nothing is folded or cut here, so that a name
    that is wider than the page still stays in one piece.
    """
    from rich.console import Console

    stream = io.StringIO()
    console = Console(
        file=stream,
        width=1 << 16,
        force_terminal=page.color,
        color_system="standard" if page.color else None,
        no_color=not page.color,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for renderable in renderables:
        console.print(renderable, soft_wrap=True)
    return "".join(line.rstrip() + "\n" for line in stream.getvalue().splitlines())
