"""What a campaign came to, for people and as JSON: the deepest chains first, with what repeats them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import msgspec
from rich.console import RenderableType
from rich.text import Text

from stackemu.harness.fuzz.progress import Crash, Progress, Standing
from stackemu.harness.fuzz.status import status_line
from stackemu.harness.printable import path_text, printable
from stackemu.harness.report.chain import fold, shorten
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

    `verbose` adds the command to each function, and shows whole chains and all crashes.
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
    """Return the same as JSON, all figures integers: sizes and depths in bytes, times in whole seconds."""
    document = {
        "schema": SCHEMA,
        "progress": _progress(progress),
        "functions": [_record(one) for one in standings],
        "crashes": [
            {"kind": one.kind, "function": one.function, "why": one.why, "witness": _path(one.witness)}
            for one in crashes
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _progress(progress: Progress) -> dict[str, object]:
    last = progress.last_find
    return asdict(progress) | {
        "rate": round(progress.rate),
        "seconds": int(progress.seconds),
        "last_find": int(last) if last is not None else None,
    }


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


def _path(path: Path | None) -> str | None:
    return path_text(path) if path is not None else None


def _figures(row: Standing) -> tuple[str, str, str, str]:
    mark = "" if row.outcome == _RETURNED else ">="
    return f"{mark}{row.depth}", f"{100 * row.depth / STACK_SIZE:.1f} %", str(row.own), str(row.input_size)


def _function_cell(row: Standing, width: int, verbose: bool) -> Text:
    chain = links(row, shares=True)
    details = []
    if row.role is not None:
        details.append(f"root: {row.role}")
    if row.before:
        details.append(f"after: {', '.join(row.before)}")
    if row.outcome != _RETURNED:
        details.append(f"outcome: {row.outcome}")
    lines = [*fold(chain if verbose else shorten(chain), width), *indented(details, width)]
    if verbose and row.witness is not None:
        lines.append(f"  {_command(row.witness)}")
    first, *rest = lines
    return Text("\n").join([Text(first), *(Text(line, style="dim") for line in rest)])


def links(row: Standing, *, shares: bool) -> list[str]:
    """Return the function's name and then the frames below it, those that repeat as one with a count.

    `shares` adds each frame's bytes.
    """
    frames = [f"{printable(name)} {size}" if shares else printable(name) for name, size in row.chain]
    counted = [(text, len(list(group))) for text, group in groupby(frames)]
    below = [text if count == 1 else f"{text} x{count}" for text, count in counted]
    return below if row.chain and row.chain[0][0] == row.function else [printable(row.function), *below]


def _command(witness: Path) -> str:
    return printable(f"stackemu replay {shlex.quote(str(witness))}")


def _hints(rows: Sequence[Standing], total: int, verbose: bool) -> list[str]:
    hints = []
    if len(rows) < total:
        hints.append(f"the first {len(rows)} of {total} functions; --top N shows more")
    if not rows:
        return hints
    if rows[0].witness is None:
        hints.append("nothing is kept: --corpus DIR keeps what repeats these runs, and lets a campaign go on")
    elif not verbose:
        hints.append(f"the deepest once more: {_command(rows[0].witness)} --trace")
    return hints


def _crash_lines(crashes: Sequence[Crash], verbose: bool) -> list[str]:
    by_kind = sorted(crashes, key=lambda one: (one.kind, one.function))
    shown = by_kind if verbose else by_kind[:SHOWN_CRASHES]
    lines = []
    for one in shown:
        why = f": {one.why}" if one.why else ""
        lines.append(printable(f"{one.kind} in {one.function}{why}"))
        if one.witness is not None:
            lines.append(f"  {_command(one.witness)}")
    if len(shown) < len(crashes):
        lines.append(f"the first {len(shown)} of {len(crashes)} crashes; -v shows all")
    return lines
