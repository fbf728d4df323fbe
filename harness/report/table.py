"""The table of a run: `stackemu run`, for people.

The figures stand first and the function's name last, with the frames of its deepest chain behind it, so
that names are never cut or folded, whatever the width.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from stackemu.harness.printable import printable
from stackemu.harness.report import chain, figures, forced
from stackemu.harness.report.footer import Note, as_lines, run_notes
from stackemu.harness.report.page import Page, to_text
from stackemu.harness.report.roots import root_rows
from stackemu.harness.results import FunctionResult, Measurement

COLUMNS = ("depth", "bound", "own/static", "frame", "locals")
VERDICT_STYLES = {
    "exact": "green",
    "within": "yellow",
    "exceeds": "bold red",
    "dynamic": "cyan",
    "not-run": "dim",
}
LABEL_STYLES = {**VERDICT_STYLES, "warning": "yellow", "finding": "yellow", "next": "bold"}
MINIMUM_TEXT_WIDTH = 30
"""Columns that the last column gets even on a narrow page."""


def render(measurement: Measurement, rows: Sequence[FunctionResult], page: Page, *, verbose: bool = False) -> str:
    """Return the table of `rows`, which are `measurement`'s functions in the order to show, and its footer.

    `>=` marks a figure that is only a lower bound. `verbose` adds to each function its outcome, the shares
    of its chain, its reasons and its findings.
    """
    cells = [
        (
            figures.depth(row),
            figures.bound(row),
            figures.own(row),
            figures.number(row.static.frame),
            figures.number(row.static.locals),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *cells, strict=True)]
    verdict_width = max([len("verdict"), *(len(row.verdict) for row in rows)])
    room = max(page.width - sum(widths) - verdict_width - 2 * (len(widths) + 1), MINIMUM_TEXT_WIDTH)
    table = plain_table([*COLUMNS], ["verdict", "function > deepest chain"])
    for row, texts in zip(rows, cells, strict=True):
        verdict = Text(row.verdict, style=VERDICT_STYLES.get(row.verdict, ""))
        table.add_row(*texts, verdict, _function_cell(row, room, verbose))
    notes = run_notes(measurement, len(rows), verbose=verbose)
    return to_text([table, *_roots(measurement.functions, verbose), *footer(notes, page)], page)


def _roots(rows: Sequence[FunctionResult], verbose: bool) -> list[RenderableType]:
    """Return the table of what the kernel itself calls, nothing when no such function is shown."""
    shown = root_rows(rows, verbose=verbose)
    if not shown:
        return []
    table = plain_table(["depth", "of 12 KiB"], ["role", "root"])
    for row in shown:
        table.add_row(row.depth, row.share, row.role, row.function)
    return [Text(), table]


def plain_table(numbers: Sequence[str], texts: Sequence[str]) -> Table:
    """Return an empty table without rules: right-aligned columns of figures, then columns of text."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in numbers:
        table.add_column(header, justify="right", no_wrap=True)
    for header in texts:
        table.add_column(header, no_wrap=True)
    return table


def footer(notes: Sequence[Note], page: Page) -> list[RenderableType]:
    """Return the notes below a table: an empty line, then one label and text a line."""
    lines: list[RenderableType] = [Text()]
    style = ""
    for label, text in as_lines(notes, page.width):
        style = LABEL_STYLES.get(label.strip(" :"), "") if label.strip() else style
        lines.append(Text.assemble((label, style), text))
    return lines


def indented(texts: Sequence[str], width: int) -> list[str]:
    """Return each of `texts` folded between words and indented below a function's name."""
    lines: list[str] = []
    for text in texts:
        lines += textwrap.wrap(
            printable(text),
            width,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _function_cell(function: FunctionResult, width: int, verbose: bool) -> Text:
    """Return the last column: the name, the chain, and in a verbose table what else is known."""
    links = chain.links(function, shares=verbose)
    lines = chain.fold(links if verbose else chain.shorten(links), width)
    name, *rest = "\n".join([*lines, *(indented(_details(function), width) if verbose else [])]).split("\n")
    return Text("\n").join([Text(name), *(Text(line, style="dim") for line in rest)])


def _details(function: FunctionResult) -> list[str]:
    """Return what a verbose table adds: how the function ran, its reasons and findings."""
    details = []
    measured = function.measured
    if function.root is not None:
        details.append(f"root: {function.root}")
    if measured is not None:
        details.append(f"outcome: {measured.outcome}, runs: {measured.runs}")
        blocks = f"{measured.blocks_seen}/{measured.blocks}"
        details.append(f"blocks: {blocks}, instructions: {measured.instructions}")
    if function.bracket is not None and function.bracket != "closed":
        details.append(f"worst path: {chain.path(function.static.path)}")
    if function.why is not None:
        details.append(f"why: {function.why}")
    if function.forced is not None:
        details.append(f"forced: {forced.sentence(function.forced)}")
        details.append(f"forced chain: {forced.deepest_chain(function.forced)}")
    details += [f"open: {reason}" for reason in function.static.open]
    details += [f"finding: {finding}" for finding in function.findings]
    if function.witness is not None:
        details.append(f"witness: {function.witness}")
    return details
