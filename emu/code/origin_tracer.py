"""Where values came from: a recorded run followed instruction by instruction, back to what the input decided.

Every conditional branch of the run is given the place of the input that its operands were computed from, and the
values that would send it the other way. Arithmetic with constants is undone; what depends on more is not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from stackemu.emu.code.conditions import CONDITION_CODES, Comparison, solutions
from stackemu.emu.code.instruction import (
    CALL_CLOBBERED,
    EAX,
    EBP,
    EDI,
    EDX,
    ESI,
    ESP,
    Flow,
    Imm,
    Instruction,
    Mem,
    Operand,
    Reg,
)
from stackemu.emu.code.origin import APPLY, Condition, Origin

MAX_TABLE_ENTRIES = 128
"""Entries of a table of code pointers that are tried."""
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


class _Flags(NamedTuple):
    comparison: Comparison
    left: Origin | None
    right: Origin | None


Registers = Sequence[int]
"""EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI before an instruction."""


class OriginTracer:
    """Follows one recorded run."""

    def __init__(
        self,
        instruction_at: Callable[[int], Instruction | None],
        table_at: Callable[[int], Sequence[int]],
        read: Callable[[int, int], int],
        entry_esp: int,
        fs_base: int,
    ) -> None:
        """`table_at` returns the code pointers of the table at an address, none where there is no table.

        `read` returns what memory holds after the run, as (address, size in bytes): most of it never changed.
        """
        self._instruction_at = instruction_at
        self._table_at = table_at
        self._read = read
        self._entry_esp = entry_esp
        self._fs_base = fs_base
        self._registers: list[Origin | None] = []
        self._memory: dict[int, tuple[int, Origin | None]] = {}
        """What the run wrote, by address: size and origin."""
        self._written: set[int] = set()
        self._flags: _Flags | None = None
        self._now: Registers = ()
        self._wanted: Callable[[int], bool] = lambda _target: True
        self._yielded: set[tuple[int, int]] = set()

    def decisions(
        self,
        steps: Sequence[tuple[int, Registers]],
        events: Sequence[KernelEvent],
        wanted: Callable[[int], bool] = lambda _target: True,
    ) -> Iterator[Decision]:
        """Yield the transfers of a run, given as (address, registers before) of each instruction.

        Only those are looked into whose other side is `wanted`, each once.
        """
        self._wanted = wanted
        self._yielded.clear()
        if not steps:
            return
        first = steps[0][1]
        self._registers = [Origin("register", number, 4, value) for number, value in enumerate(first)]
        self._registers[ESP] = None
        upcoming = iter(events)
        event = next(upcoming, None)
        for index, (address, registers) in enumerate(steps):
            while event is not None and event.moment <= index:
                self._kernel_call(event, registers)
                event = next(upcoming, None)
            instruction = self._instruction_at(address)
            self._now = registers
            if instruction is None:
                continue  # a stub: its event says what it did
            follower = steps[index + 1][0] if index + 1 < len(steps) else None
            if instruction.flow is Flow.BRANCH:
                yield from self._branch(instruction, follower)
            elif instruction.flow is Flow.JUMP:
                yield from self._through_table(instruction, follower)
            else:
                if instruction.flow is Flow.CALL:
                    yield from self._through_table(instruction, follower)
                self._apply(instruction)

    # -- operands --

    def _address(self, operand: Mem) -> int:
        address = operand.disp
        if operand.base is not None:
            address += self._now[operand.base]
        if operand.index is not None:
            address += self._now[operand.index] * operand.scale
        if operand.segment == "fs":
            address += self._fs_base
        return address & _MASK

    def _load(self, address: int, size: int) -> Origin | None:
        """Return the origin of memory: what the run stored there, or the place itself when it is the input's."""
        stored = self._memory.get(address)
        if stored is not None and stored[0] >= size:
            origin = stored[1]
            if origin is None or stored[0] == size:
                return origin
            return origin.then("and", (1 << 8 * size) - 1)
        if any(address + offset in self._written for offset in range(size)):
            return None
        if address < self._entry_esp and self._entry_esp - address < 0x20000:
            return None  # stack of its own that the function never wrote
        return Origin("memory", address, size, self._read(address, size))

    def _store(self, address: int, size: int, origin: Origin | None) -> None:
        for offset in range(-3, size):
            self._memory.pop(address + offset, None)
        self._memory[address] = (size, origin)
        self._written.update(range(address, address + size))

    def _value(self, operand: Operand) -> int:
        """Return an operand's value before the instruction."""
        if isinstance(operand, Imm):
            return operand.value & _MASK
        if isinstance(operand, Mem):
            return self._read(self._address(operand), operand.size)
        return self._now[operand.number] if operand.number >= 0 else 0

    def _known(self, operand: Operand) -> Origin | None:
        """Return where an operand's value came from."""
        if isinstance(operand, Imm):
            return None
        if isinstance(operand, Mem):
            return self._load(self._address(operand), operand.size)
        if operand.number < 0:
            return None
        origin = self._registers[operand.number]
        if origin is None or operand.size == 4:
            return origin
        return origin.then("and", (1 << 8 * operand.size) - 1)

    def _assign(self, operand: Operand, origin: Origin | None) -> None:
        if isinstance(operand, Mem):
            self._store(self._address(operand), operand.size, origin)
        elif isinstance(operand, Reg) and operand.number >= 0:
            # Of a part of a register the rest is taken to be zero: what follows mostly looks at the part alone.
            part = origin if origin is None or operand.size == 4 else origin.then("and", (1 << 8 * operand.size) - 1)
            self._registers[operand.number] = part

    # -- instructions --

    def _apply(self, instruction: Instruction) -> None:
        handler = _HANDLERS.get(instruction.mnemonic)
        if handler is not None:
            handler(self, instruction)
            return
        for number in instruction.writes:
            self._registers[number] = None
        if instruction.operands and isinstance(instruction.operands[0], Mem):
            self._assign(instruction.operands[0], None)

    def _move(self, instruction: Instruction) -> None:
        target, source = instruction.operands
        self._assign(target, self._known(source))

    def _sign_extend(self, instruction: Instruction) -> None:
        target, source = instruction.operands
        origin = self._known(source)
        size = source.size if isinstance(source, Reg | Mem) else 4
        self._assign(target, origin.then("sign", size) if origin is not None else None)

    def _load_address(self, instruction: Instruction) -> None:
        target, source = instruction.operands
        origin = None
        if isinstance(source, Mem) and source.base is not None and source.index is None:
            base = self._registers[source.base]
            origin = base.then("add", source.disp) if base is not None else None
        self._assign(target, origin)

    def _push(self, instruction: Instruction) -> None:
        if instruction.operands:
            self._store((self._now[ESP] - 4) & _MASK, 4, self._known(instruction.operands[0]))

    def _pop(self, instruction: Instruction) -> None:
        if instruction.operands:
            self._assign(instruction.operands[0], self._load(self._now[ESP], 4))
            self._registers[ESP] = None

    def _call(self, _instruction: Instruction) -> None:
        self._store((self._now[ESP] - 4) & _MASK, 4, None)

    def _exchange(self, instruction: Instruction) -> None:
        left, right = instruction.operands
        origins = self._known(left), self._known(right)
        self._assign(left, origins[1])
        self._assign(right, origins[0])

    def _string_move(self, instruction: Instruction) -> None:
        size = {"movsb": 1, "movsw": 2, "movsd": 4}[instruction.mnemonic]
        self._store(self._now[EDI], size, self._load(self._now[ESI], size))

    def _string_store(self, instruction: Instruction) -> None:
        self._store(self._now[EDI], {"stosb": 1, "stosw": 2, "stosd": 4}[instruction.mnemonic], None)

    def _leave(self, _instruction: Instruction) -> None:
        self._registers[EBP] = self._load(self._now[EBP], 4)

    def _compare(self, instruction: Instruction) -> None:
        left, right = instruction.operands
        size = next((one.size for one in (left, right) if isinstance(one, Reg | Mem)), 4)
        is_test = instruction.mnemonic == "test"
        comparison = Comparison(is_test, self._value(left), self._value(right), size)
        origin = self._known(left)
        same = is_test and left == right
        if same:
            comparison = comparison._replace(right=_MASK)
        self._flags = _Flags(comparison, origin, None if same else self._known(right))

    def _arithmetic(self, instruction: Instruction) -> None:
        """Follow arithmetic with a constant; its flags are those of a comparison of the result with zero."""
        operands = instruction.operands
        mnemonic, target = instruction.mnemonic, operands[0]
        size = target.size if isinstance(target, Reg | Mem) else 4
        if mnemonic in ("xor", "sub") and len(operands) == 2 and operands[1] == target:
            self._assign(target, None)
            self._flags = None
            return
        step, operand = _STEPS[mnemonic](self._value(operands[1]) if len(operands) > 1 else 0)
        before = self._known(target)
        is_constant = len(operands) < 2 or isinstance(operands[1], Imm) or self._known(operands[1]) is None
        after = before.then(step, operand) if before is not None and is_constant else None
        if before is None and len(operands) > 1:
            after = self._turned(mnemonic, operands[0], operands[1])
        if mnemonic == "sub" and len(operands) == 2:
            comparison = Comparison(False, self._value(target), self._value(operands[1]), size)
            self._flags = _Flags(comparison, before, self._known(operands[1]))
        elif mnemonic == "neg":
            self._flags = _Flags(Comparison(False, 0, self._value(target), size), None, before)
        elif mnemonic != "not":
            result = APPLY[step](self._value(target), operand) & _MASK
            self._flags = _Flags(Comparison(True, result, _MASK, size), after, None)
        self._assign(target, after)

    def _set(self, instruction: Instruction) -> None:
        """`setcc`: 0 or 1 by the flags."""
        self._assign(instruction.operands[0], self._flag(instruction.mnemonic[3:]))

    def _subtract_with_borrow(self, instruction: Instruction) -> None:
        """`sbb r, r` spreads the carry flag over the register; others are not followed."""
        target, source = instruction.operands
        flag = self._flag("b") if target == source else None
        self._assign(target, flag.then("neg", 0) if flag is not None else None)
        self._flags = None

    def _flag(self, condition: str) -> Origin | None:
        if self._flags is None:
            return None
        condition = _SYNONYMS.get(condition, condition)
        comparison, left, right = self._flags
        if left is not None:
            return left.then("test", Condition(condition, comparison))
        swapped = comparison._replace(left=comparison.right, right=comparison.left)
        condition = condition if comparison.is_test else _SWAPPED.get(condition, "")
        return right.then("test", Condition(condition, swapped)) if right is not None and condition else None

    def _divide(self, instruction: Instruction) -> None:
        """An unsigned division of EAX by a number that is not the input's."""
        divisor, origin = self._value(instruction.operands[0]), self._registers[EAX]
        if self._known(instruction.operands[0]) is not None or not divisor:
            origin = None
        self._registers[EDX] = origin.then("remainder", divisor) if origin is not None else None
        self._registers[EAX] = origin.then("quotient", divisor) if origin is not None else None
        self._flags = None

    def _turned(self, mnemonic: str, target: Operand, source: Operand) -> Origin | None:
        """Follow arithmetic on a constant: what counts is where the other operand came from."""
        origin, value = self._known(source), self._value(target)
        if origin is None:
            return None
        if mnemonic == "sub":
            negated = origin.then("neg", 0)
            return negated.then("add", value) if negated is not None else None
        return origin.then(mnemonic, value) if mnemonic in _COMMUTATIVE else None

    # -- transfers of control --

    def _branch(self, instruction: Instruction, follower: int | None) -> Iterator[Decision]:
        target = instruction.target
        if target is None or follower not in (target, instruction.end) or self._flags is None:
            return
        taken = follower == target
        other = instruction.end if taken else target
        if other == follower or not self._is_asked_for(instruction.address, other):
            return
        origins = tuple(self._ways(instruction.mnemonic[1:], not taken))
        yield Decision(instruction.address, other, origins)

    def _is_asked_for(self, address: int, target: int) -> bool:
        if (address, target) in self._yielded or not self._wanted(target):
            return False
        self._yielded.add((address, target))
        return True

    def _ways(self, condition: str, wanted: bool) -> Iterator[tuple[Origin, int]]:
        """Yield places and values that make a condition of the present flags be as wanted."""
        if self._flags is None:
            return
        comparison, left, right = self._flags
        condition = _SYNONYMS.get(condition, condition)
        if left is not None:
            for value in solutions(condition, comparison, wanted):
                place = left.undo(value)
                if place is not None:
                    yield left, place
        if right is not None:
            swapped = comparison._replace(left=comparison.right, right=comparison.left)
            condition = condition if comparison.is_test else _SWAPPED.get(condition, "")
            for value in solutions(condition, swapped, wanted) if condition else ():
                place = right.undo(value)
                if place is not None:
                    yield right, place

    def _through_table(self, instruction: Instruction, follower: int | None) -> Iterator[Decision]:
        """Yield the entries of a table of code pointers that a jump or a call did not choose."""
        operand = instruction.operands[0]
        if not isinstance(operand, Mem) or operand.index is None or operand.base is not None:
            return
        origin = self._registers[operand.index]
        if origin is None:
            return
        for number, target in enumerate(self._table_at(operand.disp & _MASK)[:MAX_TABLE_ENTRIES]):
            place = origin.undo(number)
            if target != follower and place is not None and self._is_asked_for(instruction.address, target):
                yield Decision(instruction.address, target, ((origin, place),))

    def _kernel_call(self, event: KernelEvent, registers: Registers) -> None:
        """Take over what a kernel function did: its result, and what it wrote."""
        for number in CALL_CLOBBERED:
            self._registers[number] = None
        drawn = {value & _MASK: key for key, value in event.draws}
        result = registers[EAX]
        key = drawn.get(result)
        self._registers[EAX] = (
            Origin("drawn", key, 4, result) if key is not None else Origin("api", event.ordinal, 4, result)
        )
        for address, data in event.writes:
            key = drawn.get(int.from_bytes(data, "little")) if len(data) == 4 else None
            if len(data) <= 8:
                self._store(address, len(data), Origin("drawn", key, 4, 0) if key is not None else None)
            else:
                self._written.update(range(address, address + len(data)))
        if event.copy is not None:
            destination, source, size = event.copy
            for offset in range(0, size & ~3, 4):
                self._store(destination + offset, 4, self._load(source + offset, 4))


