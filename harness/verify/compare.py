"""A source's claims compared with a driver's figures: verdicts, what parts differ, and why.

A figure that differs from a static one is a contradiction when runs have confirmed the static side (their
verdict on the function is `exact`) and the source means its figures to be exact: one of the two must be of
another image, or wrong. Figures that runs reached are no limits, so there a difference is only that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stackemu.harness.reconcile import EXACT
from stackemu.harness.results import StaticFigures
from stackemu.harness.verify.claim import Claim, Figure
from stackemu.harness.verify.expected import SLOT, Expected, Subject, expected
from stackemu.harness.verify.matching import Match
from stackemu.harness.verify.verification import ComparedFigure, ComparedFunction, Part, Verdict, gravest

RUN_TIME_AMOUNT = "run-time amount"
"""How the reasons of static figures name an alloca."""
_Judgement = tuple[Verdict, Part | None, str | None]
"""A verdict, the part that differs, and why."""
_REACHED = (Figure.OWN_REACHED, Figure.REACHED, Figure.SEEN)


def compare(matches: Sequence[Match], subjects: Mapping[int, Subject]) -> list[ComparedFunction]:
    """Return the comparison of each match, in order; `subjects` holds its functions by RVA.

    Where a `.su` file has several functions of one name, or the driver has, which belongs to which is not known:
    the closest pair counts, and is never a contradiction.
    """
    named = Counter(match.functions for match in matches if match.claim.place is not None)
    return [
        _compare_match(match, subjects, len(match.functions) > 1 or named[match.functions] > 1) for match in matches
    ]


def _compare_match(match: Match, subjects: Mapping[int, Subject], ambiguous: bool) -> ComparedFunction:
    claim = match.claim
    candidates = [subjects[function.rva] for function in match.functions]
    if not candidates:
        return _function(claim, None, Verdict.NOT_IN_DRIVER, match.why, ())
    results = [_compare_function(claim, subject, ambiguous) for subject in candidates]
    return max(results, key=lambda one: list(Verdict).index(one.verdict))


def _compare_function(claim: Claim, subject: Subject, ambiguous: bool) -> ComparedFunction:
    judge = _Judge(claim, subject, ambiguous)
    figures = tuple(judge.figure(figure, value) for figure, value in claim.figures.items())
    verdict = gravest([figure.verdict for figure in figures])
    why = None if figures else "the source has no figure"
    return _function(claim, subject, verdict, why, figures)


def _function(
    claim: Claim, subject: Subject | None, verdict: Verdict, why: str | None, figures: tuple[ComparedFigure, ...]
) -> ComparedFunction:
    result = subject.result if subject else None
    return ComparedFunction(
        name=result.name if result else _name_in_source(claim),
        line=claim.line,
        address=result.address if result else None,
        verdict=verdict,
        why=why,
        confirmed=result.verdict if result else None,
        figures=figures or tuple(_unheld(figure, value, verdict) for figure, value in claim.figures.items()),
    )


def _name_in_source(claim: Claim) -> str:
    """Return what a claim calls its function: by name, else by place."""
    if claim.name is None:
        return claim.place or "(no name)"
    return claim.name if claim.module is None else f"{claim.module}!{claim.name}"


def _unheld(figure: Figure, value: int, verdict: Verdict) -> ComparedFigure:
    return ComparedFigure(figure=figure.value, source=value, driver=None, verdict=verdict)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges the figures of one claim about one function."""

    claim: Claim
    subject: Subject
    ambiguous: bool

    def figure(self, figure: Figure, value: int) -> ComparedFigure:
        """Return the comparison of one figure, `value` in the source."""
        against = expected(figure, self.claim, self.subject)
        if against is None:
            return ComparedFigure(
                figure=figure.value,
                source=value,
                driver=None,
                verdict=Verdict.NOT_MEASURED,
                part=Part.ALLOCA if self._allocates else None,
                why=self._missing(figure),
            )
        verdict, part, why = self._judge(figure, value, against)
        return ComparedFigure(
            figure=figure.value,
            source=value,
            driver=against.high,
            verdict=verdict,
            part=part,
            why=why,
        )

    def _judge(self, figure: Figure, value: int, against: Expected) -> _Judgement:
        if figure in _REACHED:
            return self._judge_reached(figure, value, against)
        if self.claim.dynamic != self._allocates and figure in (Figure.CLANG_FRAME, Figure.GCC_FRAME):
            says = "allocates by a run-time amount" if self.claim.dynamic else "has a constant frame"
            code = "does" if self._allocates else "does not"
            text = f"the source says that it {says}, the code {code} allocate by one"
            return self._grave(text, Part.ALLOCA)
        if against.low <= value <= against.high:
            return Verdict.AGREE, None, _within(value, against)
        if figure is Figure.CLANG_FRAME and self._may_reserve_arguments(value):
            why = "the compiler counts the arguments of its calls in the frame"
            return Verdict.DIFFER, Part.ARGUMENTS, why
        nearest = min(against.low, against.high, key=lambda bound: abs(value - bound))
        part, text = self._difference(figure, value - nearest)
        return self._grave(text, part)

    def _grave(self, text: str, part: Part) -> _Judgement:
        """Return the verdict on a difference."""
        if self.claim.estimate:
            return Verdict.DIFFER, part, f"{text}; the source only estimates"
        if self.ambiguous:
            return Verdict.DIFFER, part, f"{text}; the name is not unique, so it may be another function's"
        confirmed = self.subject.result.verdict
        if confirmed != EXACT:
            return Verdict.DIFFER, part, f"{text}; no run has confirmed the driver's figure ({confirmed})"
        return Verdict.CONTRADICTION, part, f"{text}; runs have confirmed the driver's figure"

    def _judge_reached(self, figure: Figure, value: int, against: Expected) -> _Judgement:
        limit = self._static.own if figure is Figure.OWN_REACHED else self._static.bound
        if limit is not None and value > limit:
            return self._grave(f"{value} is beyond the {limit} that the code allows", Part.LOCALS)
        if against.low <= value <= against.high:
            return Verdict.AGREE, None, None
        deeper = "the source saw it go deeper" if value > against.high else "it went deeper in this run"
        return Verdict.DIFFER, None, deeper

    def _difference(self, figure: Figure, difference: int) -> tuple[Part, str]:
        """Return which part of the stack is as large as a difference, and words for it."""
        words = f"{abs(difference)} bytes {'more' if difference > 0 else 'less'} than the code"
        for part in _PARTS[figure]:
            if self._amount(part) == abs(difference):
                return part, f"{words}, as much as the {_PART_NAMES[part]}"
        rest = Part.SAVED if figure is Figure.SAVED else Part.LOCALS
        return rest, f"{words}, in the {_PART_NAMES[rest]}"

    def _may_reserve_arguments(self, value: int) -> bool:
        """Return whether a frame of `value` bytes has the arguments of the function's calls in the place of locals.

        Unoptimised code reserves them like locals and the callee pops them: no instruction tells what they were.
        """
        static, arguments = self._static, self.subject.arguments
        return static.locals == 0 and arguments > 0 and static.saved is not None and value == static.saved + arguments

    def _amount(self, part: Part) -> int | None:
        amounts = {
            Part.LOCALS: self._static.locals,
            Part.SAVED: self._static.saved,
            Part.ARGUMENTS: self.subject.arguments,
            Part.RETURN_ADDRESS: SLOT,
            Part.ALIGNMENT: self.subject.padding,
        }
        return amounts.get(part)

    @property
    def _static(self) -> StaticFigures:
        return self.subject.result.static

    @property
    def _allocates(self) -> bool:
        return any(RUN_TIME_AMOUNT in reason for reason in self._static.own_open)

    def _missing(self, figure: Figure) -> str:
        if figure is Figure.AT_CALL:
            offset = self.claim.call_end or 0
            return f"no call of known height ends at +{offset:#x}: the trace may be of another build"
        if figure in _REACHED and self.subject.result.measured is None:
            return self.subject.result.why or "not run"
        return "; ".join(self._static.own_open) or "the driver has no such figure"


