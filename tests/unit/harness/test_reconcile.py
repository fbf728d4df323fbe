"""Verdicts: what measured and static own make of each other."""

from __future__ import annotations

import pytest

from stackemu.harness.reconcile import reconcile
from stackemu.harness.results import MeasuredFigures, StaticFigures

DEEPEST_AT = 0xA5DE1340


def static(own: int | None, *reasons: str) -> StaticFigures:
    return StaticFigures(locals=0, saved=0, frame=0, own=own, bound=None, open=reasons)


def measured(own: int | None, outcome: str = "returned") -> MeasuredFigures:
    return MeasuredFigures(
        outcome=outcome, own=own, depth=own, chain=(), instructions=1, runs=8, blocks_seen=1, blocks=1
    )


@pytest.mark.parametrize(
    ("measured_own", "static_own", "verdict"),
    [(40, 40, "exact"), (32, 40, "within"), (44, 40, "exceeds"), (0, 0, "exact")],
)
def test_the_verdict_compares_own_with_own(measured_own: int, static_own: int, verdict: str) -> None:
    assert reconcile(static(static_own), measured(measured_own), DEEPEST_AT, "")[0] == verdict


def test_an_exact_verdict_of_runs_that_returned_needs_no_reason() -> None:
    assert reconcile(static(40), measured(40), DEEPEST_AT, "") == ("exact", None)


def test_an_exact_verdict_keeps_the_reason_why_runs_did_not_return() -> None:
    reason = "8 of 8 runs did not return (bugcheck: KeBugCheckEx(0xf7))"
    assert reconcile(static(24), measured(24, "bugcheck"), DEEPEST_AT, reason) == ("exact", reason)


def test_within_names_the_instruction_that_was_not_reached_and_what_stood_in_the_way() -> None:
    unreached = "the deeper instruction at 0xa5de1340 was not reached"
    assert reconcile(static(40), measured(32), DEEPEST_AT, "") == ("within", unreached)
    assert reconcile(static(40), measured(32), DEEPEST_AT, "2 of 8 runs faulted") == (
        "within",
        f"{unreached}; 2 of 8 runs faulted",
    )


def test_within_does_not_call_unreached_what_only_runs_got_to_that_do_not_count() -> None:
    found = reconcile(static(40), measured(32), DEEPEST_AT, "2 of 8 runs faulted", is_deepest_seen=True)
    assert found == (
        "within",
        "no run that counts went as deep as the instruction at 0xa5de1340; 2 of 8 runs faulted",
    )


def test_exceeds_says_that_the_static_figure_is_wrong() -> None:
    verdict, why = reconcile(static(40), measured(44), DEEPEST_AT, "")
    assert (verdict, why) == ("exceeds", "measured own 44 is more than static own 40: the static figure is wrong")


def test_dynamic_gives_the_reasons_that_speak_of_own() -> None:
    figures = static(
        None, "stack allocated by a run-time amount at 0xa5de13b8", "bound: callees are not added up yet"
    )
    assert reconcile(figures, measured(1068), DEEPEST_AT, "") == (
        "dynamic",
        "stack allocated by a run-time amount at 0xa5de13b8",
    )


@pytest.mark.parametrize("figures", [None, measured(None)])
def test_what_was_not_measured_was_not_run_whatever_the_code_says(figures: MeasuredFigures | None) -> None:
    for own in (40, None):
        assert reconcile(static(own), figures, DEEPEST_AT, "crashed: the emulator crashed (SIGSEGV)") == (
            "not-run",
            "crashed: the emulator crashed (SIGSEGV)",
        )
    assert reconcile(static(40), figures, DEEPEST_AT, "") == ("not-run", "not run")
