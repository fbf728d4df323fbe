"""What a campaign came to, for people and as JSON: the deepest chains first, with what repeats them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec
from rich.console import RenderableType
from rich.text import Text

from stackemu.harness.fuzz.progress import Crash, Progress, Standing
from stackemu.harness.fuzz.status import status_line
from stackemu.harness.printable import printable
from stackemu.harness.report.chain import fold
from stackemu.harness.report.page import Page, to_text
from stackemu.harness.report.roots import STACK_SIZE
from stackemu.harness.report.table import MINIMUM_TEXT_WIDTH, indented, plain_table

SCHEMA = "stackemu.campaign-result/1"
SHOWN_CRASHES = 5
"""Crashes that a short report lists."""
COLUMNS = ("depth", "of 12 KiB", "own", "input")
_RETURNED = "returned"


def render(
    standings: Sequence[Standing],
    crashes: Sequence[Crash],
    progress: Progress,
    page: Page,
    *,
    top: int | None = None,
    verbose: bool = False,
) -> str:
    """Return the table of functions, the deepest first, then the command that repeats the first, and crashes.

    `verbose` adds the command to each function, and all crashes.
    """
    rows = standings[:top]
    cells = [_figures(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *cells, strict=True)]
    room = max(page.width - sum(widths) - 2 * len(widths), MINIMUM_TEXT_WIDTH)
    table = plain_table(COLUMNS, ["function > deepest chain"])
    for row, texts in zip(rows, cells, strict=True):
        table.add_row(*texts, _function_cell(row, room, verbose))
    lines = [status_line(progress), *_hints(rows, len(standings), verbose), *_crash_lines(crashes, verbose)]
    parts: list[RenderableType] = [table, Text(), *(Text(line) for line in lines)]
    return to_text(parts, page)


def to_json(standings: Sequence[Standing], crashes: Sequence[Crash], progress: Progress) -> bytes:
    """Return the same as JSON: sizes and depths in bytes, times in seconds."""
    document = {
        "schema": SCHEMA,
        "progress": progress,
        "functions": [_record(one) for one in standings],
        "crashes": [
            {"kind": one.kind, "function": one.function, "why": one.why, "witness": _path(one.witness)}
            for one in crashes
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _record(one: Standing) -> dict[str, object]:
    return {
        "name": one.function,
        "rva": one.rva,
        "root": one.role,
        "own": one.own,
        "depth": one.depth,
        "outcome": one.outcome,
        "chain": [{"function": name, "bytes": size} for name, size in one.chain],
        "before": one.before,
        "input_size": one.input_size,
        "witness": _path(one.witness),
    }


def _path(path: object) -> str | None:
    return str(path) if path is not None else None


def _figures(row: Standing) -> tuple[str, str, str, str]:
    mark = "" if row.outcome == _RETURNED else ">="
    return f"{mark}{row.depth}", f"{100 * row.depth / STACK_SIZE:.1f} %", str(row.own), str(row.input_size)


def _function_cell(row: Standing, width: int, verbose: bool) -> Text:
    names = [name for name, _ in row.chain]
    frames = [f"{printable(name)} {size}" for name, size in row.chain]
    links = frames if names[:1] == [row.function] else [printable(row.function), *frames]
    details = []
    if row.role is not None:
        details.append(f"root: {row.role}")
    if row.before:
        details.append(f"after: {', '.join(row.before)}")
    if row.outcome != _RETURNED:
        details.append(f"outcome: {row.outcome}")
    lines = [*fold(links, width), *indented(details, width)]
    if verbose and row.witness is not None:
        lines.append(f"  {_command(row)}")
    first, *rest = lines
    return Text("\n").join([Text(first), *(Text(line, style="dim") for line in rest)])


def _command(row: Standing) -> str:
    return printable(f"stackemu replay {shlex.quote(str(row.witness))}")


def _hints(rows: Sequence[Standing], total: int, verbose: bool) -> list[str]:
    hints = []
    if len(rows) < total:
        hints.append(f"{total - len(rows)} more functions; --top shows the first {len(rows)} only")
    if rows and rows[0].witness is None:
        hints.append("nothing is kept: --corpus DIR keeps what repeats these runs, and lets a campaign go on")
    elif rows and not verbose:
        hints.append(f"the deepest once more: {_command(rows[0])} --trace")
    return hints


def _crash_lines(crashes: Sequence[Crash], verbose: bool) -> list[str]:
    shown = crashes if verbose else crashes[:SHOWN_CRASHES]
    lines = []
    for one in shown:
        why = f": {one.why}" if one.why else ""
        lines.append(printable(f"{one.kind} in {one.function}{why}"))
        if one.witness is not None:
            lines.append(printable(f"  stackemu replay {shlex.quote(str(one.witness))}"))
    if len(shown) < len(crashes):
        lines.append(f"and {len(crashes) - len(shown)} more crashes; -v shows them")
    return lines
