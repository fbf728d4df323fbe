"""Smaller inputs for the same run: what is left is what the run depends on, known here by construction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_runs import BASE, context

from stackemu.emu.calls import Arguments
from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Observation
from stackemu.emu.slots import Slot
from stackemu.harness.contexts import Context, Step
from stackemu.harness.fuzz.minimise import MAX_WRITTEN_OUT, minimised, reduced, written_out
from stackemu.harness.measure import Measurer
from stackemu.harness.runs import RunSettings, Task
from stackemu.harness.session import Driver, open_driver
from stackemu.harness.witness import input_size

STACKZOO = Path(__file__).parents[4] / "drivers" / "stackzoo.sys"
PAGE = 0x86000000
PLAINEST = Input(0, Style.ZEROS, succeed=True)
NOISE = Input(1000, Style.RANDOM, succeed=None)

NOISY = NOISE.page(PAGE)
WORD = next(at for at in range(0, 0x1000, 4) if 0 not in NOISY[at : at + 4])
"""No word of a plainer input: zeros, small numbers and the arena's pointers all have a zero among their bytes."""

Holds = Callable[[Context], bool]


def memory(offset: int, value: int, size: int = 1) -> Override:
    return Override(Place.MEMORY, PAGE + offset, value, size)


def run_of(source: Input, **others: Any) -> Context:
    return replace(context(), source=source, **others)


def holding(**wanted: bytes) -> Holds:
    """Return a predicate that asks for bytes of the page, by offsets such as `x10`."""
    places = {int(name[1:], 16): data for name, data in wanted.items()}

    def holds(one: Context) -> bool:
        page = one.source.page(PAGE)
        return all(page[at : at + len(data)] == data for at, data in places.items())

    return holds


def not_known(_: Context) -> None:
    return None


def test_only_the_places_that_the_run_depends_on_stay() -> None:
    needed = (memory(0x10, 0xAB), memory(0x200, 0x1234, 2), memory(0x300, 0xCD))
    others = tuple(memory(0x400 + 4 * index, 0x11223344 + index, 4) for index in range(40))
    mixed = (*others[:13], needed[0], *others[13:30], needed[1], needed[2], *others[30:])
    holds = holding(x10=b"\xab", x200=b"\x34\x12", x300=b"\xcd")
    found = minimised(run_of(replace(NOISE, overrides=mixed)), holds, not_known)
    assert found.source == replace(PLAINEST, overrides=needed)


def test_a_run_that_depends_on_nothing_is_left_with_the_plainest_input() -> None:
    start = run_of(replace(NOISE, overrides=(memory(0, 1), Override(Place.OUTCOME, 3, 0))), alignment=32)
    assert minimised(start, lambda _: True, not_known) == context()


def test_the_plainest_input_is_left_alone() -> None:
    assert minimised(context(), lambda _: True, not_known) == context()


def test_an_alignment_that_matters_stays() -> None:
    start = run_of(NOISE, alignment=32)
    assert minimised(start, lambda one: one.alignment == 32, not_known) == run_of(PLAINEST, alignment=32)


def test_a_smaller_seed_is_taken_where_the_style_matters() -> None:
    found = minimised(run_of(NOISE), lambda one: one.source.style is Style.RANDOM, not_known)
    assert found.source == Input(0, Style.RANDOM, succeed=None)


@pytest.mark.parametrize("needed", [(), (2,), (0, 4), (1, 2, 3)])
def test_only_the_calls_before_that_matter_stay(needed: Sequence[int]) -> None:
    steps = tuple(Step(Root(BASE + index, "timer DPC", "timer-dpc"), PLAINEST) for index in range(5))
    wanted = tuple(steps[index] for index in needed)
    start = run_of(PLAINEST, before=steps)
    assert minimised(start, lambda one: set(wanted) <= set(one.before), not_known).before == wanted


# -- values --


@pytest.mark.parametrize(
    ("given", "wanted", "left"),
    [
        pytest.param(memory(8, 0x44332211, 4), {"x8": b"\x11"}, memory(8, 0x11), id="upper bytes"),
        pytest.param(memory(8, 0x44332211, 4), {"xb": b"\x44"}, memory(0xB, 0x44), id="lower bytes"),
        pytest.param(memory(8, 0x887766554433221100, 9), {"xb": b"\x33\x44"}, memory(0xB, 0x4433, 2), id="both ends"),
        pytest.param(memory(8, int.from_bytes(bytes(range(1, 65))), 64), {"x1e": b"*"}, memory(0x1E, 42), id="text"),
    ],
)
def test_bytes_of_a_place_that_do_not_matter_go(given: Override, wanted: dict[str, bytes], left: Override) -> None:
    found = minimised(run_of(replace(PLAINEST, overrides=(given,))), holding(**wanted), not_known)
    assert found.source.overrides == (left,)


