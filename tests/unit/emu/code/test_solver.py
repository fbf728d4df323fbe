"""Conditions solved for places of the input: every value worked out by hand, and hostile sizes."""

from __future__ import annotations

from stackemu.emu.code.expression import MAX_DEPTH, Term, compute, condition, evaluate, extract, insert, origins_of
from stackemu.emu.code.origin import Origin
from stackemu.emu.code.path_conditions import PathConditions
from stackemu.emu.code.solver import MAX_WAYS, values_for, ways

WORD = Origin("memory", 0x86000100, 4, 0xCAFEBABE)
OTHER = Origin("memory", 0x86000200, 4, 7)


def test_an_operation_on_numbers_alone_is_a_number() -> None:
    assert compute("add", 0xFFFFFFFF, 2) == 1


def test_a_part_that_was_put_in_comes_out_as_it_was() -> None:
    byte = Origin("memory", 0x86000300, 1, 0x5A)
    assert extract(insert(WORD, byte, 8, 8), 8, 8) is byte
    assert extract(insert(WORD, byte, 8, 8), 16, 8) == extract(WORD, 16, 8)


def test_a_sum_is_solved_for_each_of_its_places() -> None:
    found = list(values_for(compute("add", WORD, OTHER), 10))
    assert found == [(WORD, 3), (OTHER, 10 - 0xCAFEBABE + (1 << 32))]


def test_a_place_that_takes_part_twice_is_solved_by_its_bits() -> None:
    # x ^ (x >> 16) == 0x12345678: the upper half is 0x1234, the lower one 0x5678 ^ 0x1234
    mixed = compute("xor", WORD, compute("shr", WORD, 16))
    assert (WORD, 0x1234444C) in list(ways(condition("cmp", "e", mixed, 0x12345678, 4), wanted=True))


def test_a_condition_inside_a_condition_is_turned() -> None:
    # (x < 16 ? 40 : 50) == 40
    chosen = compute("select", condition("cmp", "b", WORD, 16, 4), 40, 50)
    found = list(ways(condition("cmp", "e", chosen, 40, 4), wanted=True))
    assert found
    assert all(value < 16 for _, value in found)


def test_the_index_of_a_table_is_found_by_its_entry() -> None:
    index = Origin("memory", 0x86000100, 1, 0)
    entry = compute("lookup", index, table=(9, 4, 4, 1))
    assert list(values_for(entry, 4)) == [(index, 1), (index, 2)]


def test_a_place_of_one_byte_holds_no_larger_number() -> None:
    byte = Origin("memory", 0x86000100, 1, 0)
    assert list(values_for(compute("add", byte, 1), 0x101)) == []
    assert list(values_for(compute("add", byte, 1), 0x100)) == [(byte, 0xFF)]


def test_no_more_ways_are_given_than_are_asked_for() -> None:
    total: Term = 0
    for number in range(20):
        total = compute("add", total, Origin("memory", 0x86000000 + 4 * number, 4, number))
    assert len(list(ways(condition("cmp", "e", total, 1000, 4), wanted=True))) == MAX_WAYS


def test_a_value_that_went_too_long_a_way_is_a_number() -> None:
    term: Term = WORD
    for _ in range(MAX_DEPTH):
        term = compute("add", term, 1)
    assert origins_of(term)
    assert compute("add", term, 1) == (0xCAFEBABE + MAX_DEPTH + 1) & 0xFFFFFFFF


def test_sharing_does_not_multiply_the_work() -> None:
    # x doubled 32 times by adding it to itself: 2 ** 32 paths through 32 computations, and always 0
    term: Term = WORD
    for _ in range(32):
        term = compute("add", term, term)
    assert evaluate(term, {WORD.place: 1}) == 0
    assert list(ways(condition("cmp", "e", term, 1, 4), wanted=True)) == []


def test_what_is_computed_from_too_much_is_left_alone() -> None:
    level: list[Term] = [Origin("memory", 0x86000000 + 4 * number, 4, number) for number in range(1024)]
    while len(level) > 1:
        level = [compute("xor", *pair) for pair in zip(level[::2], level[1::2], strict=True)]
    assert list(ways(condition("cmp", "e", level[0], 1, 4), wanted=True)) == []


def test_values_that_keep_what_earlier_branches_asked_for_come_first() -> None:
    path = PathConditions()
    path.add(condition("cmp", "b", WORD, 100, 4), holds=True)
    path.add(condition("cmp", "e", WORD, 50, 4), holds=False)
    path.add(condition("cmp", "e", OTHER, 7, 4), holds=True)
    offered = [(WORD, 0xFFFFFFFF), (WORD, 50), (WORD, 51), (OTHER, 8)]
    assert path.likeliest(offered)[0] == (WORD, 51)
    assert path.likeliest(offered)[1:] == [(WORD, 0xFFFFFFFF), (WORD, 50), (OTHER, 8)]
