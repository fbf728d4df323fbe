"""Which calls follow which, and how sequences of them are changed."""

from __future__ import annotations

import random

import pytest

from stackemu.emu.inputs import Input, Style
from stackemu.emu.kernel.roots import Root
from stackemu.harness.contexts import MAX_STEPS, Step
from stackemu.harness.fuzz.sequences import Stage, draw_step, is_in_order, mutate_steps, next_steps, stage_of

SOURCE = Input(0, Style.ZEROS, True)


def root(role: str, kind: str = "irp") -> Root:
    return Root(0xA5DE1000 + sum(role.encode()), role, kind)


ENTRY = root("DriverEntry", "driver-entry")
ADD = root("AddDevice", "add-device")
CREATE, READ, CONTROL, CLEANUP, CLOSE = (
    root(f"IRP_MJ_{name}") for name in ("CREATE", "READ", "DEVICE_CONTROL", "CLEANUP", "CLOSE")
)
PNP = root("IRP_MJ_PNP")
TIMER = root("timer DPC", "timer-dpc")
UNLOAD = root("DriverUnload", "driver-unload")
WDM = (ENTRY, ADD, CREATE, READ, CONTROL, CLEANUP, CLOSE, PNP, TIMER, UNLOAD)

SETUP = root("InstanceSetupCallback", "flt-instance-setup")
PRE, POST = (
    root("IRP_MJ_READ pre-operation", "flt-pre-operation"),
    root("IRP_MJ_READ post-operation", "flt-post-operation"),
)
ONLY_POST = root("IRP_MJ_WRITE post-operation", "flt-post-operation")
TEARDOWN = root("InstanceTeardownCompleteCallback", "flt-instance-teardown")
FILTER_UNLOAD = root("FilterUnloadCallback", "flt-unload")
MINIFILTER = (SETUP, PRE, POST, ONLY_POST, TEARDOWN, FILTER_UNLOAD)


def steps(*roots: Root) -> tuple[Step, ...]:
    return tuple(Step(one, SOURCE) for one in roots)


def following(roots: tuple[Root, ...], *so_far: Root) -> set[str]:
    return {candidate.root.role for candidate in next_steps(roots, steps(*so_far))}


def weights(roots: tuple[Root, ...], *so_far: Root) -> dict[str, int]:
    return {candidate.root.role: candidate.weight for candidate in next_steps(roots, steps(*so_far))}


# -- what may follow --


@pytest.mark.parametrize(
    ("one", "stage"),
    [
        (ENTRY, Stage.LOAD),
        (root("EvtDriverDeviceAdd", "EvtDriverDeviceAdd"), Stage.ADD),
        (SETUP, Stage.START),
        (CREATE, Stage.OPEN),
        (PNP, Stage.DEVICE),
        (root("EvtDeviceShutdownNotification", "EvtDeviceShutdownNotification"), Stage.DEVICE),
        (READ, Stage.USE),
        (root("FastIoRead", "fast-io"), Stage.USE),
        (PRE, Stage.USE),
        (TIMER, Stage.LATER),
        (root("cancel routine", "cancel"), Stage.LATER),
        (CLEANUP, Stage.CLEAN_UP),
        (root("EvtFileClose", "EvtFileClose"), Stage.CLOSE),
        (root("EvtDeviceD0Exit", "EvtDeviceD0Exit"), Stage.STOP),
        (TEARDOWN, Stage.REMOVE),
        (FILTER_UNLOAD, Stage.UNLOAD),
    ],
)
def test_the_part_of_a_drivers_life_that_a_root_belongs_to(one: Root, stage: Stage) -> None:
    assert stage_of(one) is stage


def test_a_driver_that_was_brought_up_has_an_open_file() -> None:
    assert {"IRP_MJ_READ", "IRP_MJ_DEVICE_CONTROL", "IRP_MJ_CLEANUP", "timer DPC"} <= following(WDM)
    assert "IRP_MJ_CLOSE" not in following(WDM), "a handle is cleaned up before its file is closed"


def test_a_driver_that_was_only_loaded_has_none() -> None:
    assert following(WDM, ENTRY) == {"AddDevice", "timer DPC", "DriverUnload"}
    assert "IRP_MJ_READ" not in following(WDM, ENTRY, ADD)
    assert {"IRP_MJ_CREATE", "IRP_MJ_PNP"} <= following(WDM, ENTRY, ADD)
    assert "IRP_MJ_READ" in following(WDM, ENTRY, ADD, CREATE)


def test_nothing_is_done_with_a_file_that_was_cleaned_up_until_another_is_opened() -> None:
    assert not {"IRP_MJ_READ", "IRP_MJ_CLEANUP"} & following(WDM, READ, CLEANUP)
    assert {"IRP_MJ_CLOSE", "IRP_MJ_CREATE", "timer DPC"} <= following(WDM, READ, CLEANUP)
    assert {"IRP_MJ_READ"} <= following(WDM, CLEANUP, CLOSE, CREATE)
    assert "IRP_MJ_CLOSE" not in following(WDM, CLEANUP, CLOSE)