def _within(value: int, against: Expected) -> str | None:
    if against.low == against.high:
        return None
    return f"anything from {against.low} to {against.high} agrees" if value != against.high else None


_PARTS: Mapping[Figure, tuple[Part, ...]] = {
    Figure.LOCALS: (Part.SAVED, Part.ARGUMENTS, Part.RETURN_ADDRESS),
    Figure.SAVED: (Part.RETURN_ADDRESS,),
    Figure.FRAME: (Part.SAVED, Part.LOCALS, Part.ARGUMENTS, Part.RETURN_ADDRESS),
    Figure.CLANG_FRAME: (Part.SAVED, Part.LOCALS, Part.ARGUMENTS, Part.RETURN_ADDRESS),
    Figure.GCC_FRAME: (Part.SAVED, Part.LOCALS, Part.ARGUMENTS, Part.RETURN_ADDRESS, Part.ALIGNMENT),
    Figure.GCC_BOUNDED: (Part.SAVED, Part.LOCALS, Part.ARGUMENTS, Part.RETURN_ADDRESS, Part.ALIGNMENT),
    Figure.OWN: (Part.SAVED, Part.LOCALS, Part.ARGUMENTS, Part.RETURN_ADDRESS, Part.ALIGNMENT),
    Figure.AT_CALL: (Part.SAVED, Part.LOCALS, Part.ARGUMENTS, Part.RETURN_ADDRESS),
}
"""For each figure the parts that its source may count otherwise; the first one of the difference's size is named."""
_PART_NAMES = {
    Part.LOCALS: "locals",
    Part.SAVED: "saved registers",
    Part.ARGUMENTS: "arguments of its calls",
    Part.RETURN_ADDRESS: "return address",
    Part.ALIGNMENT: "realignment",
    Part.ALLOCA: "alloca",
}
