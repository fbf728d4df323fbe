"""States of a driver that steps before a run leave behind: each step is called as the kernel does, and kept.

A sequence is one that the kernel could have made: nobody but the kernel calls roots, so each step's root has to be
registered by then, every step has to return, and what the kernel gives up a device or a file for has to succeed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stackemu.emu.calls import Arguments, Snapshot
from stackemu.emu.errors import CheckFailedError
from stackemu.emu.image import Image
from stackemu.emu.inputs import Input, Override, Place
from stackemu.emu.kernel.roots import Root
from stackemu.emu.kernel.state import POOL_BASE, POOL_SIZE
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Observation, Outcome
from stackemu.harness.bring_up import BUDGET, entry_root
from stackemu.harness.contexts import MAX_STEPS, Step

CAPACITY = 32
"""States that are remembered besides those of the fresh and of the initialised driver."""
MUST_SUCCEED = frozenset(
    {
        "DriverEntry",
        "AddDevice",
        "EvtDriverDeviceAdd",
        "EvtDevicePrepareHardware",
        "EvtDeviceD0Entry",
        "InstanceSetupCallback",
        "IRP_MJ_CREATE",
    }
)
"""Roles after whose failure there is no device, instance or file for what would come next."""
LAST = frozenset({"DriverUnload", "FilterUnloadCallback", "EvtDriverUnload"})
"""Roles after which the driver is no longer there."""
POINTER = 4
"""Bytes of an address."""
_ERROR = 0x80000000


class BrokenSequenceError(CheckFailedError):
    """The kernel would not have come to the end of a sequence: why, and at which step, counted from 0."""

    def __init__(self, index: int, role: str, why: str) -> None:
        """Remember the step that it broke at."""
        self.index = index
        self.why = why
        super().__init__(f"step {index + 1} ({role}): {why}")


@dataclass(frozen=True, slots=True)
class State:
    """What runs start from, and the functions that the driver has asked to be called at by then."""

    snapshot: Snapshot
    roots: tuple[Root, ...]
    pool: int
    """The address from where on runs are given pool memory."""

    @classmethod
    def of(cls, machine: Machine, roots: tuple[Root, ...]) -> State:
        """Return what a machine's runs start from."""
        return cls(machine.snapshot, roots, machine.pool_end)


