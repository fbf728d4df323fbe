"""The command line: assembles the commands, and turns every error into one line and an exit code.

Exit codes: 0 done; 1 a check failed; 2 wrong use or unreadable input; 3 nothing could be measured;
130 interrupted; 141 the reader of stdout went away; 129 and 143 hung up and terminated.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from stackemu.emu.errors import StackemuError
from stackemu.harness import output
from stackemu.harness.commands import explain, fuzz, replay, run, static, symbols, verify

GARBAGE_THRESHOLD = 200_000
"""New container objects after which the youngest are looked through."""
INTERRUPTED = 130
"""128 + SIGINT; typer, too, exits with it when a command is interrupted."""

app = typer.Typer(
    name="stackemu",
    help="Measure how much kernel stack the functions of a Windows driver really use.",
    epilog="Example: stackemu run PassThrough.sys --func 'Pt*'",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="run", epilog=run.EPILOG, short_help="Measure by running.")(run.run)
app.command(name="explain", epilog=explain.EPILOG, short_help="Say what was not reached and why.")(explain.explain)
app.command(name="fuzz", epilog=fuzz.EPILOG, short_help="Look for the inputs that go deepest.")(fuzz.fuzz)
app.command(name="replay", cls=replay.TraceByItself, epilog=replay.EPILOG, short_help="Repeat a measured run.")(
    replay.replay
)
app.command(name="static", epilog=static.EPILOG, short_help="List what the code reserves.")(static.static)
app.command(name="symbols", epilog=symbols.EPILOG, short_help="List the functions.")(symbols.symbols)
app.command(name="verify", epilog=verify.EPILOG, short_help="Hold other tools' figures against it.")(verify.verify)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    from stackemu.harness.release import stackemu_version

    output.deliver(f"stackemu {stackemu_version()}\n", None)
    raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Measure how much kernel stack the functions of a Windows driver really use."""


@contextmanager
def _unwound_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP leave by an exception, as Ctrl-C does, so that workers and files are cleared away."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What is ignored stays ignored: nohup asks for that.
    caught = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def main() -> None:
    """Run the command that the command line names and exit with its code.

    The only place where errors become exit codes: one line on stderr for what was raised on purpose.
    """
    # An image's decoded code is millions of small objects that all live on: looking through them for garbage at
    # Python's usual rate costs a quarter of the time.
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
    try:
        with _unwound_by_signals():
            app(prog_name="stackemu")
    except output.OutputClosedError as error:
        sys.exit(error.exit_code)
    except StackemuError as error:
        output.fail(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        output.fail("interrupted")
        sys.exit(INTERRUPTED)
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:
            output.fail("interrupted")
        raise


if __name__ == "__main__":
    main()
