"""Steps between a place of the input and a computed value: undoing them is the inverse of applying them."""

from __future__ import annotations

import pytest

from stackemu.emu.code.conditions import Comparison
from stackemu.emu.code.origin import MAX_STEPS, Condition, Origin

WORDS = (0, 1, 7, 0x80, 0x1234, 0x7FFFFFFF, 0x80000000, 0xDEADBEEF, 0xFFFFFFFF)
STEPS = [("add", 5), ("add", 0xFFFFFFFB), ("xor", 0x55AA55AA), ("rol", 8), ("neg", 0), ("swap", 0)]


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("value", WORDS)
def test_what_undoes_a_step_gives_the_value_back(step: tuple[str, int], value: int) -> None:
    origin = Origin("memory", 0, 4, value).then(*step)
    assert origin is not None
    computed = origin.values()[-1]
    assert origin.undo(computed) == value


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ([("and", 0xF0)], 0x50),
        ([("or", 0x0F)], 0x5F),
        ([("shr", 4), ("and", 0xF)], 9),
        ([("shl", 8)], 0x120000),
        ([("sign", 1)], 0xFFFFFF80),
        ([("remainder", 22)], 3),
        ([("quotient", 22)], 0x80),
    ],
)
def test_a_value_is_found_that_computes_to_what_is_wanted(steps: list[tuple[str, int]], wanted: int) -> None:
    origin: Origin | None = Origin("memory", 0, 4, 0xCAFEBABE)
    for step in steps:
        assert origin is not None
        origin = origin.then(*step)
    assert origin is not None
    found = origin.undo(wanted)
    assert found is not None
    assert Origin("memory", 0, 4, found, origin.steps).values()[-1] == wanted


@pytest.mark.parametrize(
    ("step", "wanted"), [(("and", 0xF0), 0x51), (("or", 0x0F), 0x50), (("shl", 8), 0x12), (("remainder", 5), 5)]
)
def test_what_no_value_computes_to_is_not_found(step: tuple[str, int], wanted: int) -> None:
    origin = Origin("memory", 0, 4, 0).then(*step)
    assert origin is not None
    assert origin.undo(wanted) is None


def test_a_place_of_one_byte_holds_no_larger_number() -> None:
    assert Origin("memory", 0, 1, 0).undo(0x100) is None


def test_a_condition_is_undone_to_a_value_that_meets_it() -> None:
    test = Condition("b", Comparison(False, 0, 10, 4))
    assert [test.apply(value) for value in (9, 10)] == [1, 0]
    for wanted in (0, 1):
        value = test.undo(wanted)
        assert value is not None
        assert test.apply(value) == wanted


def test_a_way_that_becomes_too_long_is_given_up() -> None:
    origin: Origin | None = Origin("memory", 0, 4, 0)
    for _ in range(MAX_STEPS):
        assert origin is not None
        origin = origin.then("add", 1)
    assert origin is not None
    assert origin.then("add", 1) is None
