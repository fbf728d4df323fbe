"""`stackemu replay`: a measured run once more, in the emulator and on the host's own processor."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from stackemu.harness.commands.options import SymbolsFile, Target

if TYPE_CHECKING:
    from stackemu.harness.native.comparison import Comparison

EPILOG = """\
\b
Examples:
  stackemu run PassThrough.sys --witnesses witnesses
  stackemu replay witnesses/PtInstanceSetup-1010.json --native
  stackemu replay witnesses/PtInstanceSetup-1010.json --trace=esp -o esp.csv
"""


class Trace(enum.StrEnum):
    """What of a run is told."""

    CALLS = "calls"
    ESP = "esp"


class TraceByItself(TyperCommand):
    """A command whose `--trace` may stand by itself: it means `--trace=calls` then."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of the command line."""
        return super().parse_args(ctx, [f"--trace={Trace.CALLS}" if word == "--trace" else word for word in args])


class ReplayFormat(enum.StrEnum):
    """How a replay is reported."""

    TABLE = "table"
    JSON = "json"


def replay(
    witness: Annotated[
        Path, typer.Argument(metavar="WITNESS", help="A file that run --witnesses or fuzz wrote.", show_default=False)
    ],
    driver: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The driver, where it is no longer at its place.", show_default=False),
    ] = None,
    symbols: SymbolsFile = None,
    native: Annotated[
        bool, typer.Option("--native", help="Repeat it on this host's processor too, instruction by instruction.")
    ] = False,
    trace: Annotated[
        Trace | None,
        typer.Option(
            metavar="[=esp]",
            help="Tell the run's calls; =esp: ESP before each instruction (CSV).",
            show_choices=False,
        ),
    ] = None,
    report_format: Annotated[ReplayFormat, typer.Option("--format", help="How to report.")] = ReplayFormat.TABLE,
    target: Target = None,
) -> None:
    """Repeat a measured run and show the same figures, always.

    With --native the run's instructions are also executed by this host's own processor, in a confined 32-bit
    process (Linux on x86-64), and the stack pointer is compared after every one of them; what the emulated kernel did
    in between is taken from the emulator. Exit code 1: the figures are others than the witness's, or the processor's
    others than the emulator's.
    """
    from stackemu.emu.errors import CheckFailedError, NothingMeasuredError
    from stackemu.harness import output
    from stackemu.harness.replay import Replayer, open_witnessed
    from stackemu.harness.report import replay as report
    from stackemu.harness.witness import load_witness

    output.check_target(target, [witness, driver])
    known = load_witness(witness)
    opened = open_witnessed(known, driver, symbols)
    replayer = Replayer(opened, known.seed, known.budget, known.initialise)
    replayed = replayer.replay(known)
    compared: Comparison | None = None
    if native:
        from stackemu.harness.native.availability import why_not

        reason = why_not()
        if reason is not None:
            raise NothingMeasuredError(f"--native: {reason}")
        compared = replayer.natively(known)
    if trace is not None:
        told_run = replayer.history(known) if trace is Trace.ESP else report.trace_to_text(replayer.calls(known))
        output.deliver(told_run, target)
        return
    render = report.to_json if report_format is ReplayFormat.JSON else report.to_text
    output.deliver(render(replayed, compared), target)
    if not replayed.is_same:
        raise CheckFailedError(
            f"{witness}: own {known.own}, depth {known.depth}, {known.outcome} have become "
            f"{replayed.observation.own}, {replayed.observation.depth}, {replayed.observation.outcome.value}; other "
            "symbols or another version of stackemu measured them"
        )
    if compared is not None and compared.is_wrong:
        raise CheckFailedError(f"{witness}: the host's processor disagrees: {compared.why}")
