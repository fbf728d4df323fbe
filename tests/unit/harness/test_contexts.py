"""Functions inside their callers' runs: which runs are worth a second look."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stackemu.emu.calls import Arguments
from stackemu.emu.inputs import Input, Style
from stackemu.emu.observation import Mark, Observation, Outcome
from stackemu.harness.contexts import Figures, Visit, deeper_contexts, visits_of
from stackemu.harness.explore import Attempt

CALLER, CALLEE = 0xA5DE1000, 0xA5DE2000
WAY = Arguments()


def attempt(seed: int, marks: Sequence[Mark], outcome: Outcome = Outcome.RETURNED) -> Attempt:
    observation = Observation(outcome, None, 0, 0, (), 1, (), None, None, (), exact=True, marks=tuple(marks))
    return Attempt(Input(seed, Style.ZEROS, True), 0, observation)


def visits(*attempts: Attempt) -> tuple[Visit, ...]:
    return visits_of(CALLER - 0xA5DE0000, CALLER, [(WAY, 4)], attempts)


def test_the_deepest_own_and_the_deepest_depth_may_come_from_two_runs() -> None:
    found = visits(
        attempt(1, [Mark(CALLER, 500, 900, True), Mark(CALLEE, 40, 60, True)]),
        attempt(2, [Mark(CALLEE, 20, 200, True)]),
    )
    assert [(one.function, one.own, one.depth, one.context.source.seed) for one in found] == [
        (CALLEE, 40, 60, 1),
        (CALLEE, 20, 200, 2),
    ]
    assert found[0].context.caller == 0x1000
    assert (found[0].context.way, found[0].context.alignment) == (WAY, 4)


@pytest.mark.parametrize("outcome", [Outcome.BUDGET, Outcome.OVERFLOW])
def test_frames_that_stood_when_a_run_ran_away_do_not_count(outcome: Outcome) -> None:
    over, standing = Mark(CALLEE, 8, 8, True), Mark(CALLEE, 9000, 9000, False)
    assert [one.own for one in visits(attempt(1, [over], outcome))] == [8, 8]
    assert visits(attempt(1, [standing], outcome)) == ()


def test_of_equal_frames_one_that_was_left_is_preferred() -> None:
    cut = attempt(1, [Mark(CALLEE, 8, 8, False)], Outcome.FAULTED)
    whole = attempt(2, [Mark(CALLEE, 8, 8, True)])
    assert {one.context.source.seed for one in visits(cut, whole)} == {2}


@pytest.mark.parametrize(
    ("own", "depth", "returned", "wanted"),
    [
        (40, 60, True, False),
        (39, 60, True, True),
        (40, 59, True, True),
        (40, 60, False, True),
        (41, 61, False, False),
    ],
    ids=["as deep", "deeper own", "deeper depth", "as deep and returned", "less deep"],
)
def test_a_context_is_looked_at_where_it_shows_more(own: int, depth: int, returned: bool, wanted: bool) -> None:
    found = visits(attempt(1, [Mark(CALLEE, 40, 60, True)]))
    contexts = deeper_contexts(found, {CALLEE: Figures(own, depth, returned)})
    assert (CALLEE in contexts) is wanted


def test_one_context_is_looked_at_once_and_functions_that_were_not_run_never() -> None:
    found = visits(attempt(1, [Mark(CALLEE, 40, 60, True), Mark(0xA5DE3000, 40, 60, True)]))
    contexts = deeper_contexts(found, {CALLEE: Figures(0, 0, True)})
    assert {address: len(ones) for address, ones in contexts.items()} == {CALLEE: 1}
