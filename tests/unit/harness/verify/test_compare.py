"""Figures held against a function of which every byte of stack is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from stackemu.harness.results import FunctionResult, MeasuredFigures
from stackemu.harness.session import Driver
from stackemu.harness.static_survey import static_survey
from stackemu.harness.verify.claim import Claim, Figure
from stackemu.harness.verify.compare import compare
from stackemu.harness.verify.expected import Subject
from stackemu.harness.verify.matching import Match
from stackemu.harness.verify.verification import ComparedFigure, ComparedFunction, Part, Verdict

MakeDriver = Callable[..., Driver]

CALLER = """
53          push ebx
56          push esi
57          push edi
83ec20      sub esp, 0x20
6a01        push 1
6a02        push 2
e8<callee>  call
83c420      add esp, 0x20
5f          pop edi
5e          pop esi
5b          pop ebx
c3          ret
"""
CALLEE = "c20800    ret 8"
SAVED, LOCALS, ARGUMENTS, RETURN_ADDRESS = 12, 32, 8, 4
FRAME = SAVED + LOCALS
OWN = FRAME + ARGUMENTS + RETURN_ADDRESS
CALL_END = 3 + 3 + 2 + 2 + 5
DEPTH = 80
REALIGNED = """
55          push ebp
89e5        mov ebp, esp
83e4f0      and esp, 0xfffffff0
83ec20      sub esp, 0x20
89ec        mov esp, ebp
5d          pop ebp
c3          ret
"""
UNOPTIMISED = """
55          push ebp
89e5        mov ebp, esp
83ec04      sub esp, 4
c7042401000000  mov dword ptr [esp], 1
e8<callee>  call
5d          pop ebp
c3          ret
"""
"""clang -O0: room for an argument, which the callee pops."""
ALLOCATING = """
55          push ebp
89e5        mov ebp, esp
83ec10      sub esp, 0x10
29c4        sub esp, eax
89ec        mov esp, ebp
5d          pop ebp
c3          ret
"""


class Bench:
    """One function of a driver, to hold claims against."""

    def __init__(self, driver: Driver) -> None:
        self.function = driver.functions[0]
        [result] = static_survey(driver, [self.function]).functions
        # The deeper figure stands for a callee that is not in the listing.
        result = msgspec.structs.replace(result, static=msgspec.structs.replace(result.static, bound=None))
        measured = MeasuredFigures(
            outcome="returned", own=OWN, depth=DEPTH, chain=(), instructions=1, runs=1, blocks_seen=1, blocks=1
        )
        self.result: FunctionResult = msgspec.structs.replace(result, verdict="exact", measured=measured)
        self.model = driver.code_model()

    def compare(self, claim: Claim, *, times: int = 1) -> ComparedFunction:
        matches = [Match(claim, (self.function,))] * times
        return compare(matches, {self.function.rva: Subject(self.result, self.model)})[0]

    def figure(self, figure: Figure, value: int, **fields: object) -> ComparedFigure:
        claim = Claim(line=3, figures={figure: value}, name="caller")
        [compared] = self.compare(replace(claim, **fields)).figures  # type: ignore[arg-type]
        return compared


@pytest.fixture
def caller(make_driver: MakeDriver) -> Bench:
    return Bench(make_driver({"caller": CALLER, "callee": CALLEE}))


@pytest.fixture
def realigned(make_driver: MakeDriver) -> Bench:
    return Bench(make_driver({"realigned": REALIGNED}))


@pytest.fixture
def allocating(make_driver: MakeDriver) -> Bench:
    bench = Bench(make_driver({"allocating": ALLOCATING}))
    bench.result = msgspec.structs.replace(bench.result, verdict="dynamic")
    return bench


TRUE = [
    (Figure.LOCALS, LOCALS),
    (Figure.SAVED, SAVED),
    (Figure.FRAME, FRAME),
    (Figure.CLANG_FRAME, FRAME),
    (Figure.GCC_FRAME, FRAME + RETURN_ADDRESS),
    (Figure.GCC_BOUNDED, FRAME + RETURN_ADDRESS + ARGUMENTS),
    (Figure.OWN, OWN),
    (Figure.OWN_REACHED, OWN),
    (Figure.REACHED, DEPTH),
]


@pytest.mark.parametrize(("figure", "value"), TRUE, ids=lambda one: getattr(one, "value", None))
def test_a_figure_counted_as_its_format_counts_agrees(caller: Bench, figure: Figure, value: int) -> None:
    assert caller.figure(figure, value).verdict is Verdict.AGREE


@pytest.mark.parametrize(("figure", "value"), TRUE[:7], ids=lambda one: getattr(one, "value", None))
def test_another_figure_contradicts_what_runs_have_confirmed(caller: Bench, figure: Figure, value: int) -> None:
    compared = caller.figure(figure, value + 100)
    assert compared.verdict is Verdict.CONTRADICTION
    assert (compared.source, compared.driver) == (value + 100, value)


@pytest.mark.parametrize(
    ("figure", "value", "part"),
    [
        (Figure.LOCALS, LOCALS + SAVED, Part.SAVED),
        (Figure.LOCALS, LOCALS + ARGUMENTS, Part.ARGUMENTS),
        (Figure.LOCALS, LOCALS + RETURN_ADDRESS, Part.RETURN_ADDRESS),
        (Figure.LOCALS, LOCALS + 100, Part.LOCALS),
        (Figure.SAVED, SAVED + 100, Part.SAVED),
        (Figure.CLANG_FRAME, LOCALS, Part.SAVED),
        (Figure.CLANG_FRAME, SAVED, Part.LOCALS),
        (Figure.CLANG_FRAME, FRAME + ARGUMENTS, Part.ARGUMENTS),
        (Figure.GCC_FRAME, FRAME, Part.RETURN_ADDRESS),
        (Figure.OWN, OWN - RETURN_ADDRESS, Part.RETURN_ADDRESS),
    ],
    ids=lambda one: getattr(one, "value", None),
)
def test_a_difference_names_the_part_that_is_as_large(caller: Bench, figure: Figure, value: int, part: Part) -> None:
    assert caller.figure(figure, value).part is part


@pytest.mark.parametrize("verdict", ["within", "not-run", "exceeds", "dynamic"])
def test_a_difference_from_what_no_run_has_confirmed_is_no_contradiction(caller: Bench, verdict: str) -> None:
    caller.result = msgspec.structs.replace(caller.result, verdict=verdict)
    assert caller.figure(Figure.LOCALS, LOCALS + 4).verdict is Verdict.DIFFER


def test_an_estimate_cannot_contradict(caller: Bench) -> None:
    assert caller.figure(Figure.LOCALS, LOCALS + 4, estimate=True).verdict is Verdict.DIFFER


def test_a_name_that_a_compiler_wrote_twice_cannot_contradict(caller: Bench) -> None:
    claim = Claim(line=1, figures={Figure.CLANG_FRAME: FRAME + 100}, name="caller", place="a.c:1")
    assert caller.compare(claim, times=2).verdict is Verdict.DIFFER
    assert caller.compare(claim).verdict is Verdict.CONTRADICTION


def test_clang_leaves_out_what_a_realignment_rounds_up(realigned: Bench) -> None:
    # EBP and 32 bytes; 16 - 4 bytes of padding at most, which clang counts or not.
    assert realigned.figure(Figure.CLANG_FRAME, 36).verdict is Verdict.AGREE
    assert realigned.figure(Figure.CLANG_FRAME, 36 - 12).verdict is Verdict.AGREE
    assert realigned.figure(Figure.CLANG_FRAME, 36 - 16).verdict is Verdict.CONTRADICTION
    assert realigned.figure(Figure.CLANG_FRAME, 36 + 4).verdict is Verdict.CONTRADICTION


def test_clang_counts_arguments_in_the_frame_where_it_reserves_them(make_driver: MakeDriver) -> None:
    bench = Bench(make_driver({"unoptimised": UNOPTIMISED, "callee": "c20400    ret 4"}))
    compared = bench.figure(Figure.CLANG_FRAME, 4 + 4)
    assert (compared.verdict, compared.part) == (Verdict.DIFFER, Part.ARGUMENTS)
    assert bench.figure(Figure.CLANG_FRAME, 4 + 8).verdict is Verdict.CONTRADICTION


def test_gcc_counts_the_worst_realignment_when_bounded(realigned: Bench) -> None:
    assert realigned.figure(Figure.GCC_BOUNDED, 36 + RETURN_ADDRESS + 12).verdict is Verdict.AGREE
    assert realigned.figure(Figure.GCC_BOUNDED, 36 + RETURN_ADDRESS + 16).verdict is Verdict.CONTRADICTION


def test_the_constant_part_of_an_alloca_agrees_when_both_know_of_it(allocating: Bench) -> None:
    assert allocating.figure(Figure.CLANG_FRAME, 4 + 16, dynamic=True).verdict is Verdict.AGREE


def test_one_side_that_knows_no_alloca_differs_in_it(caller: Bench, allocating: Bench) -> None:
    without = allocating.figure(Figure.CLANG_FRAME, 4 + 16)
    assert (without.verdict, without.part) == (Verdict.DIFFER, Part.ALLOCA)
    surplus = caller.figure(Figure.CLANG_FRAME, FRAME, dynamic=True)
    assert (surplus.verdict, surplus.part) == (Verdict.CONTRADICTION, Part.ALLOCA)


def test_no_constant_is_no_figure_to_hold_against(allocating: Bench) -> None:
    compared = allocating.figure(Figure.OWN, 100)
    assert (compared.verdict, compared.driver) == (Verdict.NOT_MEASURED, None)
    assert "run-time amount" in (compared.why or "")


def test_a_trace_shows_a_call_exactly(caller: Bench) -> None:
    assert caller.figure(Figure.AT_CALL, OWN, call_end=CALL_END).verdict is Verdict.AGREE
    assert caller.figure(Figure.AT_CALL, OWN + 4, call_end=CALL_END).verdict is Verdict.CONTRADICTION


def test_a_trace_through_no_call_of_the_image_is_of_another_build(caller: Bench) -> None:
    compared = caller.figure(Figure.AT_CALL, OWN, call_end=CALL_END + 1)
    assert compared.verdict is Verdict.NOT_MEASURED
    assert "another build" in (compared.why or "")


def test_a_stack_seen_less_deep_than_a_run_agrees(caller: Bench) -> None:
    assert caller.figure(Figure.SEEN, DEPTH - 20).verdict is Verdict.AGREE


def test_a_stack_seen_deeper_than_any_run_differs(caller: Bench) -> None:
    compared = caller.figure(Figure.SEEN, DEPTH + 20)
    assert (compared.verdict, compared.why) == (Verdict.DIFFER, "the source saw it go deeper")


def test_an_earlier_run_may_have_reached_less_but_not_more_than_the_code_allows(caller: Bench) -> None:
    assert caller.figure(Figure.OWN_REACHED, OWN - 4).verdict is Verdict.DIFFER
    assert caller.figure(Figure.OWN_REACHED, OWN + 4).verdict is Verdict.CONTRADICTION


def test_depth_beyond_the_bound_is_a_contradiction(caller: Bench) -> None:
    caller.result = msgspec.structs.replace(
        caller.result, static=msgspec.structs.replace(caller.result.static, bound=DEPTH)
    )
    assert caller.figure(Figure.REACHED, DEPTH + 4).verdict is Verdict.CONTRADICTION


def test_what_did_not_run_is_not_measured(caller: Bench) -> None:
    caller.result = msgspec.structs.replace(caller.result, measured=None, verdict="not-run", why="no time")
    compared = caller.figure(Figure.REACHED, DEPTH)
    assert (compared.verdict, compared.why) == (Verdict.NOT_MEASURED, "no time")


def test_the_gravest_figure_decides(caller: Bench) -> None:
    claim = Claim(line=None, figures={Figure.LOCALS: LOCALS, Figure.OWN: OWN + 4, Figure.REACHED: DEPTH + 4})
    assert caller.compare(claim).verdict is Verdict.CONTRADICTION


def test_what_no_function_is_found_for_is_not_in_the_driver() -> None:
    claim = Claim(line=7, figures={Figure.LOCALS: 8}, name="f", module="nt")
    [compared] = compare([Match(claim, (), "it is of the module nt")], {})
    assert (compared.verdict, compared.name, compared.line) == (Verdict.NOT_IN_DRIVER, "nt!f", 7)
