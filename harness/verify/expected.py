"""What of a driver's function each kind of figure is held against.

| figure | agrees when it is |
| --- | --- |
| locals, saved, frame, own | the static figure of that name |
| frame (clang) | the static frame, or less by no more than a realignment can have rounded the locals up |
| frame (gcc) | the static frame and the return address |
| frame (gcc, bounded) | from that to the static own, or to that with the worst realignment where this is more |
| own at call | how far below E the code is when that call has pushed its return address |
| own reached, depth reached | what this run reached |
| depth seen | at most what this run reached |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stackemu.emu.code.instruction import Flow
from stackemu.emu.code.model import CodeModel
from stackemu.emu.code.semantics import MAX_ALIGNMENT
from stackemu.harness.results import FunctionResult
from stackemu.harness.static.figures import residues
from stackemu.harness.verify.claim import Claim, Figure

SLOT = 4
"""Bytes of a return address or a register, on x86."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A function of the driver: its result, and its code."""

    result: FunctionResult
    model: CodeModel

    @property
    def padding(self) -> int:
        """Return the most bytes that the function's realignment costs."""
        return max(0, self.model.heights(self.result.address).realigns - SLOT)

    @property
    def arguments(self) -> int:
        """Return the most bytes of arguments that stand below the frame at a call, 0 where that is not known."""
        static = self.result.static
        if static.own is None or static.frame is None:
            return 0
        return max(0, static.own - static.frame - self.padding - SLOT)

    def at_call(self, end: int, entry: int | None) -> list[int]:
        """Return how far below E the call that ends at offset `end` goes, for every alignment of E; or for that of
        `entry`, where E is known.

        Empty where no call ends there.
        """
        address = self.result.address
        instructions = self.model.code(address).instructions.values()
        site = next((one.address for one in instructions if one.flow is Flow.CALL and one.end == address + end), None)
        if site is None:
            return []
        alignments = residues(self.model.heights(address)) if entry is None else [entry % MAX_ALIGNMENT]
        offsets = (self.model.heights(address, residue).esp_before.get(site) for residue in alignments)
        return [SLOT - offset for offset in offsets if offset is not None]


@dataclass(frozen=True, slots=True)
class Expected:
    """The figures that agree, all from `low` to `high`; a report shows `high`."""

    low: int
    high: int


def expected(figure: Figure, claim: Claim, subject: Subject) -> Expected | None:
    """Return what `figure` of a claim should be; None where the driver has nothing to hold against it."""
    return _RULES[figure](subject, claim)


def _exactly(value: int | None) -> Expected | None:
    return None if value is None else Expected(value, value)


def _clang_frame(subject: Subject, _claim: Claim) -> Expected | None:
    frame = subject.result.static.frame
    return None if frame is None else Expected(max(0, frame - subject.padding), frame)


def _gcc_frame(subject: Subject, _claim: Claim) -> Expected | None:
    frame = subject.result.static.frame
    return _exactly(None if frame is None else frame + SLOT)


def _gcc_bounded(subject: Subject, _claim: Claim) -> Expected | None:
    static = subject.result.static
    if static.frame is None:
        return None
    low = static.frame + SLOT
    return Expected(low, max(low + subject.padding, static.own or 0))


def _at_call(subject: Subject, claim: Claim) -> Expected | None:
    heights = subject.at_call(claim.call_end, claim.entry) if claim.call_end is not None else []
    return Expected(min(heights), max(heights)) if heights else None


def _own_reached(subject: Subject, _claim: Claim) -> Expected | None:
    measured = subject.result.measured
    return _exactly(measured.own if measured else None)


def _depth_reached(subject: Subject, _claim: Claim) -> Expected | None:
    measured = subject.result.measured
    return _exactly(measured.depth if measured else None)


def _depth_seen(subject: Subject, claim: Claim) -> Expected | None:
    reached = _depth_reached(subject, claim)
    return None if reached is None else Expected(0, reached.high)


_RULES: Mapping[Figure, Callable[[Subject, Claim], Expected | None]] = {
    Figure.LOCALS: lambda subject, _: _exactly(subject.result.static.locals),
    Figure.SAVED: lambda subject, _: _exactly(subject.result.static.saved),
    Figure.FRAME: lambda subject, _: _exactly(subject.result.static.frame),
    Figure.OWN: lambda subject, _: _exactly(subject.result.static.own),
    Figure.CLANG_FRAME: _clang_frame,
    Figure.GCC_FRAME: _gcc_frame,
    Figure.GCC_BOUNDED: _gcc_bounded,
    Figure.AT_CALL: _at_call,
    Figure.OWN_REACHED: _own_reached,
    Figure.REACHED: _depth_reached,
    Figure.SEEN: _depth_seen,
}
