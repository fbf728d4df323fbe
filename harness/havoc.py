"""Changed inputs, many of them and natively: what is found where no condition of a branch says what to try."""

from __future__ import annotations

from collections.abc import Sequence

from stackemu.emu.calls import Arguments
from stackemu.emu.fuzzing import Batch, FuzzMachine
from stackemu.emu.inputs import Input
from stackemu.emu.kernel.roots import Root
from stackemu.emu.slots import Slot

MAX_REMEMBERED = 256
"""Inputs of which it is remembered what places runs depend on."""


class Havoc:
    """Changes inputs of one function, called in one way, in the state that the machine starts from."""

    def __init__(
        self,
        machine: FuzzMachine,
        rva: int,
        way: Arguments | Root,
        alignment: int,
        *,
        budget: int,
        dictionary: Sequence[bytes] = (),
    ) -> None:
        """Nothing runs yet. `budget`: instructions of a run; `dictionary`: values worth putting into inputs."""
        self._machine = machine
        self._rva = rva
        self._way = way
        self._alignment = alignment
        self._budget = budget
        self._dictionary = dictionary
        self._slots: dict[Input, tuple[Slot, ...]] = {}
        self.spent = 0
        """What batches, and what they had to learn before, have cost so far (`FuzzMachine.spent`)."""

    def batch(
        self,
        parent: Input,
        *,
        executions: int,
        seed: int,
        kernel_calls: int | None = None,
        deadline: float | None = None,
    ) -> Batch:
        """Run up to so many changes of an input, with the limits of `FuzzMachine.batch`.

        The finds show what nothing did that the machine knows of. Their figures are those of the fast path: only
        canonical runs of them measure anything. An input that its run does not depend on is not changed.
        """
        before = self._machine.spent
        slots = self._slots_of(parent)
        batch = Batch(0, 0, ())
        if slots:
            batch = self._machine.batch(
                self._rva,
                parent,
                self._way,
                slots,
                dictionary=self._dictionary,
                alignment=self._alignment,
                budget=self._budget,
                seed=seed,
                executions=executions,
                kernel_calls=kernel_calls,
                deadline=deadline,
            )
        self.spent += self._machine.spent - before
        return batch

    def _slots_of(self, parent: Input) -> tuple[Slot, ...]:
        """Return the places of an input that its run depends on, learned when it is first asked for."""
        known = self._slots.pop(parent, None)
        if known is None:
            known = self._machine.learn(self._rva, parent, self._way, alignment=self._alignment, budget=self._budget)
        self._slots[parent] = known
        if len(self._slots) > MAX_REMEMBERED:
            del self._slots[next(iter(self._slots))]
        return known
