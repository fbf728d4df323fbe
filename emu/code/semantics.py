"""What single instructions do to the data flow's state: stack, EBP and everything that leads back to them."""

from __future__ import annotations

import functools
from collections.abc import Callable

from stackemu.emu.code.instruction import (
    CALLEE_SAVED,
    EAX,
    EBP,
    EBX,
    ECX,
    EDI,
    EDX,
    ESI,
    ESP,
    Imm,
    Instruction,
    Mem,
    Operand,
    Reg,
)
from stackemu.emu.code.stackeffect import may_move_esp, stack_effect
from stackemu.emu.code.state import State, Value

MAX_ALIGNMENT = 64
"""The largest realignment that is followed exactly, in bytes."""


class Semantics:
    """Applies instructions to states, and notes what a whole function's analysis wants to know of them."""

    def __init__(self, residue: int, load: Callable[[Value, int], Value | None]) -> None:
        """`residue` is ESP at entry modulo 64; `load` says what a known address off the stack holds."""
        self._residue = residue
        self._load = load
        self.restores: set[tuple[int, int]] = set()
        """(slot, register): a callee-saved register gets its entry value back from this slot."""
        self.suspicions = 0
        """Registers restored from a slot that holds another register's entry value."""
        self.realigns = 0
        """The largest M of `and esp, -M` seen."""

    def apply(self, state: State, instruction: Instruction) -> None:
        """Change `state` by what `instruction` does; calls and returns are not its business."""
        mnemonic = instruction.mnemonic
        handler = _HANDLERS.get(mnemonic)
        if handler is not None:
            handler(self, state, instruction)
            return
        for number in instruction.writes:
            if number != ESP:
                state.registers[number] = None
        if may_move_esp(instruction):
            effect = stack_effect(instruction)
            if effect.delta is None:
                self.set_esp(state, None)
            elif effect.delta:
                self._move_esp(state, effect.delta)
        if mnemonic not in _READS:
            self._forget_destination(state, instruction)

    def _forget_destination(self, state: State, instruction: Instruction) -> None:
        """An arithmetic instruction on a known slot makes its value unknown."""
        if instruction.operands and isinstance(instruction.operands[0], Mem):
            slot = _slot(state, instruction.operands[0])
            if slot is not None:
                state.slots.pop(slot, None)

    # -- values --

    def value(self, state: State, operand: Operand) -> Value | None:
        """Return what an operand holds in `state`, None when that is not known."""
        if isinstance(operand, Imm):
            return _constant(operand.value & 0xFFFFFFFF)
        if isinstance(operand, Reg):
            return state.registers[operand.number] if operand.size == 4 and operand.number >= 0 else None
        if operand.size != 4 or operand.index is not None or operand.segment:
            return None
        base = Value("const", 0) if operand.base is None else state.registers[operand.base]
        if base is None or base.kind in ("entry", "api"):
            return None
        if base.kind == "stack":
            return state.slots.get(base.n + _signed(operand.disp))
        return self._load(base, _signed(operand.disp))

    def _assign(self, state: State, operand: Operand, value: Value | None) -> None:
        if isinstance(operand, Reg):
            if operand.number < 0:
                return
            whole = value if operand.size == 4 else None
            if operand.number == ESP:
                self.set_esp(state, whole.n if whole is not None and whole.kind == "stack" else None)
            else:
                state.registers[operand.number] = whole
        elif isinstance(operand, Mem):
            slot = _slot(state, operand)
            if slot is None:
                return
            if value is None or operand.size != 4:
                state.slots.pop(slot, None)
            else:
                state.slots[slot] = value

    def set_esp(self, state: State, offset: int | None) -> None:
        """Move ESP to an offset, None for one that is not known; slots below it are gone."""
        if offset is not None and state.esp is not None and offset > state.esp:
            state.pushed = max(0, state.pushed - (offset - state.esp))
        state.registers[ESP] = None if offset is None else Value("stack", offset)
        if offset is not None:
            for slot in [slot for slot in state.slots if slot < offset]:
                del state.slots[slot]

    def _move_esp(self, state: State, delta: int) -> None:
        if state.esp is not None:
            self.set_esp(state, state.esp + delta)

    def push(self, state: State, value: Value | None, size: int) -> None:
        """Push a value of `size` bytes."""
        if state.esp is None:
            return
        self.set_esp(state, state.esp - size)
        if value is not None and size == 4 and state.esp is not None:
            state.slots[state.esp] = value
        if value is None or value.kind != "entry":
            state.pushed += size  # a register's entry value is saved, or reserves a local, more often than passed

    def _note_restore(self, slot: int, register: int, value: Value | None) -> None:
        if register not in CALLEE_SAVED or value is None or value.kind != "entry":
            return
        if value.n == register:
            self.restores.add((slot, register))
        elif value.n in CALLEE_SAVED:
            self.suspicions += 1

    # -- instructions with effects of their own --

    def _do_push(self, state: State, instruction: Instruction) -> None:
        size = -(stack_effect(instruction).delta or 0)
        self.push(state, self.value(state, instruction.operands[0]), size)

    def _do_pop(self, state: State, instruction: Instruction) -> None:
        esp = state.esp
        size = stack_effect(instruction).delta
        value = state.slots.get(esp) if esp is not None and size == 4 else None
        operand = instruction.operands[0]
        if esp is not None and isinstance(operand, Reg):
            self._note_restore(esp, operand.number, value)
        if size is not None:
            self._move_esp(state, size)
        self._assign(state, operand, value)

    def _do_mov(self, state: State, instruction: Instruction) -> None:
        destination, source = instruction.operands
        value = self.value(state, source)
        if isinstance(destination, Reg) and isinstance(source, Mem):
            slot = _slot(state, source)
            if slot is not None:
                self._note_restore(slot, destination.number, value)
        self._assign(state, destination, value)

    def _do_lea(self, state: State, instruction: Instruction) -> None:
        destination, source = instruction.operands
        value = None
        if isinstance(source, Mem) and source.index is None and source.base is not None:
            base = state.registers[source.base]
            if base is not None and base.kind in ("stack", "const"):
                value = _add(base, source.disp)
        self._assign(state, destination, value)

    def _do_add(self, state: State, instruction: Instruction) -> None:
        self._sum(state, instruction, 1)

    def _do_sub(self, state: State, instruction: Instruction) -> None:
        self._sum(state, instruction, -1)

    def _sum(self, state: State, instruction: Instruction, sign: int) -> None:
        destination, source = instruction.operands
        left, right = self.value(state, destination), self.value(state, source)
        if sign < 0 and destination == source:
            self._assign(state, destination, Value("const", 0))
        elif left is not None and right is not None and left.kind in ("stack", "const") and right.kind == "const":
            self._assign(state, destination, _add(left, sign * _signed(right.n)))
        elif sign > 0 and left is not None and left.kind == "const" and right is not None and right.kind == "stack":
            self._assign(state, destination, _add(right, _signed(left.n)))
        else:
            self._assign(state, destination, None)

    def _do_and(self, state: State, instruction: Instruction) -> None:
        destination, source = instruction.operands
        left, right = self.value(state, destination), self.value(state, source)
        result = None
        if left is not None and right is not None and right.kind == "const":
            if left.kind == "const":
                result = Value("const", left.n & right.n)
            elif left.kind == "stack":
                result = self._align(left.n, _signed(right.n))
                if result is not None and destination == Reg(ESP, 4):
                    self.realigns = max(self.realigns, -_signed(right.n))
        self._assign(state, destination, result)

    def _align(self, offset: int, mask: int) -> Value | None:
        size = -mask
        if not 0 < size <= MAX_ALIGNMENT or size & (size - 1):
            return None
        return Value("stack", offset - (offset + self._residue) % size)

    def _do_xor(self, state: State, instruction: Instruction) -> None:
        same = instruction.operands[0] == instruction.operands[1]
        self._assign(state, instruction.operands[0], Value("const", 0) if same else None)

    def _do_or(self, state: State, instruction: Instruction) -> None:
        ones = instruction.operands[1] == Imm(0xFFFFFFFF) or instruction.operands[1] == Imm(-1)
        self._assign(state, instruction.operands[0], Value("const", 0xFFFFFFFF) if ones else None)

    def _do_xchg(self, state: State, instruction: Instruction) -> None:
        left, right = instruction.operands
        first, second = self.value(state, left), self.value(state, right)
        self._assign(state, left, second)
        self._assign(state, right, first)

    def _do_leave(self, state: State, _instruction: Instruction) -> None:
        base = state.registers[EBP]
        offset = base.n if base is not None and base.kind == "stack" else None
        value = state.slots.get(offset) if offset is not None else None
        if offset is not None:
            self._note_restore(offset, EBP, value)
        self.set_esp(state, None if offset is None else offset + 4)
        state.registers[EBP] = value

    def _do_enter(self, state: State, instruction: Instruction) -> None:
        before = state.esp
        ebp = state.registers[EBP]
        self._move_esp(state, stack_effect(instruction).delta or 0)
        if before is not None:
            if ebp is not None:
                state.slots[before - 4] = ebp
            state.registers[EBP] = Value("stack", before - 4)

    def _do_pushal(self, state: State, _instruction: Instruction) -> None:
        esp = state.registers[ESP]
        for number in (EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI):
            self.push(state, esp if number == ESP else state.registers[number], 4)

    def _do_popal(self, state: State, _instruction: Instruction) -> None:
        for number in (EDI, ESI, EBP, ESP, EBX, EDX, ECX, EAX):
            slot = state.esp
            value = state.slots.get(slot) if slot is not None else None
            self._move_esp(state, 4)
            if number != ESP:
                if slot is not None:
                    self._note_restore(slot, number, value)
                state.registers[number] = value


