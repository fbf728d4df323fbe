"""Batches on the sample drivers: every execution shows what a run of its own shows, kernel calls included."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from stackemu.emu.batches import Find
from stackemu.emu.calls import Arguments
from stackemu.emu.fuzzing import FuzzMachine
from stackemu.emu.inputs import Input, Style
from stackemu.emu.kernel.roots import Root
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Outcome
from stackemu.harness.bring_up import bring_up
from stackemu.harness.measure import arguments_of
from stackemu.harness.session import Driver, open_driver

EXECUTIONS = 6
"""Of every function and every root."""


class EveryExecution(FuzzMachine):
    """A machine that forgets after every find, so that every execution is one."""

    def _find(self, *arguments: object) -> Find:
        find = super()._find(*arguments)  # type: ignore[arg-type]
        self.unlearn()
        return find


def _machines(driver: Driver) -> tuple[EveryExecution, Machine, tuple[Root, ...]]:
    model = driver.code_model()
    canonical = Machine(driver.image, driver.function_ranges(), model.pops_at_call, structures=driver.structures)
    fuzzer = EveryExecution(driver.image, driver.function_ranges(), model.pops_at_call, driver.structures)
    roots = bring_up(canonical, driver.image, 0).roots
    fuzzer.start_from(canonical.snapshot)
    return fuzzer, canonical, tuple(roots)


def test_executions_of_functions_and_roots_agree_with_runs_of_their_own(sample: Path) -> None:
    driver = open_driver(sample)
    fuzzer, machine, roots = _machines(driver)
    ways: list[tuple[int, Arguments | Root]] = [(one.rva, arguments_of(one.prototype)) for one in driver.functions]
    ways += [(root.address - driver.image.base, root) for root in roots]
    source = Input(1, Style.MIXED, None)
    endings: Counter[Outcome] = Counter()
    native = 0
    for rva, way in ways:
        slots = fuzzer.learn(rva, source, way)
        batch = fuzzer.batch(rva, source, way, slots, executions=EXECUTIONS)
        assert len(batch.finds) == batch.executions == EXECUTIONS
        native += batch.native
        for find in batch.finds:
            observation = machine.call(rva, find.source, way)
            endings[find.outcome] += 1
            assert observation.outcome is find.outcome, find.source.label
            if find.is_exact:
                assert (observation.own, observation.depth) == (find.own, find.depth), find.source.label
    assert 0 < native < sum(endings.values()), "some with and some without the kernel"
    assert endings[Outcome.RETURNED]
    assert endings[Outcome.FAULTED]


def test_every_slot_is_changed_sooner_or_later_those_that_shape_the_request_too(ioctl: Path) -> None:
    driver = open_driver(ioctl)
    fuzzer, _, roots = _machines(driver)
    root = next(root for root in roots if root.role == "IRP_MJ_DEVICE_CONTROL")
    rva, source = root.address - driver.image.base, Input(1, Style.MIXED, None)
    slots = fuzzer.learn(rva, source, root)
    batch = fuzzer.batch(rva, source, root, slots, executions=1500)
    changed = {(one.place, one.key) for find in batch.finds for one in find.source.overrides}
    assert changed >= {(slot.place, slot.key) for slot in slots}
