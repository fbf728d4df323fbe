"""Verdicts: measured own beside static own, with the reason for every verdict but exact."""

from __future__ import annotations

import pytest

from stackemu.harness.reconcile import reconcile
from stackemu.harness.results import MeasuredFigures, StaticFigures


def _static(own: int | None, *open_reasons: str) -> StaticFigures:
    return StaticFigures(locals=0, saved=0, frame=0, own=own, bound=None, open=open_reasons)


def _measured(own: int | None) -> MeasuredFigures:
    return MeasuredFigures(
        outcome="returned", own=own, depth=own, chain=(), instructions=1, runs=1, blocks_seen=1, blocks=1
    )


@pytest.mark.parametrize(
    ("static", "measured", "verdict"),
    [(40, 40, "exact"), (40, 36, "within"), (40, 44, "exceeds"), (None, 44, "dynamic"), (40, None, "not-run")],
)
def test_the_verdict_follows_from_the_two_figures(static: int | None, measured: int | None, verdict: str) -> None:
    assert reconcile(_static(static), _measured(measured), 0xA5DE1000, "")[0] == verdict


def test_exact_needs_no_reason() -> None:
    assert reconcile(_static(40), _measured(40), 0xA5DE1000, "") == ("exact", None)


def test_within_names_the_instruction_that_was_not_reached_and_how_runs_ended() -> None:
    _, why = reconcile(_static(40), _measured(36), 0xA5DE1234, "1 of 8 runs did not return")
    assert why == "the deeper instruction at 0xa5de1234 was not reached; 1 of 8 runs did not return"


def test_exceeds_says_that_the_static_figure_is_wrong() -> None:
    _, why = reconcile(_static(40), _measured(44), 0xA5DE1000, "")
    assert why == "measured own 44 is more than static own 40: the static figure is wrong"


def test_dynamic_gives_the_reasons_that_concern_own_alone() -> None:
    reasons = ("alloca at 0xa5de1003", "bound: callees are not added up yet")
    assert reconcile(_static(None, *reasons), _measured(44), 0, "")[1] == "alloca at 0xa5de1003"


def test_a_function_that_did_not_run_has_the_reason() -> None:
    assert reconcile(_static(40), None, 0, "crashed: SIGSEGV") == ("not-run", "crashed: SIGSEGV")
