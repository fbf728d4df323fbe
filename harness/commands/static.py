"""`stackemu static`: what the code says of its stack use, without running it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from stackemu.harness.commands.options import AnnotationsFile, DriverPath, Patterns, SymbolsFile, Target, Top, Verbose
from stackemu.harness.report.sorting import MEASURED_KEYS, SortKey

if TYPE_CHECKING:
    from stackemu.harness.report.page import Page
    from stackemu.harness.results import FunctionResult, Measurement

EPILOG = """\
\b
Examples:
  stackemu static PassThrough.sys --func 'passthrough!*' --top 20
  stackemu static PassThrough.sys --format table --sort frame -v
"""


class StaticFormat(enum.StrEnum):
    """How a static survey is reported."""

    ACE = "ace"
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


_DEFAULT_KEYS = {
    StaticFormat.ACE: SortKey.LOCALS,
    StaticFormat.TABLE: SortKey.STATIC,
    StaticFormat.JSON: SortKey.STATIC,
    StaticFormat.CSV: SortKey.STATIC,
}


def static(
    driver: DriverPath,
    func: Patterns = None,
    symbols: SymbolsFile = None,
    top: Top = None,
    sort: Annotated[
        SortKey | None,
        typer.Option(
            help="Order of the rows, largest first (default: ace: locals; json: address, unless --top; "
            "else static, which is own).",
            show_default=False,
        ),
    ] = None,
    report_format: Annotated[StaticFormat, typer.Option("--format", help="How to report.")] = StaticFormat.ACE,
    target: Target = None,
    annotations: AnnotationsFile = None,
    verbose: Verbose = False,
) -> None:
    """List how much stack a driver's functions reserve, as their code says; nothing is run.

    The default format, ace, is the listing of the debugger extension !ace.stack_usage: the bytes that each
    function reserves for local variables. The table adds saved registers (frame), the deepest that the
    function's own instructions go (own), and that of everything it calls (bound).
    """
    from stackemu.emu.errors import UsageError
    from stackemu.harness import output
    from stackemu.harness.commands.loading import annotations_of, load
    from stackemu.harness.static_survey import static_survey

    if sort in MEASURED_KEYS:
        raise UsageError(f"--sort {sort} needs measured figures; use 'stackemu run', or --sort static")
    opened, selected = load(driver, symbols, func, target)
    measurement = static_survey(opened, selected, annotations_of(annotations, opened))
    rows = _rows(measurement, report_format, sort, top)
    output.deliver(_render(measurement, rows, report_format, output.page_for(target), verbose), target)


def _rows(
    measurement: Measurement, report_format: StaticFormat, sort: SortKey | None, top: int | None
) -> Sequence[FunctionResult]:
    from stackemu.harness.report import ace
    from stackemu.harness.report.sorting import arrange

    functions: Sequence[FunctionResult] = measurement.functions
    if report_format is StaticFormat.ACE:
        functions = ace.listed(functions)
    by_address = report_format is StaticFormat.JSON and top is None
    default = SortKey.ADDRESS if by_address else _DEFAULT_KEYS[report_format]
    return arrange(functions, sort or default, top)


def _render(
    measurement: Measurement,
    rows: Sequence[FunctionResult],
    report_format: StaticFormat,
    page: Page,
    verbose: bool,
) -> str | bytes:
    from stackemu.harness.report import ace, csv, json, static_table

    match report_format:
        case StaticFormat.ACE:
            return ace.render(measurement, rows)
        case StaticFormat.TABLE:
            return static_table.render(measurement, rows, page, verbose=verbose)
        case StaticFormat.JSON:
            return json.render(measurement, rows)
        case StaticFormat.CSV:
            return csv.render(rows)
