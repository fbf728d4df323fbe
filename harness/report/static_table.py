"""The table of a static survey: `stackemu static --format table`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from stackemu.harness.printable import printable
from stackemu.harness.report import chain
from stackemu.harness.report.figures import number
from stackemu.harness.report.footer import static_notes
from stackemu.harness.report.page import Page, to_text
from stackemu.harness.report.table import MINIMUM_TEXT_WIDTH, footer, indented, plain_table
from stackemu.harness.results import FunctionResult, Measurement

COLUMNS = ("own", "bound", "frame", "locals", "saved")


def render(measurement: Measurement, rows: Sequence[FunctionResult], page: Page, *, verbose: bool = False) -> str:
    """Return the table of `rows`, which are `measurement`'s functions in the order to show, and its footer.

    `verbose` adds to each function where its figures come from, why they are open, and its findings.
    """
    cells = [
        [number(figure) for figure in (static.own, static.bound, static.frame, static.locals, static.saved)]
        for static in (row.static for row in rows)
    ]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *cells, strict=True)]
    room = max(page.width - sum(widths) - 2 * len(widths), MINIMUM_TEXT_WIDTH)
    table = plain_table(COLUMNS, ["function"])
    for row, texts in zip(rows, cells, strict=True):
        details = indented(_details(row), room) if verbose else []
        lines = [Text(printable(row.name)), *(Text(line, style="dim") for line in details)]
        table.add_row(*texts, Text("\n").join(lines))
    return to_text([table, *footer(static_notes(measurement, len(rows), verbose=verbose), page)], page)


def _details(function: FunctionResult) -> list[str]:
    """Return what a verbose table adds to a function."""
    static = function.static
    details = [f"root: {function.root}"] if function.root is not None else []
    details.append(f"source: {static.source}")
    if len(static.path) > 1:
        details.append(f"worst path: {chain.path(static.path)}")
    details += [f"open: {reason}" for reason in static.open]
    details += [f"finding: {finding}" for finding in static.findings]
    return details
