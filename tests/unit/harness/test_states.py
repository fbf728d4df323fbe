"""States behind sequences: which calls the kernel could have made, and what inputs mean in another state."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Observation, Outcome
from stackemu.harness.contexts import MAX_STEPS, Context, Step
from stackemu.harness.measure import Measurer
from stackemu.harness.runs import RunSettings
from stackemu.harness.session import open_driver
from stackemu.harness.states import CAPACITY, BrokenSequenceError, moved, what_breaks

DRIVER = Path(__file__).parents[3] / "drivers" / "ioctl.sys"
SOURCE = Input(0, Style.ZEROS, True)
RETURNED = Observation(Outcome.RETURNED, None, 0, 0, (), 1, (), 8, (), (), exact=True, result=0)
READ, CREATE = Root(0xA5DE1000, "IRP_MJ_READ", "irp"), Root(0xA5DE1000, "IRP_MJ_CREATE", "irp")
REFUSED = 0xC0000022  # STATUS_ACCESS_DENIED


# -- which calls something can come after --


def test_something_can_come_after_a_call_that_returned() -> None:
    assert what_breaks(READ, RETURNED) is None


def test_a_request_may_be_refused_but_not_the_opening_of_the_file() -> None:
    refused = dataclasses.replace(RETURNED, result=REFUSED)
    assert what_breaks(READ, refused) is None
    assert what_breaks(CREATE, refused) == "returned 0xc0000022"


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.RETURNED])
def test_nothing_comes_after_a_call_that_did_not_return(outcome: Outcome) -> None:
    ended = dataclasses.replace(RETURNED, outcome=outcome, why="for a reason", result=None)
    assert what_breaks(READ, ended) == f"{outcome.value}: for a reason"


# -- inputs in other states --


def test_addresses_in_the_pool_move_with_it() -> None:
    overrides = (
        Override(Place.MEMORY, 0x85003010, 5),
        Override(Place.MEMORY, 0x85003020, 0x85003100),
        Override(Place.MEMORY, 0x85002FFC, 7),  # what earlier calls left stays where it is
        Override(Place.MEMORY, 0x86000000, 8),  # an untyped pointer's target
        Override(Place.ARGUMENT, 1, 0x85003000),
        Override(Place.RESULT, 0x85003000 & 0xFF, 9),
    )
    shifted = moved(dataclasses.replace(SOURCE, overrides=overrides), 0x85003000, 0x85005000)
    assert [(one.key, one.value) for one in shifted.overrides] == [
        (0x85005010, 5),
        (0x85005020, 0x85005100),
        (0x85002FFC, 7),
        (0x86000000, 8),
        (1, 0x85005000),
        (0, 9),
    ]


def test_an_input_that_moves_nowhere_is_the_same() -> None:
    source = dataclasses.replace(SOURCE, overrides=(Override(Place.MEMORY, 0x85003010, 5),))
    assert moved(source, 0x85003000, 0x85003000) is source


# -- sequences --


@pytest.fixture(scope="module")
def measurer() -> Measurer:
    return Measurer(open_driver(DRIVER), RunSettings())


@pytest.fixture(scope="module")
def roots(measurer: Measurer) -> dict[str, Root]:
    return {root.role: root for root in measurer.bring_up.roots}


def broken(measurer: Measurer, *steps: Step) -> tuple[int, str]:
    with pytest.raises(BrokenSequenceError) as caught:
        measurer.states.after(steps)
    return caught.value.index, caught.value.why


def test_a_root_that_nobody_has_registered_is_not_called(measurer: Measurer, roots: dict[str, Root]) -> None:
    stray = dataclasses.replace(roots["IRP_MJ_READ"], role="timer DPC", kind="timer-dpc")
    index, why = broken(measurer, Step(roots["IRP_MJ_CREATE"], SOURCE), Step(stray, SOURCE))
    assert (index, why) == (1, f"nobody has registered {stray.address:#010x} by then")


def test_nothing_is_called_after_the_driver_was_unloaded(measurer: Measurer, roots: dict[str, Root]) -> None:
    steps = [Step(roots[role], SOURCE) for role in ("DriverUnload", "IRP_MJ_CREATE")]
    assert broken(measurer, *steps) == (1, "the driver is gone after DriverUnload")


def test_a_step_that_faults_says_how(measurer: Measurer, roots: dict[str, Root]) -> None:
    # IoctlWrite reads the IRP, which is its second argument; address 4 is in the page that is never mapped.
    write = roots["IRP_MJ_WRITE"]
    argument = Root(write.address, "IRP_MJ_WRITE", "plain", (0, 4))
    observation = measurer.repeat(
        write.address - 0xA5DE0000, Context(write.address - 0xA5DE0000, argument, 0, SOURCE)
    )
    why = what_breaks(write, observation)
    assert why is not None
    assert why.startswith("faulted: read of ")


def test_sequences_are_bounded(measurer: Measurer, roots: dict[str, Root]) -> None:
    steps = [Step(roots["IRP_MJ_CREATE"], SOURCE)] * (MAX_STEPS + 1)
    assert broken(measurer, *steps) == (MAX_STEPS, f"more than {MAX_STEPS} steps")


def test_states_are_remembered_until_there_are_too_many(measurer: Measurer, roots: dict[str, Root]) -> None:
    def step(seed: int) -> tuple[Step]:
        return (Step(roots["IRP_MJ_CREATE"], Input(seed, Style.ZEROS, True)),)

    first = measurer.states.after(step(0))
    assert measurer.states.after(step(0)) is first
    for seed in range(1, CAPACITY + 1):
        measurer.states.after(step(seed))
    again = measurer.states.after(step(0))
    assert again is not first
    assert again == first


def test_each_step_is_given_memory_of_its_own(measurer: Measurer, roots: dict[str, Root]) -> None:
    one = (Step(roots["IRP_MJ_CREATE"], SOURCE),)
    pools = [measurer.states.after(one * count).pool for count in range(4)]
    assert pools == sorted(set(pools))


def test_a_run_becomes_a_step_and_a_step_a_run(measurer: Measurer, roots: dict[str, Root]) -> None:
    create = Step(roots["IRP_MJ_CREATE"], SOURCE)
    pool = measurer.states.after(()).pool
    source = Input(0, Style.ZEROS, True, (Override(Place.MEMORY, pool + 0x20, 3),))
    read = roots["IRP_MJ_READ"]
    step = measurer.step_of(Context(read.address - 0xA5DE0000, read, 0, source))
    assert step is not None
    context = measurer.context_behind((create,), step)
    assert (context.way, context.before) == (read, (create,))
    by = measurer.states.after((create,)).pool - pool
    assert [one.key for one in context.source.overrides] == [pool + 0x20 + by]
    assert measurer.step_of(context) == Step(read, context.source)
