"""`stackemu verify`: another tool's figures held against the driver."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackemu.harness.commands.options import DriverPath, Search, Seed, SymbolsFile, Target, Top, Verbose
from stackemu.harness.effort import Effort

if TYPE_CHECKING:
    from stackemu.harness.report.page import Page
    from stackemu.harness.verify.verification import Verification

EPILOG = """\
\b
Examples:
  stackemu verify PassThrough.sys --against stack_usage.log
  stackemu verify PassThrough.sys --against PassThrough.su --no-run --format csv
"""


class VerifyFormat(enum.StrEnum):
    """How a verification is reported."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def verify(
    driver: DriverPath,
    against: Annotated[
        Path,
        typer.Option(
            "--against",
            metavar="FILE",
            help="A listing of !ace.stack_usage, a .su file, a log with C6262 warnings, a kf trace, or JSON of run.",
            show_default=False,
        ),
    ],
    symbols: SymbolsFile = None,
    top: Top = None,
    report_format: Annotated[VerifyFormat, typer.Option("--format", help="How to report.")] = VerifyFormat.TABLE,
    target: Target = None,
    run: Annotated[bool, typer.Option("--run/--no-run", help="Confirm the static figures by running.")] = True,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Worker processes.")] = 1,
    seed: Seed = 0,
    effort: Search = Effort.QUICK,
    verbose: Verbose = False,
) -> None:
    """Hold what another tool says of a driver's stack against the driver.

    Each figure of FILE is compared with the one that the driver's code has in its place: they agree, or
    differ, and in which part. A difference is a contradiction when runs have confirmed the driver's figure:
    then FILE is wrong, or of another build, and the exit code is 1.
    """
    from stackemu.harness import output
    from stackemu.harness.commands.loading import load
    from stackemu.harness.survey import RunSettings
    from stackemu.harness.verify.against import refuse_contradictions
    from stackemu.harness.verify.against import verify as verify_against
    from stackemu.harness.verify.detect import read_source

    output.check_target(target, [against])
    opened, _ = load(driver, symbols, None, target)
    source = read_source(against)
    spending = effort.spending
    settings = RunSettings(seed=seed, jobs=jobs, explored=spending.explored, havoc=spending.havoc) if run else None
    with output.ProgressLine("measuring") as on_progress:
        document = verify_against(opened, source, against, settings, on_progress)
    output.deliver(_render(document, top, report_format, output.page_for(target), verbose), target)
    refuse_contradictions(document)


def _render(
    document: Verification, top: int | None, report_format: VerifyFormat, page: Page, verbose: bool
) -> str | bytes:
    from stackemu.harness.report.verify import arranged, render_csv, render_json, render_table

    rows = arranged(document.functions, top)
    match report_format:
        case VerifyFormat.TABLE:
            return render_table(document, rows, page, verbose=verbose)
        case VerifyFormat.JSON:
            return render_json(document, rows)
        case VerifyFormat.CSV:
            return render_csv(rows)
