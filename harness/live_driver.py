"""A driver brought to life in one machine: what it registered, and the states that it is run in."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Generic, TypeVar

from stackemu.emu.errors import InputError
from stackemu.emu.forced_branches import ForcedBranch
from stackemu.emu.image import Image
from stackemu.emu.kernel.roots import Root
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Observation
from stackemu.harness.bring_up import BringUp, bring_up
from stackemu.harness.contexts import Context
from stackemu.harness.states import State, States

_MISFITS = (LookupError, ValueError, ArithmeticError, struct.error)
"""What comes of too few numbers in a role's registration, too many, or others than its arguments are made of."""

M = TypeVar("M", bound=Machine)


class LiveDriver(Generic[M]):
    """One driver in one machine."""

    def __init__(self, machine: M, image: Image, seed: int, *, initialise: bool) -> None:
        """Bring the driver up; with `initialise` unset it is left as it was loaded."""
        self.machine = machine
        fresh = State.of(machine, ())
        self.bring_up = bring_up(machine, image, seed) if initialise else BringUp.skipped(None)
        self.states = States(machine, image, fresh, State.of(machine, self.bring_up.roots))

    def run(
        self, context: Context, budget: int, focus: int | None = None, branches: Sequence[ForcedBranch] = ()
    ) -> Observation:
        """Make one run of at most `budget` instructions; the figures are those of the function at the RVA `focus`.

        Without that they are those of the function that is called. With `branches` forced it measures nothing.

        Raises:
            InputError: the run's role was registered in a way that no driver registers it.
            BrokenSequenceError: the kernel would not come to the run's own call.
        """
        self.states.enter(context.before, (context.way,))
        try:
            with self.machine.forcing(branches):
                return self.machine.call(
                    context.caller,
                    context.source,
                    context.way,
                    alignment=context.alignment,
                    budget=budget,
                    focus=focus if focus != context.caller else None,
                )
        except _MISFITS as error:
            # Roles that runs register are not known beforehand, so what a file says of one is only found out here.
            # What bringing the driver up registered is right: that is a mistake of another kind.
            if not isinstance(context.way, Root) or context.way in self.bring_up.roots:
                raise
            raise InputError(
                f"a run as {context.way.role}",
                f"cannot be made as {context.way.kind!r} with what is said of its registration",
                "measure the function anew",
            ) from error
