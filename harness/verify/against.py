"""A driver verified against a source: matched, surveyed and compared in one document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from stackemu.emu.errors import CheckFailedError
from stackemu.emu.symbols.function import Kind
from stackemu.harness.session import Driver
from stackemu.harness.static_survey import static_survey
from stackemu.harness.survey import RunSettings, run_survey
from stackemu.harness.verify.claim import Format, Source
from stackemu.harness.verify.compare import compare
from stackemu.harness.verify.expected import Subject
from stackemu.harness.verify.matching import Match, match_claims, misplaced
from stackemu.harness.verify.verification import ComparedFunction, SourceInfo, Verdict, Verification

_WHOLE = (Format.ACE, Format.SU, Format.RESULT)
"""Formats that list a whole driver, or all that was compiled."""
NAMED = 3
"""Functions that the line about contradictions names."""


class ContradictionError(CheckFailedError):
    """A source says what cannot be true of the driver."""


def verify(
    driver: Driver,
    source: Source,
    path: Path,
    settings: RunSettings | None,
    on_progress: Callable[[int, int, str], None],
) -> Verification:
    """Return the comparison of `source`, read from `path`, with the driver.

    The functions that the source speaks of are run with `settings`; without settings, only the static figures
    are compared, and nothing confirms them.
    """
    matches = match_claims(source.claims, driver.functions, driver.image.module)
    spoken_of = {function.rva for match in matches for function in match.functions}
    functions = [function for function in driver.functions if function.rva in spoken_of]
    if settings is not None and functions:
        measurement = run_survey(driver, functions, settings, on_progress)
    else:
        measurement = static_survey(driver, functions)
    model = driver.code_model()
    compared = compare(matches, {result.rva: Subject(result, model) for result in measurement.functions})
    return Verification(
        driver=measurement.driver,
        source=SourceInfo(path=str(path), format=source.format.value),
        settings=measurement.settings,
        functions=tuple(compared),
        unmentioned=tuple(_unmentioned(driver, source.format, spoken_of)),
        summary=dict(Counter(function.verdict for function in compared)),
        notes=tuple(_notes(driver, source, matches)),
    )


def refuse_contradictions(document: Verification) -> None:
    """Raise for what cannot be true in a source.

    Raises:
        ContradictionError: there is such a figure; the message names the first functions and the first reason.
    """
    found = [function for function in document.functions if function.verdict is Verdict.CONTRADICTION]
    if not found:
        return
    first = next(figure for figure in found[0].figures if figure.verdict is Verdict.CONTRADICTION)
    others = [function.name for function in found[1:NAMED]]
    more = f"; also {', '.join(others)}" if others else ""
    more += f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    raise ContradictionError(
        f"{_place(document, found[0])}: {found[0].name}: {first.figure} {first.source} contradicts "
        f"the driver's {first.driver}: {first.why}{more}"
    )


def _unmentioned(driver: Driver, listing: Format, spoken_of: Collection[int]) -> list[str]:
    """Return the functions that a source should speak of, had it been made of the whole driver, and does not."""
    if listing not in _WHOLE:
        return []
    others = [one for one in driver.functions if one.rva not in spoken_of and one.kind is not Kind.IMPORT_THUNK]
    if listing is not Format.ACE:
        return [function.name for function in others]
    # Functions without locals are left out of this listing.
    return [result.name for result in static_survey(driver, others).functions if result.static.locals]


def _place(document: Verification, function: ComparedFunction) -> str:
    path = document.source.path
    return path if function.line is None else f"{path}:{function.line}"


def _notes(driver: Driver, source: Source, matches: Sequence[Match]) -> Iterator[str]:
    yield from source.notes
    if source.image_sha256 is not None and source.image_sha256 != driver.image.sha256:
        yield "the source was measured on another image: its SHA-256 differs"
    wrong, total = misplaced(matches)
    if wrong:
        yield f"addresses that do not fit this image: {wrong} of {total}; the source may be of another build"
    if source.format is Format.C6262:
        yield "C6262 estimates locals from the source code, before optimisation: it can differ without being wrong"
