"""Runs of a function: which of them is reported, what breaks a convention, and how a function is called."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from stackemu.emu.observation import Observation, Outcome
from stackemu.emu.symbols.function import Parameter, Prototype
from stackemu.harness.measure import Measurer, arguments_of
from stackemu.harness.runs import FunctionRuns, RunSettings, Task, breaches, representative
from stackemu.harness.session import Driver

MakeDriver = Callable[..., Driver]
RETURNED = Observation(
    outcome=Outcome.RETURNED,
    why=None,
    own=40,
    depth=40,
    chain=(),
    instructions=10,
    blocks=(),
    popped=8,
    clobbered=(),
    guessed_calls=(),
    exact=True,
)


def ended(outcome: Outcome, own: int, depth: int) -> Observation:
    return dataclasses.replace(RETURNED, outcome=outcome, own=own, depth=depth, popped=None, clobbered=None)


def returned(own: int, depth: int) -> Observation:
    return dataclasses.replace(RETURNED, own=own, depth=depth)


# -- which run is reported --


def test_the_deepest_run_is_reported() -> None:
    shallow, deep = returned(40, 40), returned(40, 136)
    assert representative([shallow, deep]) == (deep, 40)


def test_own_is_the_deepest_of_all_runs_and_depth_never_less() -> None:
    # The run with the greatest depth went less deep itself; it covers own all the same.
    assert representative([returned(60, 60), returned(40, 136)]) == (returned(40, 136), 60)
    # A run that does not cover own is not reported, though it returned.
    fault = ended(Outcome.FAULTED, 90, 90)
    assert representative([returned(40, 60), fault]) == (fault, 90)


def test_a_run_that_returned_is_preferred_to_a_deeper_one_that_did_not() -> None:
    settled, fault = returned(40, 60), ended(Outcome.FAULTED, 40, 400)
    assert representative([fault, settled]) == (settled, 40)


@pytest.mark.parametrize("outcome", [Outcome.BUDGET, Outcome.OVERFLOW])
def test_runs_that_ran_away_do_not_count_beside_others(outcome: Outcome) -> None:
    fault = ended(Outcome.FAULTED, 20, 24)
    assert representative([ended(outcome, 12000, 12288), fault]) == (fault, 20)


@pytest.mark.parametrize("outcome", [Outcome.BUDGET, Outcome.OVERFLOW])
def test_runs_that_ran_away_count_when_there_are_no_others(outcome: Outcome) -> None:
    away = ended(outcome, 12000, 12288)
    assert representative([away, away]) == (away, 12000)


# -- breaches of the calling convention --


def breaches_of(pops: int | None = 8, restored: frozenset[str] = frozenset(), **fields: object) -> tuple[str, ...]:
    return breaches([dataclasses.replace(RETURNED, **fields)], pops, restored)  # type: ignore[arg-type]


def test_a_function_that_keeps_the_rules_has_no_breach() -> None:
    assert breaches_of(pops=8, popped=8, clobbered=()) == ()


def test_registers_that_the_code_restores_but_that_came_back_changed() -> None:
    assert breaches_of(clobbered=("ESI", "EBX"), restored=frozenset({"EBX", "ESI", "EDI"})) == (
        "EBX, ESI came back changed though the code restores it",
    )


def test_a_register_that_is_never_restored_is_a_convention_of_its_own() -> None:
    assert breaches_of(clobbered=("EDI",), restored=frozenset({"EBX"})) == (
        "does not keep EDI: a calling convention of its own",
    )


def test_other_arguments_popped_than_the_code_says() -> None:
    assert breaches_of(pops=8, popped=12) == ("popped 12 bytes of arguments where its code says 8",)
    assert breaches_of(pops=None, popped=12) == ()


def test_a_helper_that_leaves_a_frame_keeps_no_convention() -> None:
    assert breaches_of(popped=-56, clobbered=("EBP",)) == ("returns with its frame left on its caller's stack",)


def test_runs_that_did_not_return_break_nothing() -> None:
    fault = dataclasses.replace(RETURNED, outcome=Outcome.FAULTED, popped=None, clobbered=None)
    assert breaches([fault], 8, frozenset({"EBX"})) == ()


# -- how a function is called --


def prototype(convention: str, *types: str) -> Prototype:
    return Prototype("long", convention, tuple(Parameter("", kind) for kind in types))


def test_without_a_prototype_any_word_may_be_anything() -> None:
    arguments = arguments_of(None)
    assert set(arguments.stack) == {None}
    assert (arguments.ecx, arguments.edx) == (None, None)


def test_pointers_are_told_from_numbers() -> None:
    arguments = arguments_of(prototype("stdcall", "_IRP*", "unsigned long", "unsigned char", "const wchar_t*"))
    assert arguments.stack[:4] == ("_IRP*", False, False, "const wchar_t*")
    assert set(arguments.stack[4:]) == {None}, "what lies above its arguments is not the function's"


def test_fastcall_takes_two_arguments_in_registers() -> None:
    arguments = arguments_of(prototype("fastcall", "_IRP*", "unsigned long", "void*"))
    assert (arguments.ecx, arguments.edx) == ("_IRP*", False)
    assert arguments.stack[0] == "void*"


def test_fastcall_with_one_argument_leaves_edx_open() -> None:
    arguments = arguments_of(prototype("fastcall", "unsigned long"))
    assert (arguments.ecx, arguments.edx, set(arguments.stack)) == (False, None, {None})


# -- a Measurer --

CALLER = """
55            push ebp
89e5          mov ebp, esp
83ec20        sub esp, 0x20
6a01          push 1
e8<leaf>      call
c9            leave
c3            ret
"""
LEAF = """
56      push esi
5e      pop esi
c20400  ret 4
"""


@pytest.mark.parametrize("single_step", [False, True])
def test_figures_of_a_call_counted_by_hand(make_driver: MakeDriver, single_step: bool) -> None:
    # caller: push ebp 4, 32, push 1 4, return address 4: own 44. leaf pushes ESI: depth 48.
    driver = make_driver({"caller": CALLER, "leaf": LEAF})
    measurer = Measurer(driver, RunSettings(inputs=3, explored=0, initialise=False, single_step=single_step))
    runs = measurer.measure(Task(driver.functions[0]))
    assert runs.best is not None
    assert (runs.own, runs.best.depth, runs.chain) == (44, 48, (("caller", 44), ("leaf", 4)))
    assert (runs.runs, runs.reason, runs.findings) == (3, "", ())
    assert runs.best.instructions == 10


def test_each_alignment_that_matters_is_run(make_driver: MakeDriver) -> None:
    # `and esp, -16` behind push ebp: E modulo 16 is 0, 4, 8 or 12, and costs 12 at worst.
    listing = """
    55        push ebp
    89e5      mov ebp, esp
    83e4f0    and esp, 0xfffffff0
    89ec      mov esp, ebp
    5d        pop ebp
    c3        ret
    """
    driver = make_driver({"subject": listing})
    runs = Measurer(driver, RunSettings(inputs=1, explored=0, initialise=False)).measure(Task(driver.functions[0]))
    assert (runs.runs, runs.own) == (4, 4 + 12)


def test_runs_that_did_not_return_are_summed_up(make_driver: MakeDriver) -> None:
    driver = make_driver({"subject": "33c0    xor eax, eax\n8b00    mov eax, dword ptr [eax]\nc3      ret"})
    runs = Measurer(driver, RunSettings(inputs=2, explored=0, initialise=False)).measure(Task(driver.functions[0]))
    assert runs.best is not None
    assert runs.best.outcome is Outcome.FAULTED
    assert runs.reason == "2 of 2 runs did not return (faulted: read of 0x00000000 at 0xa5de1002)"


def test_the_witness_is_the_input_of_the_reported_run(make_driver: MakeDriver) -> None:
    # Argument zero returns at once; others go deeper.
    listing = """
    8b4c2404  mov ecx, dword ptr [esp + 4]
    85c9      test ecx, ecx
    7402      je
    51        push ecx
    59        pop ecx
    c20400    ret 4
    """
    driver = make_driver({"subject": listing})
    runs = Measurer(driver, RunSettings(inputs=2, explored=0, initialise=False)).measure(Task(driver.functions[0]))
    assert runs.own == 4
    assert runs.witness == "seed=0,memory=pointers,apis=succeed"


def test_a_function_whose_worker_died_has_no_figures() -> None:
    lost = FunctionRuns.lost(0x1000, "the emulator crashed (SIGSEGV)")
    assert (lost.rva, lost.best, lost.runs) == (0x1000, None, 0)
    assert lost.reason == "crashed: the emulator crashed (SIGSEGV)"