def test_a_place_that_has_to_hold_anything_but_zero_holds_a_one_of_one_byte() -> None:
    start = run_of(replace(PLAINEST, overrides=(memory(8, 0x44332211, 4),)))
    found = minimised(start, lambda one: one.source.page(PAGE)[8] != 0, not_known)
    assert found.source.overrides == (memory(8, 1),)


def test_a_zero_that_matters_is_as_narrow_as_it_can_be() -> None:
    start = run_of(replace(NOISE, overrides=(memory(WORD, 0x44332200, 4),)))

    def holds(one: Context) -> bool:
        return one.source.page(PAGE)[WORD] == 0 and one.source.seed == NOISE.seed

    assert minimised(start, holds, not_known).source.overrides == (memory(WORD, 0),)


def test_a_number_that_matters_only_in_its_low_bits_loses_the_others() -> None:
    start = run_of(replace(PLAINEST, overrides=(Override(Place.RESULT, 8, 0x86004105),)))
    found = minimised(start, lambda one: one.source.result(8) & 0xFF == 5, not_known)
    assert found.source.overrides == (Override(Place.RESULT, 8, 5),)


# -- a run written out --


CLEARED = tuple(memory(at, 0) for at in range(WORD + 4, 0x1000) if NOISY[at])[:10]
"""On a page of noise each of these zeros has to be said, on one of zeros none."""
BUSY = run_of(replace(NOISE, overrides=CLEARED))


def clears(one: Context) -> bool:
    page = one.source.page(PAGE)
    return page[WORD : WORD + 4] == NOISY[WORD : WORD + 4] and not any(page[place.key - PAGE] for place in CLEARED)


def busy_written_out(_: Context) -> Input:
    page = BUSY.source.page(PAGE)
    return replace(PLAINEST, overrides=tuple(memory(at, page[at]) for at in range(WORD + 0x80)))


def test_what_a_run_reads_of_its_base_is_written_out_where_that_is_smaller() -> None:
    found = minimised(BUSY, clears, busy_written_out)
    assert replace(found.source, overrides=()) == PLAINEST
    assert found.source.page(PAGE) == bytes(WORD) + NOISY[WORD : WORD + 4] + bytes(0x1000 - WORD - 4)
    assert len(found.source.overrides) == 4


def test_a_run_stays_on_its_base_where_writing_it_out_is_larger() -> None:
    start = run_of(NOISE)
    seen = NOISE.page(PAGE)[:64]
    spelled = replace(PLAINEST, overrides=(memory(0, int.from_bytes(seen, "little"), 64),))
    assert minimised(start, lambda one: one.source.page(PAGE)[:64] == seen, lambda _: spelled) == start


def test_a_run_that_is_another_one_when_it_is_written_out_keeps_its_base() -> None:
    found = minimised(BUSY, clears, lambda _: replace(PLAINEST, overrides=(memory(0x900, 1),)))
    assert found == BUSY


# -- what holds of every search --


@pytest.mark.parametrize("attempts", range(0, 120, 7))
def test_a_search_that_is_cut_short_returns_what_was_shown_to_hold_and_nothing_larger(attempts: int) -> None:
    asked: dict[Context, bool] = {}

    def holds(one: Context) -> bool:
        assert one not in asked, "the same run twice"
        asked[one] = clears(one)
        return asked[one]

    found = minimised(BUSY, holds, busy_written_out, attempts=attempts)
    assert len(asked) <= attempts
    assert found == BUSY or asked[found]
    assert input_size(found) <= input_size(BUSY)


def test_the_same_search_has_the_same_result() -> None:
    assert minimised(BUSY, clears, busy_written_out) == minimised(BUSY, clears, busy_written_out)


def test_minimising_again_changes_nothing() -> None:
    once = minimised(BUSY, clears, busy_written_out)
    assert minimised(once, clears, busy_written_out) == once


