"""The one place that writes: reports to stdout or a file, warnings, errors and progress to stderr."""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stackemu.emu.errors import InputError, StackemuError, UsageError
from stackemu.harness.printable import printable
from stackemu.harness.report.page import PIPED_WIDTH, Page

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PROGRESS_DELAY = 1.0
"""Seconds of work before a progress line appears; shorter work shows none."""

REDRAWN, TOLD_NEWS, TOLD_ANYWAY = 0.2, 1.0, 10.0
"""Seconds between two status lines: on a terminal, in a log when there is news, and when there is none."""

CLOSED_PIPE_EXIT_CODE = 141
"""128 + SIGPIPE, what a shell reports of any program whose reader went away."""


class OutputClosedError(StackemuError):
    """Whoever read stdout has gone (`stackemu ... | head`); there is nobody to tell."""

    exit_code = CLOSED_PIPE_EXIT_CODE


def warn(message: str) -> None:
    """Write one warning line to stderr."""
    _stderr_line(f"stackemu: warning: {message}")


def fail(message: str) -> None:
    """Write one error line to stderr."""
    _stderr_line(f"stackemu: {message}")


def page_for(target: Path | None) -> Page:
    """Return the width and colour that suit the destination: the terminal's, or plain text for a file."""
    if target is not None:
        return Page()
    from rich.console import Console

    console = Console()
    colorful = console.is_terminal and console.color_system is not None and not console.no_color
    return Page(width=console.width, color=colorful)


def check_target(target: Path | None, inputs: Iterable[Path | None]) -> None:
    """Refuse a `-o` target that cannot be written, before any long work is done for it.

    Raises:
        UsageError: the target is one of `inputs`, the files that the command reads.
        InputError: its directory is missing or not writable, or it is a directory itself.
    """
    if target is None:
        return
    try:
        _check_target(target, inputs)
    except OSError as error:
        raise InputError(str(target), f"cannot be written: {error.strerror or error}") from error


def _check_target(target: Path, inputs: Iterable[Path | None]) -> None:
    for path in inputs:
        if path is not None and target.exists() and path.exists() and target.samefile(path):
            raise UsageError(f"-o {target} would overwrite an input; name another file")
    if target.is_dir():
        raise InputError(str(target), "is a directory", "name a file in it")
    directory = target.resolve().parent
    if not directory.is_dir():
        raise InputError(str(target), f"there is no directory {directory}", "create it first")
    if not os.access(target if _is_special(target) else directory, os.W_OK):
        raise InputError(str(target), "cannot be written there", "choose another place")


def deliver(content: str | bytes, target: Path | None) -> None:
    """Write a finished report to stdout, or to `target` as a whole or not at all.

    Raises:
        InputError: the file, or stdout, cannot be written.
        OutputClosedError: the reader of stdout has gone.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    if target is None:
        _write_stdout(data)
        return
    try:
        _write_file(data, target)
    except OSError as error:
        raise InputError(str(target), f"cannot be written: {error.strerror or error}") from error


def deliver_files(files: Mapping[str, bytes], directory: Path) -> None:
    """Write files into a directory, which is made if it is not there; each as a whole or not at all.

    Raises:
        InputError: the directory or a file cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            _write_file(data, directory / name)
    except OSError as error:
        raise InputError(str(directory), f"cannot be written: {error.strerror or error}") from error


def _write_stdout(data: bytes) -> None:
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # The interpreter flushes stdout once more as it exits, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise OutputClosedError("stdout was closed") from error
        raise InputError("stdout", f"cannot be written: {error.strerror or error}") from error


def _write_file(data: bytes, target: Path) -> None:
    # A symbolic link is followed; a device or a FIFO is written to, not replaced by a file. That comes first:
    # /dev/stdout is a link to a pipe, which has no path of its own.
    if _is_special(target):
        target.write_bytes(data)
        return
    target = target.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_special(target: Path) -> bool:
    """Return whether the target exists and is no regular file: a device, a FIFO."""
    return target.exists() and not target.is_file()


def _umask() -> int:
    """Return the process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _stderr_line(line: str) -> None:
    sys.stderr.write(printable(" ".join(line.splitlines())) + "\n")


class ProgressLine:
    """A progress line on stderr for work that takes a while: call it with (done, total, name).

    Nothing is shown when stderr is no terminal, or before `PROGRESS_DELAY` seconds have passed. The line
    disappears when the work is done.
    """

    def __init__(self, label: str) -> None:
        """`label` says what is being done."""
        self._label = label
        self._started = time.monotonic()
        self._enabled = sys.stderr.isatty()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Start the clock."""
        self._started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the line."""
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, done: int, total: int, name: str) -> None:
        """Show that `done` of `total` functions are finished and that `name` was the last."""
        if not self._enabled:
            return
        if self._progress is None:
            if done >= total or time.monotonic() - self._started < PROGRESS_DELAY:
                return
            self._progress = self._start()
            self._task = self._progress.add_task(self._label, total=total, name="")
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, name=printable(name))

    def _start(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn(
                "{task.fields[name]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=Console(stderr=True),
            transient=True,
        )
        progress.start()
        return progress


class StatusLine:
    """The status line of long work, on stderr: rewritten in place on a terminal, else a line now and then."""

    def __init__(self) -> None:
        """Nothing is written yet."""
        self._is_terminal = sys.stderr.isatty()
        self._shown_at = -math.inf
        self._mark: object = None
        self._line = ""

    def __enter__(self) -> Self:
        """Return the line itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the line from a terminal: the report says it once more."""
        if self._is_terminal and self._line:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def show(self, line: str, mark: object) -> None:
        """Show a line; without a terminal it is written when `mark` has changed, or nothing was for a while."""
        now = time.monotonic()
        interval = REDRAWN if self._is_terminal else (TOLD_NEWS if mark != self._mark else TOLD_ANYWAY)
        if now - self._shown_at < interval:
            return
        self._shown_at, self._mark, self._line = now, mark, line
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{_cut(line, _stderr_width() - 1)}")
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _stderr_width() -> int:
    """Return the columns of stderr's own terminal: stdout may be a file, or another terminal."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        columns = 0
    # A pseudo-terminal that nobody gave a size says 0.
    return columns or PIPED_WIDTH


def _cut(line: str, width: int) -> str:
    """Return what of a line fits into `width` columns; some characters take two."""
    from rich.cells import cell_len, set_cell_size

    return line if cell_len(line) <= width else set_cell_size(line, width)
