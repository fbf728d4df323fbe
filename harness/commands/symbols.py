"""`stackemu symbols`: which functions a driver has, and who says so."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackemu.harness.commands.options import Patterns, SymbolsFile, Target

if TYPE_CHECKING:
    from stackemu.harness.report.page import Page
    from stackemu.harness.report.symbols import Listing

EPILOG = """\
\b
Examples:
  stackemu symbols PassThrough.sys
  stackemu symbols PassThrough.sys --symbols PassThrough.pdb --func '*Callback' --format csv
  stackemu symbols --imports *.sys
"""


class SymbolsFormat(enum.StrEnum):
    """How the functions are listed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def symbols(
    driver: Annotated[
        list[Path],
        typer.Argument(metavar="DRIVER...", help="The driver's image, a .sys file.", show_default=False),
    ],
    func: Patterns = None,
    symbols_file: SymbolsFile = None,
    report_format: Annotated[SymbolsFormat, typer.Option("--format", help="How to list.")] = SymbolsFormat.TABLE,
    imports: Annotated[
        bool, typer.Option("--imports", help="Rank the imports without behaviour, over all drivers given.")
    ] = False,
    target: Target = None,
) -> None:
    """List a driver's functions, and where each one's name and extent came from.

    Names come from the PDB, a linker map, the image's own symbols and exports, and for the rest from
    discovery in the code. Import thunks are listed too.
    """
    from stackemu.emu.errors import UsageError
    from stackemu.harness import output
    from stackemu.harness.commands.loading import load
    from stackemu.harness.report.symbols import listing
    from stackemu.harness.results import SymbolsInfo

    if imports:
        _rank_imports(driver, target)
        return
    if len(driver) > 1:
        raise UsageError("one driver at a time, please: only --imports takes several")
    opened, selected = load(driver[0], symbols_file, func, target, import_thunks=True)
    path = opened.symbols_path
    info = SymbolsInfo(source=opened.symbols_source, path=None if path is None else str(path))
    document = listing(opened.image, selected, info)
    output.deliver(_render(document, report_format, output.page_for(target)), target)


def _rank_imports(drivers: list[Path], target: Path | None) -> None:
    from stackemu.emu.load_image import load_image
    from stackemu.harness import output
    from stackemu.harness.report.imports import render

    output.check_target(target, drivers)
    images = [load_image(path) for path in drivers]
    output.deliver(render(images, output.page_for(target)), target)


def _render(document: Listing, report_format: SymbolsFormat, page: Page) -> str | bytes:
    from stackemu.harness.report.symbols import render_csv, render_json, render_table

    match report_format:
        case SymbolsFormat.TABLE:
            return render_table(document, page)
        case SymbolsFormat.JSON:
            return render_json(document)
        case SymbolsFormat.CSV:
            return render_csv(document)
