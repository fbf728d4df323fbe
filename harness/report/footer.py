"""What a report says below its rows: counts, what is missing and why, findings, and what to type next."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from stackemu.harness.printable import printable
from stackemu.harness.report.figures import counts, is_lower_bound, measured_number
from stackemu.harness.results import DriverInfo, FunctionResult, Measurement

SHOWN_LINES = 3
"""Lines of one kind (reasons, findings) that a short footer shows."""
SHOWN_NAMES = 3
"""Functions that one reason names."""


@dataclass(frozen=True, slots=True)
class Note:
    """One line of a footer: what it is about, and its text. A command is meant to be typed: never folded."""

    label: str
    text: str
    command: bool = False


def run_notes(measurement: Measurement, shown: int, *, verbose: bool = False) -> list[Note]:
    """Return the footer of a run's report; `shown` is how many functions the report lists above it."""
    summary = measurement.summary
    notes = [_functions_note(measurement, shown, f", {summary.measured} measured")]
    # A static figure that a run has proved wrong comes before everything else.
    notes += _by_reason(measurement.functions, "exceeds", None)
    contradicted = [function for function in measurement.functions if function.bracket == "contradicted"]
    notes += _grouped("contradiction", ((function.why, function.name) for function in contradicted), None)
    if summary.verdicts:
        notes.append(Note("verdicts", counts(summary.verdicts)))
    notes += _brackets(measurement)
    if summary.outcomes:
        notes.append(Note("outcomes", counts(summary.outcomes)))
    notes += _initialisation(measurement)
    if summary.deepest is not None and summary.deepest_bytes is not None:
        notes.append(Note("deepest", f"{printable(summary.deepest)}, {_deepest_bytes(measurement)} bytes"))
    limit = None if verbose else SHOWN_LINES
    for verdict in ("not-run", "within"):
        notes += _by_reason(measurement.functions, verdict, limit)
    exact = [one for one in measurement.functions if one.bracket == "open" and one.verdict == "exact"]
    notes += _grouped("open", ((one.why, one.name) for one in exact), limit)
    notes += _findings(measurement.functions, limit)
    notes += _warnings(measurement)
    if verbose:
        notes.append(_settings_note(measurement))
    return [*notes, Note("next", _next_after_run(measurement), command=True)]


def static_notes(measurement: Measurement, shown: int, *, verbose: bool = False) -> list[Note]:
    """Return the footer of a static report; `shown` is how many functions the report lists above it."""
    limit = None if verbose else SHOWN_LINES
    reasons = (
        ("; ".join(function.static.own_open) or None, function.name)
        for function in measurement.functions
        if function.static.own is None
    )
    return [
        _functions_note(measurement, shown, ""),
        *_grouped("no constant", reasons, limit),
        *_findings(measurement.functions, limit),
        *_warnings(measurement),
        Note("next", command_line(measurement.driver, "run"), command=True),
    ]


def as_lines(notes: Sequence[Note], width: int) -> list[tuple[str, str]]:
    """Return the notes as (padded label, text) lines of at most `width` columns where words allow it."""
    label_width = max(len(note.label) for note in notes) + 2
    lines: list[tuple[str, str]] = []
    for note in notes:
        folded = [note.text]
        if not note.command:
            room = max(width - label_width, 20)
            folded = textwrap.wrap(note.text, room, break_long_words=False, break_on_hyphens=False) or [""]
        labels = [f"{note.label}:", *[""] * (len(folded) - 1)]
        lines += [(label.ljust(label_width), text) for label, text in zip(labels, folded, strict=True)]
    return lines


def _functions_note(measurement: Measurement, shown: int, more: str) -> Note:
    driver = measurement.driver
    total = measurement.summary.functions
    number = f"{shown} shown of {total}" if shown != total else str(total)
    return Note(
        "functions",
        f"{number} in {printable(driver.name)} ({driver.machine}, names from {driver.symbols.source}){more}",
    )


def _settings_note(measurement: Measurement) -> Note:
    settings = (f"{name} {value}" for name, value in measurement.settings.items())
    return Note("settings", ", ".join(settings) or "none recorded")


