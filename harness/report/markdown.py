"""A run's report as GitHub-flavoured Markdown, for a pull request or a wiki page."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stackemu.harness.printable import printable
from stackemu.harness.report import chain, figures, forced
from stackemu.harness.report.footer import Note, run_notes
from stackemu.harness.report.roots import root_rows
from stackemu.harness.results import FunctionResult, Measurement

HEADER = (
    "| function | locals | frame | own/static | depth | bound | deepest chain | verdict |\n"
    "| :--- | ---: | ---: | ---: | ---: | ---: | :--- | :--- |\n"
)
ROOTS_HEADER = "| depth | of 12 KiB | role | root |\n| ---: | ---: | :--- | :--- |\n"


def render(measurement: Measurement, rows: Sequence[FunctionResult], *, verbose: bool = False) -> str:
    """Return the table of `rows` in their order, and the same footer as the text table has.

    `verbose` adds columns: outcome, instructions, blocks and why.
    """
    header = _verbose_header() if verbose else HEADER
    body = "".join(_row(row, verbose) for row in rows)
    notes = run_notes(measurement, len(rows), verbose=verbose)
    footer = "".join(_bullet(note) for note in notes)
    title = f"### Kernel stack used by {_escaped(measurement.driver.name)}\n\n"
    return f"{title}{header}{body}\n{_roots(measurement.functions, verbose)}{footer}"


def _roots(rows: Sequence[FunctionResult], verbose: bool) -> str:
    """Return the table of what the kernel itself calls, empty when no such function is shown."""
    shown = root_rows(rows, verbose=verbose)
    if not shown:
        return ""
    lines = [f"| {row.depth} | {row.share} | {_escaped(row.role)} | {_code_cell(row.function)} |\n" for row in shown]
    return f"{ROOTS_HEADER}{''.join(lines)}\n"


def _verbose_header() -> str:
    names, rule = HEADER.splitlines()
    return f"{names} outcome | instructions | blocks | why |\n{rule} :--- | ---: | ---: | :--- |\n"


def _row(function: FunctionResult, verbose: bool) -> str:
    links = chain.links(function, shares=verbose)
    cells = [
        _code_cell(printable(function.name)),
        figures.number(function.static.locals),
        figures.number(function.static.frame),
        figures.own(function),
        figures.depth(function),
        figures.bound(function),
        " &gt; ".join(_code_cell(link) for link in (links if verbose else chain.shorten(links))),
        function.verdict,
    ]
    if verbose:
        cells += _verbose_cells(function)
    return f"| {' | '.join(cells)} |\n"


def _verbose_cells(function: FunctionResult) -> list[str]:
    measured = function.measured
    estimate = f"forced: {forced.sentence(function.forced)}" if function.forced is not None else None
    reasons = [reason for reason in (function.why, estimate, *function.findings) if reason]
    why = _escaped("; ".join(reasons))
    if measured is None:
        return [figures.UNKNOWN, figures.UNKNOWN, figures.UNKNOWN, why]
    blocks = f"{measured.blocks_seen}/{measured.blocks}"
    return [measured.outcome, str(measured.instructions), blocks, why]


def _bullet(note: Note) -> str:
    text = _code(note.text) if note.command else _escaped(note.text)
    return f"- **{note.label}**: {text}\n"


def _code(text: str) -> str:
    """Return a code span. MSVC's own names hold backquotes: the fence has one more than the longest run."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if longest else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def _code_cell(text: str) -> str:
    """Return a code span for a table, where any '|' that is not escaped ends the cell."""
    return _code(text).replace("|", r"\|")


def _escaped(text: str) -> str:
    """Return prose with what Markdown would interpret escaped."""
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", printable(text))
