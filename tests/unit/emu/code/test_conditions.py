"""Conditional branches, against the processor's own flags."""

from __future__ import annotations

import itertools

import pytest
import unicorn
from unicorn import x86_const

from stackemu.emu.code.conditions import CONDITION_CODES, Comparison, holds, solutions

CODE = 0x1000
# setcc al, in the order of the condition codes' encoding (Intel SDM volume 2, SETcc): 0F 90+cc C0
ENCODING = {"o": 0, "no": 1, "b": 2, "ae": 3, "e": 4, "ne": 5, "be": 6, "a": 7, "s": 8, "ns": 9, "l": 12, "ge": 13,
            "le": 14, "g": 15}  # fmt: skip
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xC0000005, 0xFFFFFFFF)
# cmp, test and add of ecx, edx and of cl, dl
COMPARE = {
    ("cmp", 4): b"\x39\xd1",
    ("test", 4): b"\x85\xd1",
    ("add", 4): b"\x01\xd1",
    ("cmp", 1): b"\x38\xd1",
    ("test", 1): b"\x84\xd1",
    ("add", 1): b"\x00\xd1",
}


@pytest.fixture(scope="module")
def engine() -> unicorn.Uc:
    engine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    engine.mem_map(CODE, 0x1000)
    return engine


def _processor_says(engine: unicorn.Uc, condition: str, comparison: Comparison) -> bool:
    code = COMPARE[comparison.operation, comparison.size] + bytes([0x0F, 0x90 + ENCODING[condition], 0xC0])
    engine.mem_write(CODE, code)
    engine.ctl_remove_cache(CODE, CODE + 0x10)
    engine.reg_write(x86_const.UC_X86_REG_ECX, comparison.left)
    engine.reg_write(x86_const.UC_X86_REG_EDX, comparison.right)
    engine.emu_start(CODE, CODE + len(code))
    return bool(engine.reg_read(x86_const.UC_X86_REG_AL))


def test_every_condition_code_is_known() -> None:
    assert set(CONDITION_CODES) == set(ENCODING)


@pytest.mark.parametrize("condition", sorted(ENCODING))
def test_conditions_hold_as_on_the_processor(engine: unicorn.Uc, condition: str) -> None:
    for (operation, size), left, right in itertools.product(COMPARE, INTERESTING, INTERESTING):
        comparison = Comparison(operation, left, right, size)
        assert holds(condition, comparison) is _processor_says(engine, condition, comparison), comparison


@pytest.mark.parametrize("condition", sorted(ENCODING))
def test_solutions_turn_the_condition_on_the_processor(engine: unicorn.Uc, condition: str) -> None:
    for (operation, size), right, wanted in itertools.product(COMPARE, INTERESTING, (False, True)):
        comparison = Comparison(operation, 0, right, size)
        for value in solutions(condition, comparison, wanted):
            assert _processor_says(engine, condition, comparison._replace(left=value)) is wanted


def test_an_unknown_condition_is_not_guessed() -> None:
    assert holds("p", Comparison("cmp", 1, 1, 4)) is None
    assert list(solutions("p", Comparison("cmp", 1, 1, 4), wanted=True)) == []
