"""A campaign on the whole terminal: how far it is, the deepest functions, and the last crashes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stackemu.harness.fuzz.progress import Crash, Progress, Standing
from stackemu.harness.fuzz.status import duration, news, status_line
from stackemu.harness.output import StatusLine
from stackemu.harness.printable import printable
from stackemu.harness.report.fuzz import links
from stackemu.harness.report.roots import STACK_SIZE

INTERVAL = 0.25
"""Seconds between two pictures."""
SHOWN_CRASHES = 5
_ABOVE = 9
"""Lines that stand above and between the tables."""
_BAR = 40


class LiveView:
    """Draws a campaign; leaves its last picture behind. Where there is no terminal, a status line stands in."""

    def __init__(self, driver: str, console: Console | None = None) -> None:
        """`driver` is the driver's name; draws on stderr unless there is another `console`."""
        self._driver = printable(driver)
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False)
        is_drawn = self._console.is_terminal and not self._console.is_dumb_terminal
        self._line = None if is_drawn else StatusLine()
        self._drawn = 0.0

    def __enter__(self) -> Self:
        """Take over the terminal's lower part."""
        (self._line or self._live).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        (self._line or self._live).__exit__(kind, error, trace)

    def show(self, progress: Progress, standings: Sequence[Standing], crashes: Sequence[Crash]) -> None:
        """Draw where the campaign stands, unless that was done a moment ago."""
        if self._line is not None:
            self._line.show(status_line(progress), news(progress))
            return
        now = time.monotonic()
        if now - self._drawn < INTERVAL:
            return
        self._drawn = now
        self._live.update(picture(self._driver, progress, standings, crashes, self._console.height), refresh=True)


def picture(
    driver: str, progress: Progress, standings: Sequence[Standing], crashes: Sequence[Crash], height: int
) -> RenderableType:
    """Return what is drawn: as many functions as there is room for, the deepest first, and the last crashes."""
    room = max(1, height - _ABOVE)
    latest = crashes[max(0, len(crashes) - min(SHOWN_CRASHES, room // 2)) :]
    parts: list[RenderableType] = [_header(driver, progress), Text(), _functions(standings[: room - len(latest)])]
    if latest:
        parts += [Text(), _crashes(latest)]
    return Group(*parts)


def _header(driver: str, progress: Progress) -> RenderableType:
    last = f"{duration(progress.last_find)} ago" if progress.last_find is not None else "never"
    table = Table.grid(padding=(0, 3))
    table.add_row(Text(driver, style="bold"), f"up {duration(progress.seconds)}", f"{progress.executions} executions")
    table.add_row(f"{progress.rate:.0f} exec/s", f"{progress.workers} at work", f"last find {last}")
    table.add_row(f"{progress.corpus} inputs", f"{progress.crashes} crashes", f"{progress.blocks_new} new blocks")
    bar = Table.grid(padding=(0, 2))
    share = f"{100 * progress.blocks_seen / progress.blocks:.1f} %" if progress.blocks else ""
    bar.add_row(
        ProgressBar(total=max(progress.blocks, 1), completed=progress.blocks_seen, width=_BAR),
        f"{progress.blocks_seen} of {progress.blocks} blocks {share}",
    )
    return Group(table, bar)


def _functions(standings: Sequence[Standing]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("depth", justify="right", no_wrap=True)
    table.add_column("of 12 KiB", justify="right", no_wrap=True)
    table.add_column("role")
    table.add_column("function > deepest chain")
    for one in standings:
        share = f"{100 * one.depth / STACK_SIZE:.1f} %"
        chain = " > ".join(links(one, shares=False))
        table.add_row(str(one.depth), share, _name(one.role or "-"), _name(chain))
    return table


def _crashes(crashes: Sequence[Crash]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("crash", no_wrap=True)
    table.add_column("in")
    table.add_column("why")
    for one in reversed(crashes):
        table.add_row(_name(one.kind), _name(one.function), _name(one.why))
    return table


def _name(text: str) -> Text:
    """Return a cell that is cut where the line is too short for it.

    It is a Text as rich takes [brackets] in a str for markup. The column must be one that may wrap, so that rich
    takes the room from it and not from the figures.
    """
    return Text(printable(text), no_wrap=True, overflow="ellipsis")