_STEPS: dict[str, Callable[[int], tuple[str, int]]] = {
    "add": lambda n: ("add", n),
    "sub": lambda n: ("add", -n & _MASK),
    "inc": lambda _: ("add", 1),
    "dec": lambda _: ("add", _MASK),
    "xor": lambda n: ("xor", n),
    "and": lambda n: ("and", n),
    "or": lambda n: ("or", n),
    "not": lambda _: ("xor", _MASK),
    "neg": lambda _: ("neg", 0),
    "shl": lambda n: ("shl", n & 31),
    "shr": lambda n: ("shr", n & 31),
    "rol": lambda n: ("rol", n & 31),
    "ror": lambda n: ("rol", -n & 31),
    "bswap": lambda _: ("swap", 0),
}
_COMMUTATIVE = frozenset({"add", "xor", "and", "or"})
_SYNONYMS = {"z": "e", "nz": "ne", "c": "b", "nc": "ae", "nae": "b", "nb": "ae", "na": "be", "nbe": "a", "nge": "l",
             "nl": "ge", "ng": "le", "nle": "g"}  # fmt: skip
_SWAPPED = {"e": "e", "ne": "ne", "b": "a", "a": "b", "ae": "be", "be": "ae", "l": "g", "g": "l", "le": "ge",
            "ge": "le"}  # fmt: skip
"""Condition codes with the comparison's operands exchanged."""

_HANDLERS: dict[str, Callable[[OriginTracer, Instruction], None]] = {
    "mov": OriginTracer._move,
    "movzx": OriginTracer._move,
    "movsx": OriginTracer._sign_extend,
    "lea": OriginTracer._load_address,
    "push": OriginTracer._push,
    "pop": OriginTracer._pop,
    "call": OriginTracer._call,
    "xchg": OriginTracer._exchange,
    "movsb": OriginTracer._string_move,
    "movsw": OriginTracer._string_move,
    "movsd": OriginTracer._string_move,
    "stosb": OriginTracer._string_store,
    "stosw": OriginTracer._string_store,
    "stosd": OriginTracer._string_store,
    "leave": OriginTracer._leave,
    "cmp": OriginTracer._compare,
    "test": OriginTracer._compare,
    "div": OriginTracer._divide,
    "sbb": OriginTracer._subtract_with_borrow,
    **{f"set{code}": OriginTracer._set for code in (*CONDITION_CODES, *_SYNONYMS)},
    **dict.fromkeys(_STEPS, OriginTracer._arithmetic),
}
