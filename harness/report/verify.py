"""The report of a verification: a table for people, JSON, and CSV with one row a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import msgspec
from rich.text import Text

from stackemu.harness.printable import printable
from stackemu.harness.report.figures import UNKNOWN, counts, number
from stackemu.harness.report.footer import Note, command_line
from stackemu.harness.report.page import Page, to_text
from stackemu.harness.report.table import MINIMUM_TEXT_WIDTH, footer, indented, plain_table
from stackemu.harness.verify.verification import ComparedFigure, ComparedFunction, Verdict, Verification, gravest

COLUMNS = ("source", "driver")
VERDICT_STYLES = {
    Verdict.CONTRADICTION: "bold red",
    Verdict.DIFFER: "yellow",
    Verdict.NOT_MEASURED: "dim",
    Verdict.NOT_IN_DRIVER: "dim",
    Verdict.AGREE: "green",
}
SHOWN_NAMES = 5
"""Functions that the source does not mention, as far as a short footer names them."""
CSV_HEADER = (
    "name",
    "line",
    "address",
    "figure",
    "source",
    "driver",
    "difference",
    "verdict",
    "part",
    "why",
    "confirmed",
)


def arranged(functions: Sequence[ComparedFunction], top: int | None) -> list[ComparedFunction]:
    """Return the functions with the gravest first, otherwise in the source's order; the first `top` of them."""
    order = list(Verdict)
    return sorted(functions, key=lambda function: order.index(function.verdict))[:top]


def render_table(
    document: Verification, rows: Sequence[ComparedFunction], page: Page, *, verbose: bool = False
) -> str:
    """Return the table of `rows`, which are `document`'s functions in the order to show, and its footer.

    A row shows the gravest of the function's figures, and below it the reason of each that does not agree;
    `verbose` adds those that agree.
    """
    cells = [(*_figure_cells(row), row.verdict.value) for row in rows]
    widths = [max(map(len, column)) for column in zip((*COLUMNS, "figure", "verdict"), *cells, strict=True)]
    room = max(page.width - sum(widths) - 2 * len(widths), MINIMUM_TEXT_WIDTH)
    table = plain_table(COLUMNS, ["figure", "verdict", "function"])
    for row, (*texts, verdict) in zip(rows, cells, strict=True):
        details = indented(_details(row, verbose), room)
        function = Text("\n").join([Text(printable(row.name)), *(Text(line, style="dim") for line in details)])
        table.add_row(*texts, Text(verdict, style=VERDICT_STYLES[row.verdict]), function)
    return to_text([table, *footer(_notes(document, len(rows), verbose), page)], page)


def render_json(document: Verification, rows: Sequence[ComparedFunction]) -> bytes:
    """Return `document` with the functions `rows`, as JSON; its summary still counts them all."""
    shown = msgspec.structs.replace(document, functions=tuple(rows))
    return msgspec.json.format(msgspec.json.encode(shown), indent=2) + b"\n"


def render_csv(rows: Sequence[ComparedFunction]) -> str:
    """Return one row a figure as CSV with a header; unknown values are empty cells."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_HEADER, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        for figure in row.figures:
            writer.writerow(_csv_row(row, figure))
    return stream.getvalue()


def _csv_row(function: ComparedFunction, figure: ComparedFigure) -> dict[str, str | int | None]:
    return {
        "name": function.name,
        "line": function.line,
        "address": None if function.address is None else f"{function.address:#x}",
        "figure": figure.figure,
        "source": figure.source,
        "driver": figure.driver,
        "difference": figure.difference,
        "verdict": figure.verdict,
        "part": figure.part,
        "why": figure.why or function.why,
        "confirmed": function.confirmed,
    }


def _figure_cells(function: ComparedFunction) -> tuple[str, str, str]:
    """Return the gravest of a function's figures: in the source, in the driver, and which figure it is."""
    wanted = gravest([figure.verdict for figure in function.figures])
    figure = next((figure for figure in function.figures if figure.verdict is wanted), None)
    if figure is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    more = len(function.figures) - 1
    return number(figure.source), number(figure.driver), figure.figure + (f", {more} more" if more else "")


def _details(function: ComparedFunction, verbose: bool) -> list[str]:
    """Return what stands below a function's name: reasons, and in a verbose table every figure."""
    details = [function.why] if function.why is not None else []
    several = len(function.figures) > 1 and function.verdict is not Verdict.NOT_IN_DRIVER
    for figure in function.figures:
        reason = figure.why if verbose or figure.verdict is not Verdict.AGREE else None
        if reason is not None or (verbose and several):
            figures = f"{figure.figure} {figure.source}/{number(figure.driver)}: " if several else ""
            details.append(f"{figures}{reason or figure.verdict}")
    if verbose and function.line is not None:
        details.append(f"line: {function.line}")
    if verbose and function.confirmed is not None:
        details.append(f"measured against static: {function.confirmed}")
    return details


def _notes(document: Verification, shown: int, verbose: bool) -> list[Note]:
    driver, source = document.driver, document.source
    total = len(document.functions)
    many = str(total) if shown == total else f"{shown} shown of {total}"
    notes = [
        Note("functions", f"{many} in {printable(source.path)}, held against {printable(driver.name)}"),
        Note("format", source.format),
        Note("verdicts", counts({str(verdict): count for verdict, count in document.summary.items()})),
    ]
    if document.unmentioned:
        notes.append(Note("unmentioned", _unmentioned(document.unmentioned, verbose)))
    notes += [Note("warning", printable(note)) for note in document.notes]
    first = next((one for one in document.functions if one.verdict in (Verdict.CONTRADICTION, Verdict.DIFFER)), None)
    options = ("--func", first.name, "-v") if first else ()
    return [*notes, Note("next", command_line(driver, "run", *options), command=True)]


def _unmentioned(names: Sequence[str], verbose: bool) -> str:
    """Return which of the driver's functions the source does not speak of."""
    named = names if verbose else names[:SHOWN_NAMES]
    more = f" and {len(names) - len(named)} more" if len(names) > len(named) else ""
    return printable(f"{', '.join(named)}{more}")
