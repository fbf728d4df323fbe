"""The bracket of a function: closed, open with what would close it, or contradicted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stackemu.harness.bracket import CLOSED, CONTRADICTED, OPEN, bracket
from stackemu.harness.results import ChainFrame, MeasuredFigures, StaticFigures


def frames(*shares: tuple[str, int]) -> tuple[ChainFrame, ...]:
    return tuple(ChainFrame(function=name, bytes=size) for name, size in shares)


def static(bound: int | None, path: Sequence[tuple[str, int]] = (), open_: tuple[str, ...] = ()) -> StaticFigures:
    return StaticFigures(locals=0, saved=0, frame=0, own=8, bound=bound, open=open_, path=frames(*path))


def measured(depth: int | None, chain: Sequence[tuple[str, int]] = (), outcome: str = "returned") -> MeasuredFigures:
    return MeasuredFigures(
        outcome=outcome,
        own=8,
        depth=depth,
        chain=frames(*chain),
        instructions=1,
        runs=1,
        blocks_seen=1,
        blocks=1,
    )


def test_a_depth_that_reaches_the_bound_closes_the_bracket() -> None:
    assert bracket(static(40), measured(40)) == (CLOSED, None)


def test_a_depth_above_the_bound_is_a_contradiction() -> None:
    state, why = bracket(static(40), measured(44))
    assert state == CONTRADICTED
    assert why == "measured depth 44 is more than the bound 40: one of them is wrong"


@pytest.mark.parametrize(
    ("path", "chain", "way"),
    [
        ((("A", 8), ("B", 8), ("C", 24)), (("A", 8), ("D", 12)), "A > B"),
        ((("A", 8), ("B", 32)), (("A", 20),), "A > B"),
        ((("A", 28), ("B", 12)), (("A", 8), ("B", 12)), "through the deepest call of A"),
    ],
    ids=["another callee", "a callee that was not called", "another call of the same callee"],
)
def test_an_open_bracket_names_where_the_worst_path_leaves_the_chain(
    path: Sequence[tuple[str, int]], chain: Sequence[tuple[str, int]], way: str
) -> None:
    assert bracket(static(40, path), measured(20, chain)) == (OPEN, f"20 bytes below the bound: no run went {way}")


def test_without_a_bound_the_first_reason_against_it_is_given() -> None:
    reasons = ("bound: recursion A > A, 8 bytes a turn at most", "bound: B: something else")
    assert bracket(static(None, (), reasons), measured(20)) == (
        OPEN,
        "no bound: recursion A > A, 8 bytes a turn at most",
    )


def test_reasons_that_the_verdict_gives_already_are_not_repeated() -> None:
    assert bracket(static(None, (), ("stack allocated by a run-time amount",)), measured(20)) == (OPEN, None)


@pytest.mark.parametrize("outcome", ["bugcheck", "raised"])
def test_the_way_into_a_bugcheck_does_not_contradict_the_bound(outcome: str) -> None:
    assert bracket(static(0), measured(24, outcome=outcome)) == (
        OPEN,
        f"no run returned: the deepest ended as {outcome}, which the bound leaves out",
    )


def test_what_was_not_measured_has_no_bracket() -> None:
    assert bracket(static(40), None) == (None, None)
    assert bracket(static(40), measured(None)) == (None, None)