@pytest.mark.parametrize("needed", [(), (0,), (15,), (3, 4), (0, 7, 8, 15), tuple(range(16))])
def test_reduction_ends_with_exactly_the_items_that_are_needed(needed: tuple[int, ...]) -> None:
    assert tuple(reduced(range(16), lambda items: set(needed) <= set(items))) == needed


# -- runs of stackzoo --


@pytest.fixture(scope="module")
def driver() -> Driver:
    return open_driver(STACKZOO)


@pytest.fixture(scope="module")
def measurer(driver: Driver) -> Measurer:
    return Measurer(driver, RunSettings(explored=400, initialise=False))


def function(driver: Driver, name: str) -> Any:
    return next(one for one in driver.functions if one.name == name)


def spelled_out(measurer: Measurer, one: Context) -> Input | None:
    measurer.states.enter(one.before, (one.way,))
    budget = RunSettings().budget
    machine: Any = measurer.machine
    return written_out(machine, one.caller, one.source, one.way, alignment=one.alignment, budget=budget)


def shown(observation: Observation) -> tuple[object, ...]:
    return observation.outcome, observation.depth, observation.chain


def test_the_hidden_deep_path_is_left_with_what_its_source_asks_for(driver: Driver, measurer: Measurer) -> None:
    """drivers/stackzoo/hidden.c: the number, the word, the length and the checksum; nothing else is compared."""
    hidden = function(driver, "ZooHiddenDeepPath")
    start = measurer.measure(Task(hidden)).context
    assert start is not None
    deep = shown(measurer.repeat(hidden.rva, start))
    found = minimised(
        start,
        lambda one: shown(measurer.repeat(hidden.rva, one)) == deep,
        lambda one: spelled_out(measurer, one),
    )
    again = Measurer(driver, RunSettings(initialise=False)).repeat(hidden.rva, found)
    assert shown(again) == deep
    assert again.depth > 3 * 1024  # ZooHiddenBottom's array
    assert input_size(found) < 64
    said = {(one.size, one.value) for one in found.source.overrides}
    assert (4, 0x5A004B1D) in said
    assert {(1, ord(letter)) for letter in "DEP"} <= said
    assert sum(one.size for one in found.source.overrides) <= 4 + 4 + 2 + 2


RECURSIVE = Input(0, Style.SMALL, succeed=True)
"""Its second argument, the depth of recursion, is not zero as that of the plainest input is."""


def test_a_run_that_depends_on_an_argument_is_the_same_when_it_is_written_out(
    driver: Driver, measurer: Measurer
) -> None:
    rva = function(driver, "ZooRecursive").rva
    start = Context(rva, Arguments(("unsigned char*", False)), 0, RECURSIVE)
    written = spelled_out(measurer, start)
    assert written is not None
    assert replace(written, overrides=()) == PLAINEST
    run, plain = (replace(start, source=source) for source in (written, PLAINEST))
    assert shown(measurer.repeat(rva, run)) == shown(measurer.repeat(rva, start))
    assert shown(measurer.repeat(rva, plain)) != shown(measurer.repeat(rva, start))


def test_a_run_is_the_same_when_it_is_written_out_whose_argument_lies_changed_on_the_stack(
    driver: Driver, measurer: Measurer
) -> None:
    hidden = function(driver, "ZooHiddenDeepPath")
    start = measurer.measure(Task(hidden)).context
    assert start is not None
    written = spelled_out(measurer, start)
    assert written is not None
    again = measurer.repeat(hidden.rva, replace(start, source=written))
    assert shown(again) == shown(measurer.repeat(hidden.rva, start))


class Learning:
    """A machine on which runs depend on so many places."""

    def __init__(self, places: int) -> None:
        self._places = places

    def learn(self, *_: object, **__: object) -> tuple[Slot, ...]:
        return tuple(Slot(Place.MEMORY, PAGE + 4 * index) for index in range(self._places))


def test_a_run_that_depends_on_too_many_places_is_not_written_out() -> None:
    def of(places: int) -> Input | None:
        machine: Any = Learning(places)
        return written_out(machine, 0x1000, NOISE, Arguments(), alignment=0, budget=1000)

    assert of(MAX_WRITTEN_OUT + 1) is None
    written = of(MAX_WRITTEN_OUT)
    assert written is not None
    assert written.page(PAGE)[: 4 * MAX_WRITTEN_OUT] == NOISE.page(PAGE)[: 4 * MAX_WRITTEN_OUT]
