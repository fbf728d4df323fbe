"""Executions from one prepared parent: run natively, and handed over to the emulated kernel where they need it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import unicorn
from unicorn import x86_const

from stackemu.emu import probe as native
from stackemu.emu.batches import Find, Reason
from stackemu.emu.calls import Prepared
from stackemu.emu.engine import Mode, context_pointer, raise_from_hook
from stackemu.emu.execution import Stop
from stackemu.emu.image import Image
from stackemu.emu.inputs import PAGE, Input
from stackemu.emu.machine import Machine
from stackemu.emu.memory import MAX_TOUCHED_PAGES, STACK_BASE, STACK_SIZE, STACK_TOP
from stackemu.emu.observation import Outcome
from stackemu.emu.slots import Slot, with_values
from stackemu.emu.symbols.structure import Structure

MAX_BATCH_PAGES = 2 * MAX_TOUCHED_PAGES
"""Pages that may come into being in a batch, since they stay for later executions."""
_MANY_PAGES = 64
"""Pages that stayed, before they are let go: mapping one takes the longer, the more there are."""
_HANDING_OVER, _PAGE_COST = 4, 2
"""What an execution that is handed over and a new page cost Python, in calls of kernel functions."""
_RETURNED, _TOO_DEEP = range(2)
"""Endings as the native loop numbers them (executor.c); others are hashes."""


@dataclass(slots=True)
class Parent:
    """What all executions of a batch start from."""

    source: Input
    slots: Sequence[Slot]
    esp: int
    context: unicorn.UcContext
    kernel: bytes
    calls: int
    touched: frozenset[int]
    """Pages that came into being before the first execution."""
    number: int = -1
    """The execution that `current` is the input of."""
    current: Input | None = None


class ExecutionMachine(Machine):
    """A machine whose memory is the native loop's; `call` works as in every machine."""

    def __init__(
        self,
        image: Image,
        functions: Sequence[tuple[int, int]],
        pops_at_call: Callable[[int], int],
        structures: Mapping[str, Structure] | None = None,
    ) -> None:
        """Map `image`; the parameters are those of `Machine`."""
        super().__init__(image, functions, pops_at_call, Mode.FUZZED, structures)
        if self._executor is None:
            raise TypeError("a machine without an executor cannot run batches")
        self._native = self._executor
        self.spent = 0
        """What executions have cost in Python so far, in calls of kernel functions."""

    def _begin(self, prepared: Prepared, source: Input, slots: Sequence[Slot], budget: int) -> Parent:
        """Let executions start from what is prepared."""
        context = self._engine.context_save()
        parent = Parent(
            source=source,
            slots=slots,
            esp=prepared.esp,
            context=context,
            kernel=self._kernel.checkpoint(),
            calls=self._host.calls,
            touched=frozenset(self._space.touched),
        )
        self._execution.begin_many(lambda: self._input_of(parent))
        self._native.prepare(
            prepared.entry,
            prepared.esp,
            self._stubs.return_address,
            budget,
            STACK_BASE,
            STACK_TOP + PAGE - STACK_BASE,
            STACK_SIZE,
            context_pointer(context),
        )
        return parent

    def _finds(self, parent: Parent, deadline: float, patience: float = math.inf) -> Iterator[Find]:
        """Run what is planned, until `deadline` or until `spent` is no less than `patience`."""
        try:
            while self.spent < patience and (event := self._native.run(deadline)) != native.EVENT_FINISHED:
                if event == native.EVENT_CODE_CHANGED:
                    self._forget_code()
                elif event == native.EVENT_FIND:
                    yield self._find(parent, self._returned(parent))
                elif (outcome := self._go_on(parent, event)) is not None:
                    yield self._find(parent, outcome)
        finally:
            if self._native.abandon():
                self._forget_code()

    def _go_on(self, parent: Parent, event: int) -> Outcome | None:
        """Take over an execution that stopped; returns how it ended if that is a find."""
        raise_from_hook(self._engine)
        before = len(self._space.touched)
        try:
            if event == native.EVENT_UNKNOWN_BLOCK:
                self._execution.describe_unknown()
                return None
            self._kernel.go_back(parent.kernel)
            self._host.begin(self._input_of(parent), parent.calls)
            self._host.take_over(self._native.error, parent.esp)
            outcome = self._returned(parent)
            ending = _RETURNED if outcome is Outcome.RETURNED else _TOO_DEEP
        except Stop as stop:
            outcome, ending = stop.outcome, self._ending(stop)
        self._execution.begin_many(lambda: self._input_of(parent))
        count = len(self._space.touched)
        self.spent += _HANDING_OVER + self._host.calls - parent.calls + _PAGE_COST * (count - before)
        if count >= MAX_BATCH_PAGES:
            self._native.skip()  # it may have been given less memory than a run of its own
        is_find = count < MAX_BATCH_PAGES and self._native.finish(ending)
        if count > len(parent.touched) + _MANY_PAGES:
            self._space.drop(parent.touched)
        return outcome if is_find else None

    def _returned(self, parent: Parent) -> Outcome:
        """Return the outcome of a run that came back."""
        return Outcome.OVERFLOW if parent.esp - self._probe.low > STACK_SIZE else Outcome.RETURNED

    def _ending(self, stop: Stop) -> int:
        """Return a number that tells endings apart: how a run ended, and where if that is in the driver."""
        place = 0
        if stop.outcome in (Outcome.FAULTED, Outcome.RAISED, Outcome.BUGCHECK):
            eip = self._engine.reg_read(x86_const.UC_X86_REG_EIP)
            is_own = self._image.is_code(eip - self._image.base)
            at = eip if is_own else self._number_at(self._engine.reg_read(x86_const.UC_X86_REG_ESP), 4)
            place = at if self._image.is_code(at - self._image.base) else 0
        return zlib.crc32(f"{stop.outcome.value}/{place}".encode())

    def _find(self, parent: Parent, outcome: Outcome) -> Find:
        probe = self._probe
        return Find(
            source=self._changed(parent),
            reasons=Reason(self._native.reasons),
            outcome=outcome,
            own=probe.own,
            depth=parent.esp - probe.low,
            is_exact=self._native.exact,
            number=self._native.number - 1,
        )

    def _changed(self, parent: Parent) -> Input:
        """Return the input of the present execution, or of the last."""
        values = [(parent.slots[index], int.from_bytes(value, "little")) for index, value in self._native.changed()]
        return with_values(parent.source, values)

    def _input_of(self, parent: Parent) -> Input:
        """Return the input of the execution under way, which may be given memory from now on."""
        if parent.current is None or parent.number != self._native.number:
            parent.number = self._native.number
            parent.current = self._changed(parent)
            left = MAX_BATCH_PAGES - len(self._space.touched)
            self._space.grant(max(0, min(left, MAX_TOUCHED_PAGES - len(parent.touched))))
        return parent.current

    def _forget_code(self) -> None:
        """Forget translations of code that was changed and is back."""
        self._space.forget_code()
        self._probe.forget()
