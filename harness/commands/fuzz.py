"""`stackemu fuzz`: look for the inputs that go deepest, for as long as there is time."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackemu.harness.commands.options import DriverPath, Patterns, Seed, SymbolsFile, Target, Top, Verbose

if TYPE_CHECKING:
    from stackemu.harness.fuzz.campaign import Result, Watcher
    from stackemu.harness.fuzz.pool import Pool
    from stackemu.harness.fuzz.share import Harvest, Share
    from stackemu.harness.session import Driver

EPILOG = """\
\b
Examples:
  stackemu fuzz PassThrough.sys --time 60 --corpus corpus
  stackemu fuzz PassThrough.sys --func 'Pt*' --jobs 4 --time 600 --corpus corpus --ui
  stackemu replay corpus/witnesses/PtInstanceSetup-1010.json --trace
"""


class FuzzFormat(enum.StrEnum):
    """How a campaign is reported."""

    TABLE = "table"
    JSON = "json"


def fuzz(
    driver: DriverPath,
    func: Patterns = None,
    symbols: SymbolsFile = None,
    seconds: Annotated[
        float | None,
        typer.Option("--time", metavar="S", min=0, help="End after so many seconds.", show_default=False),
    ] = None,
    execs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="End after so many executions.", show_default=False)
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep inputs, witnesses and crashes there; go on from what is there.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Worker processes.")] = 1,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Use the workers of a Dask scheduler instead.", show_default=False),
    ] = None,
    seed: Seed = 0,
    merge: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Take in another corpus first; can be repeated.", show_default=False),
    ] = None,
    minimize: Annotated[
        bool,
        typer.Option("--minimize", help="Only make the corpus small: drop inputs that others make superfluous."),
    ] = False,
    ui: Annotated[bool, typer.Option("--ui", help="Show the campaign as it runs, on the whole terminal.")] = False,
    top: Top = None,
    report_format: Annotated[FuzzFormat, typer.Option("--format", help="How to report.")] = FuzzFormat.TABLE,
    target: Target = None,
    no_init: Annotated[bool, typer.Option("--no-init", help="Don't run DriverEntry before the functions.")] = False,
    verbose: Verbose = False,
) -> None:
    """Look for the inputs that take a driver's functions deepest.

    It begins as `stackemu run` does. Then inputs are changed, natively and by solving the conditions of branches,
    and so are the calls that the kernel makes before; what reaches new code, a new depth or a new way to get there is
    kept and changed further. Without --time or --execs it runs until Ctrl-C. The table at the end shows the deepest
    chain first; each file of a corpus replays anywhere with `stackemu replay`.
    """
    from stackemu.emu.errors import NothingMeasuredError, UsageError
    from stackemu.harness import output
    from stackemu.harness.commands.loading import load
    from stackemu.harness.fuzz.campaign import Campaign, Limits
    from stackemu.harness.fuzz.corpus import Corpus
    from stackemu.harness.runs import RunSettings

    if corpus is None and (merge or minimize):
        raise UsageError("--merge and --minimize are for a corpus; name it with --corpus DIR")
    opened, selected = load(driver, symbols, func, target)
    settings = RunSettings(seed=seed, havoc=0, initialise=not no_init)  # the campaign changes inputs itself
    with Corpus.in_memory() if corpus is None else Corpus.open(corpus, opened, settings) as kept:
        for other in merge or ():
            kept.merge(other)
        for warning in kept.warnings:
            output.warn(warning)
        with _watcher(opened, ui=ui) as watch, _pool(opened, jobs, cluster) as pool:
            campaign = Campaign(opened, selected, settings, kept, pool, Limits(seconds, execs), watch)
            result = campaign.make_small() if minimize else campaign.run()
    for reason in dict.fromkeys(result.lost):
        output.warn(reason)
    output.deliver(_render(result, report_format, target, top, verbose=verbose), target)
    if not result.standings:
        raise NothingMeasuredError(f"{driver}: no function could be run; 'stackemu explain' says why of each")


@contextmanager
def _watcher(driver: Driver, *, ui: bool) -> Iterator[Watcher]:
    """Open what shows the campaign to whoever watches."""
    from stackemu.harness import output
    from stackemu.harness.fuzz.status import news, status_line

    if ui:
        from stackemu.harness.fuzz.live import LiveView

        with LiveView(driver.image.path.name) as view:
            yield lambda progress, campaign: view.show(progress, campaign.ledger.standings(), campaign.ledger.crashes)
    else:
        with output.StatusLine() as line:
            yield lambda progress, _campaign: line.show(status_line(progress), news(progress))


def _pool(driver: Driver, jobs: int, cluster: str | None) -> Pool[Share, Harvest]:
    """Return the workers: processes of this machine, or those of a cluster."""
    from stackemu.harness.fuzz.bench import work
    from stackemu.harness.fuzz.package import Package
    from stackemu.harness.fuzz.pool import cluster_pool, local_pool

    package = Package.of(driver)
    return cluster_pool(work, package, cluster) if cluster is not None else local_pool(work, package, jobs)


def _render(
    result: Result, report_format: FuzzFormat, target: Path | None, top: int | None, *, verbose: bool
) -> str | bytes:
    from stackemu.harness import output
    from stackemu.harness.report import fuzz as report

    if report_format is FuzzFormat.JSON:
        return report.to_json(result.standings, result.crashes, result.progress)
    page = output.page_for(target)
    return report.render(result.standings, result.crashes, result.progress, page, top=top, verbose=verbose)
