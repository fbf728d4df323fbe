"""The command line: assembles the commands, and turns every error into one line and an exit code.

Exit codes: 0 done; 1 a check failed; 2 wrong use or unreadable input; 3 nothing could be measured;
130 interrupted; 141 the reader of stdout went away.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stackemu.emu.errors import StackemuError
from stackemu.harness import output
from stackemu.harness.commands import explain, run, static, symbols

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
app.command(name="static", epilog=static.EPILOG, short_help="List what the code reserves.")(static.static)
app.command(name="symbols", epilog=symbols.EPILOG, short_help="List the functions.")(symbols.symbols)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("stackemu")
    except PackageNotFoundError:
        number = "(not installed)"
    output.deliver(f"stackemu {number}\n", None)
    raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Measure how much kernel stack the functions of a Windows driver really use."""


def main() -> None:
    """Run the command that the command line names and exit with its code.

    The only place where errors become exit codes: one line on stderr for what was raised on purpose.
    """
    try:
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
