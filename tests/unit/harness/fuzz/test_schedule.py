"""What gets time: functions that yield, roots rather than others, deep inputs rather than shallow ones."""

from __future__ import annotations

from collections import Counter

from made_runs import context

from stackemu.harness.fuzz.schedule import Entry, Schedule
from stackemu.harness.fuzz.share import Mutate, Rearrange, Solve, Work

F, G = 0x1000, 0x1100
TURNS = 300


def _turns(schedule: Schedule, news: dict[int, int]) -> list[Mutate | Solve | Rearrange]:
    """Return what is done in so many turns when work on functions yields so much news each time."""
    done = []
    for _ in range(TURNS):
        work = schedule.next()
        assert isinstance(work, Mutate | Solve | Rearrange)
        done.append(work)
        schedule.note(work, news.get(work.parent.caller, 0))
    return done


def _counts(done: list[Mutate | Solve | Rearrange]) -> Counter[int]:
    return Counter(work.parent.caller for work in done)


def test_without_inputs_there_is_nothing_to_do() -> None:
    assert Schedule(0).next() is None


def test_a_function_that_yields_gets_most_of_the_time_and_others_some() -> None:
    schedule = Schedule(0)
    schedule.add(context(F), 8, None)
    schedule.add(context(G), 8, None)
    counts = _counts(_turns(schedule, {F: 1}))
    assert counts[F] > 3 * counts[G] > 0


def test_time_goes_elsewhere_when_a_function_yields_no_more() -> None:
    schedule = Schedule(0)
    schedule.add(context(F), 8, None)
    schedule.add(context(G), 8, None)
    _turns(schedule, {F: 1})
    counts = _counts(_turns(schedule, {}))
    assert counts[F] < 2 * counts[G]


def test_roots_get_more_than_functions_that_nobody_is_seen_to_call() -> None:
    schedule = Schedule(0)
    schedule.add(context(F), 8, None)
    schedule.add(context(G, root="IRP_MJ_READ"), 8, None)
    counts = _counts(_turns(schedule, {}))
    assert counts[G] > counts[F]


def test_the_deeper_of_two_inputs_is_chosen_more_often() -> None:
    schedule = Schedule(0)
    schedule.add(context(F, seed=1), 100, None)
    schedule.add(context(F, seed=2), 400, None)
    seeds = Counter(work.parent.source.seed for work in _turns(schedule, {}))
    assert seeds[2] > seeds[1] > 0


def test_an_input_loses_energy_as_it_is_chosen() -> None:
    entry = Entry(context(F), 400)
    fresh = entry.energy(400)
    entry.chosen = 10
    assert entry.energy(400) < fresh / 5


def test_each_input_is_solved_once_and_only_roots_have_calls_before_them() -> None:
    schedule = Schedule(0)
    schedule.add(context(F), 8, None)
    schedule.add(context(G, root="IRP_MJ_READ"), 8, None)
    done = _turns(schedule, {})
    assert Counter(work.parent.caller for work in done if isinstance(work, Solve)) == {F: 1, G: 1}
    assert {work.parent.caller for work in done if isinstance(work, Rearrange)} == {G}


def test_the_same_seed_chooses_the_same() -> None:
    def works() -> list[Work]:
        schedule = Schedule(7)
        for rva in (F, G):
            schedule.add(context(rva), rva, None)
        return list(_turns(schedule, {F: 1}))

    assert works() == works()


def test_what_was_cut_off_is_solved_again() -> None:
    schedule = Schedule(0)
    schedule.add(context(F), 8, None)
    _turns(schedule, {})
    schedule.again(context(F))
    assert sum(isinstance(work, Solve) for work in _turns(schedule, {})) == 1


def test_an_input_that_took_its_worker_down_is_not_chosen_again() -> None:
    schedule = Schedule(0)
    schedule.add(context(F, seed=1), 8, None)
    schedule.add(context(F, seed=2), 8, None)
    schedule.lose(Mutate(context(F, seed=1)))
    assert {work.parent.source.seed for work in _turns(schedule, {})} == {2}
