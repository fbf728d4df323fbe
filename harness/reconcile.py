"""Static and measured figures joined into a verdict, with the reason for every verdict but `exact`."""

from __future__ import annotations

from stackemu.harness.results import MeasuredFigures, StaticFigures

EXACT, WITHIN, EXCEEDS, DYNAMIC, NOT_RUN = "exact", "within", "exceeds", "dynamic", "not-run"


def reconcile(
    static: StaticFigures,
    measured: MeasuredFigures | None,
    deepest_at: int,
    reason: str,
    *,
    is_deepest_seen: bool = False,
) -> tuple[str, str | None]:
    """Return verdict and reason.

    `deepest_at` is the address of the instruction that reaches the static own; `reason` says why nothing was
    measured, or how runs ended that did not return. `is_deepest_seen`: whether the block of that instruction ran, be
    it in runs that do not count because others returned.
    """
    if measured is None or measured.own is None:
        return NOT_RUN, reason or "not run"
    if static.own is None:
        return DYNAMIC, "; ".join(static.own_open) or None
    if measured.own > static.own:
        return (
            EXCEEDS,
            f"measured own {measured.own} is more than static own {static.own}: the static figure is wrong",
        )
    if measured.own < static.own:
        text = f"the deeper instruction at {deepest_at:#010x} was not reached"
        if is_deepest_seen:
            text = f"no run that counts went as deep as the instruction at {deepest_at:#010x}"
        return WITHIN, f"{text}; {reason}" if reason else text
    return EXACT, reason or None
