"""Brackets: measured depth <= truth <= bound, closed where both are equal, and what would close an open one."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from stackemu.emu.observation import Outcome
from stackemu.harness.results import BOUND_ONLY, ChainFrame, MeasuredFigures, StaticFigures
from stackemu.harness.static.bounds import Bounds

_NEVER_RETURNS = frozenset({Outcome.BUGCHECK.value, Outcome.RAISED.value})
CLOSED, OPEN, CONTRADICTED = "closed", "open", "contradicted"


def with_bound(figures: StaticFigures, bounds: Bounds, address: int) -> StaticFigures:
    """Return the figures of the function at `address` with its bound, the worst path and reasons against it."""
    bound, residue = bounds.worst(address)
    path = tuple(ChainFrame(function=name, bytes=size) for name, size in bounds.path(address, residue))
    own_reasons = {f"{BOUND_ONLY}{bounds.name(address)}: {reason}" for reason in figures.open}
    return msgspec.structs.replace(
        figures,
        bound=None if bound.reasons else bound.bytes,
        open=(*figures.open, *(reason for reason in bound.reasons if reason not in own_reasons)),
        path=path,
    )


def bracket(static: StaticFigures, measured: MeasuredFigures | None) -> tuple[str | None, str | None]:
    """Return the state of a function's bracket, None when there is none, and what would close it.

    A depth above a bound is a contradiction: one of the two is wrong. But a bound leaves out what a jump that never
    comes back leads to, such as the report of a damaged security cookie, and a run that ended so went there.
    """
    if measured is None or measured.depth is None:
        return None, None
    if static.bound is None:
        return OPEN, None if static.own_open else _first_reason(static.open)
    if measured.depth > static.bound and measured.outcome in _NEVER_RETURNS:
        return OPEN, f"no run returned: the deepest ended as {measured.outcome}, which the bound leaves out"
    if measured.depth > static.bound:
        return CONTRADICTED, (
            f"measured depth {measured.depth} is more than the bound {static.bound}: one of them is wrong"
        )
    if measured.depth == static.bound:
        return CLOSED, None
    return OPEN, f"{static.bound - measured.depth} bytes below the bound: no run went {_way(static, measured)}"


def _first_reason(reasons: Iterable[str]) -> str:
    """Return the reason to show, without the mark of reasons that speak of the bound alone."""
    texts = [reason.removeprefix(BOUND_ONLY) for reason in reasons]
    return f"no bound: {texts[0]}" if texts else "no bound"


def _way(static: StaticFigures, measured: MeasuredFigures) -> str:
    """Return the worst path as far as it is needed to tell it from the deepest chain."""
    names = [frame.function for frame in static.path]
    chain = [frame.function for frame in measured.chain]
    if names == chain:
        short = [
            frame.function
            for frame, seen in zip(static.path, measured.chain, strict=True)
            if frame.bytes > seen.bytes
        ]
        return f"through the deepest call of {short[0]}" if short else "that deep"
    shared = 0
    while shared < min(len(names), len(chain)) and names[shared] == chain[shared]:
        shared += 1
    return " > ".join(names[: shared + 1])