class States:
    """Brings one machine into the states behind sequences of steps; those of the last ones are remembered."""

    def __init__(
        self, machine: Machine, image: Image, fresh: State, initialised: State, capacity: int = CAPACITY
    ) -> None:
        """Take the states before and after the driver was brought up; the machine is in the latter."""
        self._machine = machine
        self._base = image.base
        self._entry = entry_root(image)
        self._fresh = fresh
        self._initialised = initialised
        self._capacity = capacity
        self._known: OrderedDict[tuple[Step, ...], State] = OrderedDict()
        self._present = initialised

    def after(self, steps: tuple[Step, ...]) -> State:
        """Return the state that steps leave behind.

        DriverEntry can only be the first of them: it starts from the fresh image, and nothing is initialised then but
        by the steps that follow. Without it steps start from where bringing the driver up ended.

        Raises:
            BrokenSequenceError: the kernel would not have made these calls.
        """
        if len(steps) > MAX_STEPS:
            raise BrokenSequenceError(MAX_STEPS, steps[MAX_STEPS].root.role, f"more than {MAX_STEPS} steps")
        done = next((length for length in range(len(steps), 0, -1) if steps[:length] in self._known), 0)
        if done:
            state = self._known[steps[:done]]
            self._known.move_to_end(steps[:done])
        else:
            state = self._first(steps[0].root if steps else None)
        for index in range(done, len(steps)):
            state = self._take(state, steps, index)
            self._remember(steps[: index + 1], state)
        return state

    def enter(self, steps: tuple[Step, ...], ways: Sequence[Arguments | Root]) -> None:
        """Let the machine's runs start from the state that steps leave behind; `ways` are the calls that come next.

        Raises:
            BrokenSequenceError: the kernel would not have made these calls.
        """
        if steps:
            state = self.after(steps)
            for way in ways:
                if isinstance(way, Root):
                    _check_call(state, steps, way)
        else:
            # DriverEntry starts from the fresh image, not from what DriverEntry itself left behind.
            state = self._first(ways[0] if len(ways) == 1 else None)
        self._go_to(state)

    def fitted(self, before: tuple[Step, ...], step: Step) -> Step:
        """Return a step that was found in another state, changed so that it does the same behind `before`.

        Addresses in its input are those of pool memory that it is given, and move with it; a root that the driver
        registers anew in each state, with addresses of its own, is the one that is registered here.

        Raises:
            BrokenSequenceError: the kernel would not have made these calls.
        """
        state = self.after(before) if before else self._first(step.root)
        root = step.root
        if root not in state.roots:
            same = (one for one in state.roots if _place(one) == _place(root))
            root = next(same, root)
        pool = state.pool if step.pool is None else step.pool
        return Step(root, moved(step.source, pool, state.pool), state.pool)

    def settled(self, steps: Iterable[Step]) -> tuple[Step, ...]:
        """Return steps, some of which were found elsewhere, each fitted to the state that those before it leave.

        Raises:
            BrokenSequenceError: the kernel would not have made these calls.
        """
        done: tuple[Step, ...] = ()
        for step in steps:
            done = (*done, self.fitted(done, step))
        return done

    def _first(self, way: Arguments | Root | None) -> State:
        """Return the state that a call starts from which nothing comes before."""
        return self._fresh if way is not None and way == self._entry else self._initialised

    def _take(self, before: State, steps: tuple[Step, ...], index: int) -> State:
        """Take one step from the state before it."""
        step, machine = steps[index], self._machine
        if index or step.root != self._entry:
            _check_call(before, steps[:index], step.root)
        self._go_to(before)
        observation = machine.call(step.root.address - self._base, step.source, step.root, budget=BUDGET)
        why = what_breaks(step.root, observation)
        if why is not None:
            raise BrokenSequenceError(index, step.root.role, why)
        roots = machine.collect_roots()
        machine.keep()
        self._present = State.of(machine, roots)
        return self._present

    def _go_to(self, state: State) -> None:
        if state is not self._present:
            self._machine.start_from(state.snapshot)
            self._present = state

    def _remember(self, steps: tuple[Step, ...], state: State) -> None:
        self._known[steps] = state
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)


def moved(source: Input, pool: int, to: int) -> Input:
    """Return an input for pool memory that begins at `to`, where that of `source` began at `pool`."""

    def place(address: int) -> int:
        return address + to - pool if pool <= address < POOL_BASE + POOL_SIZE else address

    def override(one: Override) -> Override:
        key = place(one.key) if one.place is Place.MEMORY else one.key
        return replace(one, key=key, value=place(one.value) if one.size == POINTER else one.value)

    return source if pool == to else replace(source, overrides=tuple(map(override, source.overrides)))


def what_breaks(root: Root, observation: Observation) -> str | None:
    """Return why nothing can come after a call of `root` that ended so, None where something can.

    That a request fails is no reason: drivers may refuse any, and be in another state afterwards.
    """
    if observation.outcome is not Outcome.RETURNED:
        return f"{observation.outcome.value}: {observation.why}" if observation.why else observation.outcome.value
    status = observation.result or 0
    if root.role in MUST_SUCCEED and status >= _ERROR:
        return f"returned {status:#010x}"
    return None


def _place(root: Root) -> tuple[int, str, str]:
    return root.address, root.role, root.kind


def _check_call(state: State, steps: tuple[Step, ...], root: Root) -> None:
    """Check that the kernel can call `root` in a state that `steps` have led to."""
    if steps and steps[-1].root.role in LAST:
        raise BrokenSequenceError(len(steps), root.role, f"the driver is gone after {steps[-1].root.role}")
    if root not in state.roots:
        raise BrokenSequenceError(len(steps), root.role, f"nobody has registered {root.address:#010x} by then")