_Handler = Callable[[Semantics, State, Instruction], None]
_HANDLERS: dict[str, _Handler] = {
    "push": Semantics._do_push,
    "pop": Semantics._do_pop,
    "mov": Semantics._do_mov,
    "lea": Semantics._do_lea,
    "add": Semantics._do_add,
    "sub": Semantics._do_sub,
    "and": Semantics._do_and,
    "xor": Semantics._do_xor,
    "or": Semantics._do_or,
    "xchg": Semantics._do_xchg,
    "leave": Semantics._do_leave,
    "enter": Semantics._do_enter,
    "pushal": Semantics._do_pushal,
    "popal": Semantics._do_popal,
}
_READS = frozenset({"cmp", "test", "push", "call", "jmp", "mul", "imul", "div", "idiv", "bt"})


def _slot(state: State, operand: Operand) -> int | None:
    """Return the stack offset that a memory operand names, None when it is not on the stack or unknown."""
    if not isinstance(operand, Mem) or operand.index is not None or operand.base is None or operand.segment:
        return None
    base = state.registers[operand.base]
    return base.n + _signed(operand.disp) if base is not None and base.kind == "stack" else None


@functools.lru_cache(maxsize=1 << 16)
def _constant(value: int) -> Value:
    return Value("const", value)


def _add(value: Value, amount: int) -> Value:
    if value.kind == "const":
        return Value("const", (value.n + amount) & 0xFFFFFFFF)
    return Value(value.kind, value.n + amount)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - 0x1_0000_0000 if value & 0x8000_0000 else value
