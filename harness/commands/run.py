"""`stackemu run`: measure functions by running them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackemu.harness.commands.options import (
    AnnotationsFile,
    DriverPath,
    Patterns,
    Search,
    Seed,
    SymbolsFile,
    Target,
    Top,
    Verbose,
)
from stackemu.harness.effort import Effort
from stackemu.harness.report.sorting import SortKey

if TYPE_CHECKING:
    from stackemu.harness.report.page import Page
    from stackemu.harness.results import FunctionResult, Measurement

EPILOG = """\
\b
Examples:
  stackemu run PassThrough.sys --func 'Pt*' --top 20
  stackemu run PassThrough.sys --symbols PassThrough.pdb --format json -o result.json
"""


class RunFormat(enum.StrEnum):
    """How a run is reported."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


def run(
    driver: DriverPath,
    func: Patterns = None,
    symbols: SymbolsFile = None,
    top: Top = None,
    sort: Annotated[
        SortKey | None,
        typer.Option(
            help="Order of the rows, largest first (default: depth; json: address, unless --top).",
            show_default=False,
        ),
    ] = None,
    report_format: Annotated[RunFormat, typer.Option("--format", help="How to report.")] = RunFormat.TABLE,
    target: Target = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Worker processes.")] = 1,
    seed: Seed = 0,
    inputs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Runs of each function.", show_default=False)
    ] = None,
    single_step: Annotated[
        bool, typer.Option("--single-step", help="Watch every instruction: slow, the reference.")
    ] = False,
    effort: Search = Effort.NORMAL,
    forced: Annotated[
        bool,
        typer.Option(
            "--forced",
            help="Force branches that no run turned, to estimate what lies behind them; -v shows it "
            "(--effort thorough does).",
        ),
    ] = False,
    annotations: AnnotationsFile = None,
    witnesses: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write each function's deepest run there, for replay.", show_default=False),
    ] = None,
    no_init: Annotated[bool, typer.Option("--no-init", help="Don't run DriverEntry before the functions.")] = False,
    verbose: Verbose = False,
) -> None:
    """Measure how much kernel stack a driver's functions really use, by running them.

    Each function is run from its entry in an emulated kernel. The table shows how deep the stack pointer went
    until it returned (depth), the deepest that its code and its callees' allow (bound, `=` when a run got there),
    how deep the function itself took it (own), measured and as its code says, and the frames that stood on the
    stack at the deepest point. `>=` marks a lower bound: a run that did not return. The verdict compares
    measured with static: exact, within, exceeds, dynamic or not-run.
    """
    from dataclasses import replace

    from stackemu.emu.errors import CheckFailedError, NothingMeasuredError
    from stackemu.harness import output
    from stackemu.harness.commands.loading import annotations_of, load
    from stackemu.harness.survey import RunSettings, surveyed_runs
    from stackemu.harness.witness import witness_files

    opened, selected = load(driver, symbols, func, target)
    spending = effort.spending
    settings = RunSettings(
        seed=seed,
        jobs=jobs,
        single_step=single_step,
        initialise=not no_init,
        explored=spending.explored,
        havoc=spending.havoc,
        forced=forced or spending.forced,
    )
    if inputs is not None:
        settings = replace(settings, inputs=inputs)
    known = annotations_of(annotations, opened)
    with output.ProgressLine("measuring") as on_progress:
        measurement, runs = surveyed_runs(opened, selected, settings, on_progress, known)
    if witnesses is not None:
        output.deliver_files(witness_files(opened, selected, runs, settings), witnesses)
    rows = _rows(measurement, report_format, sort, top)
    output.deliver(_render(measurement, rows, report_format, output.page_for(target), verbose), target)
    if measurement.summary.measured == 0:
        raise NothingMeasuredError(
            f"{driver}: none of {measurement.summary.functions} functions could be measured; "
            "the report says why of each with -v"
        )
    if measurement.summary.brackets.get("contradicted"):
        raise CheckFailedError(f"{driver}: a measured depth is more than its bound; the report says which")


def _rows(
    measurement: Measurement, report_format: RunFormat, sort: SortKey | None, top: int | None
) -> Sequence[FunctionResult]:
    from stackemu.harness.report.sorting import arrange

    by_address = report_format is RunFormat.JSON and top is None
    return arrange(measurement.functions, sort or (SortKey.ADDRESS if by_address else SortKey.DEPTH), top)


def _render(
    measurement: Measurement,
    rows: Sequence[FunctionResult],
    report_format: RunFormat,
    page: Page,
    verbose: bool,
) -> str | bytes:
    from stackemu.harness.report import csv, json, markdown, table

    match report_format:
        case RunFormat.TABLE:
            return table.render(measurement, rows, page, verbose=verbose)
        case RunFormat.JSON:
            return json.render(measurement, rows)
        case RunFormat.CSV:
            return csv.render(rows)
        case RunFormat.MARKDOWN:
            return markdown.render(measurement, rows, verbose=verbose)
