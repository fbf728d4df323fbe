"""Where values came from: a recorded run followed instruction by instruction, back to what the input decided.

Every conditional branch of the run is given the places of the input that its flags were computed from, and the values
that would send it the other way (see `expression` for what is followed, `solver` for how it is turned).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from stackemu.emu.code.expression import Term, value_of
from stackemu.emu.code.instruction import CALL_CLOBBERED, EAX, ESP, Flow, Instruction, Mem
from stackemu.emu.code.origin import Origin
from stackemu.emu.code.origin_instructions import branch_condition, follow
from stackemu.emu.code.origin_state import OriginState
from stackemu.emu.code.path_conditions import PathConditions
from stackemu.emu.code.solver import values_for, ways
from stackemu.emu.code.steps import Steps

MAX_TABLE_ENTRIES = 128
"""Entries of a table of code pointers that are tried."""
MAX_PASSES = 4
"""Passes of a transfer that are looked into until one tells what would turn it."""
MAX_ARGUMENTS = 4
"""Words on the stack at a kernel call that are looked at for what the call depends on."""
MODEST = 0x40
"""A length that kernel functions take where they refuse what is too much or nothing."""
_SMALL = 0x100
"""Words below this are too common for their value alone to tell where they came from."""
_MASK = 0xFFFFFFFF


class KernelEvent(NamedTuple):
    """A kernel call in a recorded run, seen after `moment` instructions: what it wrote and drew."""

    moment: int
    ordinal: int
    name: str
    writes: tuple[tuple[int, bytes], ...]
    draws: tuple[tuple[int, int], ...]
    """Keys and values of the numbers drawn from the input."""
    copy: tuple[int, int, int] | None
    """(destination, source, bytes) of a function that copies memory."""


class Decision(NamedTuple):
    """A transfer of control at `address` that could have gone to `target` instead.

    Each of `origins` is a place with the value that it takes; one of them is enough.
    """

    address: int
    target: int
    origins: tuple[tuple[Origin, int], ...]


class OriginTracer:
    """Follows one recorded run."""

    def __init__(
        self,
        instruction_at: Callable[[int], Instruction | None],
        table_at: Callable[[int], Sequence[int]],
        state: OriginState,
    ) -> None:
        """`table_at` returns the code pointers of the table at an address, none where there is no table."""
        self._instruction_at = instruction_at
        self._table_at = table_at
        self._state = state
        self._wanted: Callable[[int, int], bool] = lambda _follower, _other: True
        self._passes: Counter[tuple[int, int]] = Counter()
        self._path = PathConditions()
        self._stub_esp = 0
        self._arguments: dict[int, list[Term]] = {}
        """What the arguments of kernel calls came from, by their ordinals."""

    def decisions(
        self,
        steps: Steps,
        events: Sequence[KernelEvent],
        wanted: Callable[[int, int], bool] = lambda _follower, _other: True,
    ) -> Iterator[Decision]:
        """Yield the transfers of a recorded run.

        Only those are looked into that are `wanted`, by where the transfer went and where it could have gone, each
        until something is found that turns it. What is not wanted at first is never asked for again.
        """
        self._wanted = wanted
        self._passes.clear()
        self._path = PathConditions()
        self._arguments.clear()
        last = self._last_wanted(steps)
        if last is None:
            return
        self._state.begin(steps.registers(0))
        upcoming = iter(events)
        event = next(upcoming, None)
        for index, address in enumerate(steps.addresses[: last + 1]):
            registers = steps.registers(index)
            self._state.step(registers)
            while event is not None and event.moment <= index:
                self._kernel_call(event)
                event = next(upcoming, None)
            instruction = self._instruction_at(address)
            if instruction is None:  # a stub: its event says what it did
                self._stub_esp = registers[ESP]
                continue
            if instruction.flow is not Flow.NEXT and index + 1 < len(steps):
                yield from self._transfer(instruction, steps.addresses[index + 1])
            follow(self._state, instruction)

    def _last_wanted(self, steps: Steps) -> int | None:
        """Return the index of the last transfer that may be looked into: nothing behind it has to be followed."""
        addresses = steps.addresses
        for index in range(len(addresses) - 2, -1, -1):
            instruction = self._instruction_at(addresses[index])
            if instruction is None:
                continue
            if instruction.flow is Flow.BRANCH:
                other = _other_way(instruction, addresses[index + 1])
                if other is not None and self._wanted(addresses[index + 1], other):
                    return index
            elif instruction.flow in (Flow.JUMP, Flow.CALL) and _table_of(instruction) is not None:
                return index
        return None

    def _transfer(self, instruction: Instruction, follower: int) -> Iterator[Decision]:
        if instruction.flow is Flow.BRANCH:
            return self._branch(instruction, follower)
        if instruction.flow in (Flow.JUMP, Flow.CALL):
            return self._through_table(instruction, follower)
        return iter(())

    def _branch(self, instruction: Instruction, follower: int) -> Iterator[Decision]:
        other = _other_way(instruction, follower)
        if other is None:
            return
        taken = follower == instruction.target
        condition = branch_condition(self._state, instruction)
        if self._is_asked_for(instruction.address, follower, other):
            origins = self._path.likeliest(ways(condition, not taken)) if condition is not None else []
            origins += self._modest_arguments(origins)
            yield from self._found(Decision(instruction.address, other, tuple(origins)))
        self._path.add(condition, taken)

    def _through_table(self, instruction: Instruction, follower: int) -> Iterator[Decision]:
        """Yield the entries of a table of code pointers that a jump or a call did not choose."""
        operand = _table_of(instruction)
        if operand is None or operand.index is None:
            return
        index = self._state.register(operand.index)
        if isinstance(index, int):
            return
        for number, target in enumerate(self._table_at(operand.disp & _MASK)[:MAX_TABLE_ENTRIES]):
            if target == follower or not self._is_asked_for(instruction.address, follower, target):
                continue
            origins = tuple(self._path.likeliest(values_for(index, number)))
            if origins:
                yield from self._found(Decision(instruction.address, target, origins))

    def _modest_arguments(self, origins: Sequence[tuple[Origin, int]]) -> list[tuple[Origin, int]]:
        """Return how to give the kernel calls that `origins` come from other arguments: lengths that are modest."""
        ordinals = dict.fromkeys(origin.key for origin, _ in origins if origin.kind in ("api", "kernel"))
        terms = [term for ordinal in ordinals for term in self._arguments.get(ordinal, ())]
        return [way for term in terms if value_of(term) != MODEST for way in values_for(term, MODEST)]

    def _is_asked_for(self, address: int, follower: int, other: int) -> bool:
        return self._passes[address, other] < MAX_PASSES and self._wanted(follower, other)

    def _found(self, decision: Decision) -> Iterator[Decision]:
        """Yield a decision that says how to turn it; of those that do not the last chance to be told so."""
        key = decision.address, decision.target
        first = self._passes[key] == 0
        self._passes[key] += MAX_PASSES if decision.origins else 1
        if decision.origins or first:
            yield decision

    def _kernel_call(self, event: KernelEvent) -> None:
        """Take over what a kernel function did: its result, and what it wrote."""
        state = self._state
        arguments = [state.load(self._stub_esp + 4 * number, 4) for number in range(1, MAX_ARGUMENTS + 1)]
        self._arguments[event.ordinal] = [term for term in arguments if not isinstance(term, int)]
        state.forget(CALL_CLOBBERED)
        state.flags = None
        drawn = {value & _MASK: key for key, value in event.draws}
        result = state.now[EAX]
        key = drawn.get(result)
        kind, number = ("api", event.ordinal) if key is None else ("drawn", key)
        state.set_register(EAX, Origin(kind, number, 4, result))

        for address, data in event.writes:

            def origin_of(word: bytes, *, is_alone: bool = len(data) <= 4) -> Origin | None:
                value = int.from_bytes(word, "little")
                key = drawn.get(value) if len(word) == 4 and (is_alone or value >= _SMALL) else None
                return Origin("drawn", key, 4, value) if key is not None else None

            state.kernel_wrote(address, data, event.ordinal, origin_of)
        if event.copy is not None:
            state.copy(*event.copy)


def _other_way(instruction: Instruction, follower: int) -> int | None:
    """Return where a conditional branch could have gone instead, None where there is no other place."""
    ways = {instruction.target, instruction.end}
    if len(ways) < 2 or None in ways or follower not in ways:
        return None
    return instruction.end if follower == instruction.target else instruction.target


def _table_of(instruction: Instruction) -> Mem | None:
    """Return the operand of a jump or a call through a table of code pointers, None where it is no such."""
    operand = instruction.operands[0] if instruction.operands else None
    is_table = isinstance(operand, Mem) and operand.index is not None and operand.base is None
    return operand if is_table and isinstance(operand, Mem) else None
