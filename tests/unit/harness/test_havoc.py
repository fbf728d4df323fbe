"""Inputs changed at random: what they find that no branch asks for, and what bounds them.

Figures follow from the listings: `sub esp, N` is N bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from stackemu.emu.calls import DEFAULT_BUDGET, Arguments
from stackemu.emu.fuzzing import FuzzMachine
from stackemu.emu.inputs import Input, Style
from stackemu.emu.slots import Slot
from stackemu.harness.havoc import Havoc
from stackemu.harness.measure import Measurer
from stackemu.harness.runs import FunctionRuns, RunSettings, Task
from stackemu.harness.session import Driver

MakeDriver = Callable[..., Driver]
RVA = 0x1000
SOURCE = Input(0, Style.ZEROS, True)
NUMBER = Arguments((False,))

AS_LONG_AS_THE_INPUT_SAYS = """
8b442404      mov eax, dword ptr [esp + 4]
25fc000000    and eax, 0xfc
29c4          sub esp, eax
eb00          jmp
01c4          add esp, eax
c20400        ret 4
"""
BEHIND_THE_COPROCESSOR = """
8b4c2404      mov ecx, dword ptr [esp + 4]
db01          fild dword ptr [ecx]
db5c2404      fistp dword ptr [esp + 4]
8b442404      mov eax, dword ptr [esp + 4]
c1e81c        shr eax, 0x1c
83f807        cmp eax, 7
7518          jne
8b4108        mov eax, dword ptr [ecx + 8]
2b410c        sub eax, dword ptr [ecx + 0xc]
334110        xor eax, dword ptr [ecx + 0x10]
750d          jne
81ec00010000  sub esp, 0x100
81c400010000  add esp, 0x100
90            nop
c20400        ret 4
"""
"""The first condition goes through registers that nobody traces; the second holds for one input in 2**32."""
FAULTS = """
8b442404      mov eax, dword ptr [esp + 4]
0fb6c0        movzx eax, al
8b00          mov eax, dword ptr [eax]
c20400        ret 4
"""
"""No address below 64 KiB is mapped."""
INDEPENDENT = "c20400  ret 4"


class CountingMachine(FuzzMachine):
    """A machine that counts how often it learned what runs depend on."""

    lessons = 0

    def learn(self, *arguments: object, **options: object) -> tuple[Slot, ...]:
        self.lessons += 1
        return super().learn(*arguments, **options)  # type: ignore[arg-type]


def _havoc(driver: Driver) -> tuple[CountingMachine, Havoc]:
    machine = CountingMachine(driver.image, driver.function_ranges(), driver.code_model().pops_at_call)
    return machine, Havoc(machine, RVA, NUMBER, 0, budget=DEFAULT_BUDGET)


def _measured(driver: Driver, *, explored: int = 0, havoc: int = 0, single_step: bool = False) -> FunctionRuns:
    settings = RunSettings(explored=explored, havoc=havoc, initialise=False, single_step=single_step)
    return Measurer(driver, settings).measure(Task(driver.functions[0]))


# -- batches --


def test_finds_are_deeper_and_deeper(make_driver: MakeDriver) -> None:
    machine, havoc = _havoc(make_driver({"subject": AS_LONG_AS_THE_INPUT_SAYS}))
    batch = havoc.batch(SOURCE, executions=3000, seed=0)
    depths = [find.own for find in batch.finds]
    assert batch.executions == 3000
    assert depths == sorted(set(depths))
    assert depths[-1] == 0xFC
    assert machine.call(RVA, batch.finds[-1].source, NUMBER).own == 0xFC


def test_what_a_run_depends_on_is_learned_once(make_driver: MakeDriver) -> None:
    machine, havoc = _havoc(make_driver({"subject": AS_LONG_AS_THE_INPUT_SAYS}))
    for seed in range(3):
        havoc.batch(SOURCE, executions=10, seed=seed)
    assert machine.lessons == 1
    havoc.batch(Input(1, Style.ZEROS, True), executions=10, seed=0)
    assert machine.lessons == 2


def test_a_run_that_depends_on_nothing_is_not_repeated(make_driver: MakeDriver) -> None:
    driver = make_driver({"subject": INDEPENDENT})
    assert _havoc(driver)[1].batch(SOURCE, executions=1000, seed=0).executions == 0


def test_batches_follow_from_their_seed(make_driver: MakeDriver) -> None:
    driver = make_driver({"subject": AS_LONG_AS_THE_INPUT_SAYS})
    one, same, other = (_havoc(driver)[1].batch(SOURCE, executions=300, seed=seed).finds for seed in (1, 1, 2))
    assert one == same != other


def test_only_what_the_kernel_does_is_spent(make_driver: MakeDriver) -> None:
    # A fault is the kernel's to handle: each is spent on. What a run learned counts, and no less than one is run.
    _, native = _havoc(make_driver({"subject": AS_LONG_AS_THE_INPUT_SAYS}))
    assert native.batch(SOURCE, executions=1000, seed=0, kernel_calls=1).executions == 1000
    assert native.spent == 0
    _, faulting = _havoc(make_driver({"subject": FAULTS}))
    batch = faulting.batch(SOURCE, executions=1000, seed=0, kernel_calls=1)
    assert (batch.executions, batch.native) == (1, 0)
    assert faulting.spent > 0


# -- in a measurement --


def test_depths_that_no_branch_leads_to_are_found_by_chance(make_driver: MakeDriver) -> None:
    driver = make_driver({"subject": AS_LONG_AS_THE_INPUT_SAYS})
    assert _measured(driver, explored=200).own < 0xFC
    found = _measured(driver, havoc=4096)
    assert found.own == 0xFC
    assert found.context is not None
    assert found.witness == found.context.source.label


def test_what_chance_comes_to_is_solved_further(make_driver: MakeDriver) -> None:
    driver = make_driver({"subject": BEHIND_THE_COPROCESSOR})
    assert _measured(driver, explored=200).own == 0
    assert _measured(driver, havoc=8192).own == 0
    assert _measured(driver, explored=50, havoc=2048).own == 0x100


def test_nothing_is_tried_where_all_is_seen(make_driver: MakeDriver) -> None:
    driver = make_driver({"subject": "50  push eax\n59  pop ecx\nc20400  ret 4"})
    assert _measured(driver, havoc=4096).runs == _measured(driver).runs


def test_figures_do_not_depend_on_what_was_measured_before(make_driver: MakeDriver) -> None:
    driver = make_driver({"subject": BEHIND_THE_COPROCESSOR, "other": AS_LONG_AS_THE_INPUT_SAYS})
    settings = RunSettings(explored=50, havoc=2048, initialise=False)
    alone, among_others = Measurer(driver, settings), Measurer(driver, settings)
    subject, other = (Task(function) for function in driver.functions)
    first = among_others.measure(subject)
    among_others.measure(other)
    again = among_others.measure(subject)
    assert first.best == again.best == alone.measure(subject).best
    assert (first.runs, first.witness) == (again.runs, again.witness)


def test_what_a_machine_knew_before_it_knows_afterwards(make_driver: MakeDriver) -> None:
    machine, havoc = _havoc(make_driver({"subject": AS_LONG_AS_THE_INPUT_SAYS}))
    assert havoc.batch(SOURCE, executions=3000, seed=0).finds
    with machine.knowing_nothing():
        assert havoc.batch(SOURCE, executions=3000, seed=0).finds
    assert not havoc.batch(SOURCE, executions=3000, seed=0).finds


def test_single_step_mode_watches_the_same_inputs(make_driver: MakeDriver) -> None:
    driver = make_driver({"subject": AS_LONG_AS_THE_INPUT_SAYS})
    blocks, steps = (_measured(driver, havoc=4096, single_step=watched) for watched in (False, True))
    assert (blocks.own, blocks.witness, blocks.runs) == (steps.own, steps.witness, steps.runs)
