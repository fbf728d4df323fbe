"""`stackemu symbols`: which functions a driver has, and who says so."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from stackemu.harness.commands.options import DriverPath, Patterns, SymbolsFile, Target

if TYPE_CHECKING:
    from stackemu.harness.report.page import Page
    from stackemu.harness.report.symbols import Listing

EPILOG = """\
\b
Examples:
  stackemu symbols PassThrough.sys
  stackemu symbols PassThrough.sys --symbols PassThrough.pdb --func '*Callback' --format csv
"""


class SymbolsFormat(enum.StrEnum):
    """How the functions are listed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def symbols(
    driver: DriverPath,
    func: Patterns = None,
    symbols_file: SymbolsFile = None,
    report_format: Annotated[SymbolsFormat, typer.Option("--format", help="How to list.")] = SymbolsFormat.TABLE,
    target: Target = None,
) -> None:
    """List a driver's functions, and where each one's name and extent came from.

    Names come from the PDB, a linker map, the image's own symbols and exports, and for the rest from
    discovery in the code. Import thunks are listed too.
    """
    from stackemu.harness import output
    from stackemu.harness.commands.loading import load
    from stackemu.harness.report.symbols import listing
    from stackemu.harness.results import SymbolsInfo

    opened, selected = load(driver, symbols_file, func, target, import_thunks=True)
    path = opened.symbols_path
    info = SymbolsInfo(source=opened.symbols_source, path=None if path is None else str(path))
    document = listing(opened.image, selected, info)
    output.deliver(_render(document, report_format, output.page_for(target)), target)


def _render(document: Listing, report_format: SymbolsFormat, page: Page) -> str | bytes:
    from stackemu.harness.report.symbols import render_csv, render_json, render_table

    match report_format:
        case SymbolsFormat.TABLE:
            return render_table(document, page)
        case SymbolsFormat.JSON:
            return render_json(document)
        case SymbolsFormat.CSV:
            return render_csv(document)