def _brackets(measurement: Measurement) -> list[Note]:
    """Return how many functions' worst case is known: the measured depth is the bound."""
    brackets = measurement.summary.brackets
    total = sum(brackets.values())
    if not total:
        return []
    return [Note("brackets", f"{brackets.get('closed', 0)} of {total} closed (=): their worst case is known")]


def _initialisation(measurement: Measurement) -> list[Note]:
    """Return how DriverEntry ended, nothing when it succeeded or was not asked for."""
    initialisation = measurement.initialisation
    if initialisation is None or initialisation.why is None:
        return []
    text = f"{initialisation.outcome}: {initialisation.why}; other functions start from what it left behind"
    return [Note("DriverEntry", printable(text))]


def _deepest_bytes(measurement: Measurement) -> str:
    """Return the summary's deepest figure, marked when the run it comes from did not return."""
    summary = measurement.summary
    for function in measurement.functions:
        measured = function.measured
        if function.name == summary.deepest and measured and measured.depth == summary.deepest_bytes:
            return measured_number(measured, summary.deepest_bytes)
    return str(summary.deepest_bytes)


def _by_reason(functions: Iterable[FunctionResult], verdict: str, limit: int | None) -> list[Note]:
    reasons = ((function.why, function.name) for function in functions if function.verdict == verdict)
    return _grouped(verdict, reasons, limit)


def _grouped(label: str, reasons: Iterable[tuple[str | None, str]], limit: int | None) -> list[Note]:
    """Return one note a reason, the most frequent first, each naming the first of its functions."""
    names_by_reason: dict[str, list[str]] = {}
    for reason, name in reasons:
        names_by_reason.setdefault(reason or "no reason recorded", []).append(name)
    ordered = sorted(names_by_reason.items(), key=lambda item: -len(item[1]))
    texts = []
    for reason, names in ordered:
        more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        texts.append(printable(f"{', '.join(names[:SHOWN_NAMES])}{more}: {reason}"))
    return list(_limited(label, texts, limit))


def _findings(functions: Iterable[FunctionResult], limit: int | None) -> Iterator[Note]:
    texts = [printable(f"{function.name}: {finding}") for function in functions for finding in function.findings]
    return _limited("finding", texts, limit)


def _warnings(measurement: Measurement) -> list[Note]:
    return [Note("warning", printable(warning)) for warning in measurement.summary.warnings]


def _limited(label: str, texts: Sequence[str], limit: int | None) -> Iterator[Note]:
    """Yield the first `limit` texts as notes, then one that counts the rest."""
    for text in texts[:limit]:
        yield Note(label, text)
    if limit is not None and len(texts) > limit:
        yield Note(label, f"... and {len(texts) - limit} more; -v shows them")


def _next_after_run(measurement: Measurement) -> str:
    """Return the command that answers the question which this report leaves open."""
    exceeding = _first(measurement, "exceeds")
    if exceeding is not None:
        return command_line(measurement.driver, "run", "--func", exceeding.name, "--single-step", "-v")
    open_functions = [
        function
        for function in measurement.functions
        if function.verdict == "within" or (function.measured and is_lower_bound(function.measured))
    ]
    if open_functions:
        return command_line(measurement.driver, "run", "--func", open_functions[0].name, "--inputs", "1000", "-v")
    if _first(measurement, "not-run") is not None:
        return command_line(measurement.driver, "run", "-v")
    name = f"{measurement.driver.name}.json"
    return command_line(measurement.driver, "run", "--format", "json", "-o", name)


def _first(measurement: Measurement, verdict: str) -> FunctionResult | None:
    return next((function for function in measurement.functions if function.verdict == verdict), None)


def command_line(driver: DriverInfo, command: str, *options: str) -> str:
    """Return a command line for the same driver and, where they are not beside it, the same symbols."""
    path, symbols = driver.path, driver.symbols.path
    given = []
    if symbols is not None and PurePath(symbols).parent != PurePath(path).parent:
        given = ["--symbols", symbols]
    return printable(shlex.join(["stackemu", command, path, *given, *options]))