def test_without_a_cleanup_routine_a_file_is_closed_at_once() -> None:
    roots = (CREATE, READ, CLOSE)
    assert following(roots) == {"IRP_MJ_CREATE", "IRP_MJ_READ", "IRP_MJ_CLOSE"}
    assert following(roots, CLOSE) == {"IRP_MJ_CREATE"}


def test_stages_that_a_driver_has_no_roots_for_are_not_waited_for() -> None:
    assert following((READ, UNLOAD)) == {"IRP_MJ_READ", "DriverUnload"}


def test_driver_entry_is_the_first_step_or_none() -> None:
    assert "DriverEntry" in following(WDM)
    assert "DriverEntry" not in following(WDM, READ)


@pytest.mark.parametrize(("roots", "last"), [(WDM, UNLOAD), (MINIFILTER, FILTER_UNLOAD)])
def test_nothing_follows_the_unloading(roots: tuple[Root, ...], last: Root) -> None:
    assert last.role in following(roots)
    assert following(roots, last) == set()


def test_a_post_operation_follows_its_pre_operation() -> None:
    assert POST.role not in following(MINIFILTER)
    after = weights(MINIFILTER, PRE)
    assert after[POST.role] > after[ONLY_POST.role], "most often at once"
    assert POST.role in following(MINIFILTER, PRE, ONLY_POST)
    assert ONLY_POST.role in following(MINIFILTER), "a filter without the pre-operation callback has the other alone"


def test_after_an_instances_teardown_there_has_to_be_another() -> None:
    assert PRE.role not in following(MINIFILTER, TEARDOWN)
    assert PRE.role in following(MINIFILTER, TEARDOWN, SETUP)


def test_the_same_call_again_is_less_likely() -> None:
    assert weights(WDM, READ)["IRP_MJ_READ"] < weights(WDM, CONTROL)["IRP_MJ_READ"]


def test_every_candidate_has_a_weight_and_comes_once() -> None:
    found = next_steps(WDM + WDM, steps(READ))
    assert len({candidate.root for candidate in found}) == len(found)
    assert all(candidate.weight > 0 for candidate in found)


def test_sequences_are_bounded() -> None:
    assert following(WDM, *[READ] * (MAX_STEPS - 1))
    assert following(WDM, *[READ] * MAX_STEPS) == set()
    assert not is_in_order(steps(*[READ] * (MAX_STEPS + 1)), WDM)


# -- changes --


def changes(before: tuple[Step, ...], count: int = 300, known: tuple[Step, ...] = ()) -> list[tuple[Step, ...]]:
    generator = random.Random(1)
    return [mutate_steps(generator, before, WDM, known) for _ in range(count)]


def test_changes_are_those_of_the_generator_alone() -> None:
    assert changes(steps(READ, CONTROL)) == changes(steps(READ, CONTROL))


def test_every_change_makes_sense() -> None:
    generator = random.Random(2)
    sequence: tuple[Step, ...] = ()
    for _ in range(300):
        sequence = mutate_steps(generator, sequence, WDM)
        assert is_in_order(sequence, WDM)
        assert len(sequence) <= MAX_STEPS


def test_all_kinds_of_changes_are_made() -> None:
    before = steps(READ, CONTROL)
    found = changes(before)
    roles = {tuple(step.root.role for step in one) for one in found}
    assert {("IRP_MJ_READ",), ("IRP_MJ_DEVICE_CONTROL",)} <= roles, "dropped"
    assert ("IRP_MJ_DEVICE_CONTROL", "IRP_MJ_READ") in roles, "swapped"
    assert any(len(one) == 3 for one in found), "inserted"
    replaced = [one for one in found if [step.root for step in one] == [READ, CONTROL]]
    assert replaced
    assert all(sum(a != b for a, b in zip(one, before, strict=True)) == 1 for one in replaced)


def test_nothing_can_only_be_added_to() -> None:
    assert {len(one) for one in changes(())} == {1}


def test_a_driver_without_roots_has_no_sequences() -> None:
    assert mutate_steps(random.Random(0), (), ()) == ()
    assert draw_step(random.Random(0), (), ()) is None


def test_known_inputs_are_used_again_with_the_pool_that_they_belong_to() -> None:
    known = Step(CONTROL, Input(7, Style.MIXED, None), 0x85003000)
    drawn = [step for one in changes((), known=(known,)) for step in one if step.root == CONTROL]
    again = [step for step in drawn if step.source == known.source]
    assert len(drawn) > len(again) > len(drawn) // 2
    assert {step.pool for step in again} == {known.pool}
