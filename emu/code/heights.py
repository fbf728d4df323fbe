"""Stack-height data flow: where ESP stands, relative to its value at entry, before every instruction.

An abstract interpretation over the function's code with values that matter to the stack: addresses on the
stack, constants, and the registers' values at entry. It follows EBP and FPO frames, realignment, helpers
that build their caller's frame, and what callees pop. No prologue is ever matched against a pattern.

The entry's ESP is E; an offset k means the address E + k, so offsets below 0 are the function's frame and
offset 0 is its return address. E is taken as `residue` modulo 64, which makes `and esp, -M` exact; a caller
tries every residue that matters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from stackemu.emu.code.flow import FunctionCode
from stackemu.emu.code.instruction import (
    CALL_CLOBBERED,
    CALLEE_SAVED,
    EAX,
    EBP,
    EBX,
    ECX,
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
from stackemu.emu.code.stackeffect import stack_effect

MAX_ALIGNMENT = 64
MAX_VISITS = 64
"""How often a block is interpreted at most, before what still changes in it is taken as unknown."""


class Value(NamedTuple):
    """A register's or slot's value.

    'stack': the address E + n; 'const': the constant n; 'entry': register n at entry; 'api': a kernel
    function (n is the caller's business); 'kmdf': the address of the KMDF function table, plus n.
    """

    kind: Literal["stack", "const", "entry", "api", "kmdf"]
    n: int


class CallEffect(NamedTuple):
    """What a call does: `pops` bytes of arguments; `state` replaces the caller's state after a helper."""

    pops: int | None
    state: State | None = None
    guessed: bool = False


@dataclass(slots=True)
class State:
    """Registers and stack slots before an instruction; None is an unknown value."""

    registers: list[Value | None]
    slots: dict[int, Value]
    pushed: int = 0
    """Bytes pushed since the last call: the likely arguments of the next one."""

    @classmethod
    def at_entry(cls) -> State:
        """Return the state at a function's first instruction."""
        registers: list[Value | None] = [Value("entry", number) for number in range(8)]
        registers[ESP] = Value("stack", 0)
        return cls(registers, {})

    def copy(self) -> State:
        """Return an independent copy."""
        return State(self.registers.copy(), self.slots.copy(), self.pushed)

    @property
    def esp(self) -> int | None:
        """Return ESP's offset, None when it is not known."""
        value = self.registers[ESP]
        return value.n if value is not None and value.kind == "stack" else None


@dataclass(slots=True)
class Heights:
    """The result for one function and one residue; offsets are relative to E, negative below it."""

    lowest: int = 0
    """The lowest offset that an instruction of the function itself reaches."""
    lowest_at: int = 0
    esp_before: dict[int, int | None] = field(default_factory=dict)
    esp_after_calls: dict[int, int | None] = field(default_factory=dict)
    exits: dict[int, int | None] = field(default_factory=dict)
    """ESP's offset at each return and tail jump, before it pops: 0 in a function that keeps the rules."""
    restores: set[tuple[int, int]] = field(default_factory=set)
    """(slot, register): a callee-saved register gets its entry value back from this slot."""
    findings: dict[int, str] = field(default_factory=dict)
    unknown_since: dict[int, str] = field(default_factory=dict)
    """Instructions after which ESP is no constant, and why."""
    realigns: int = 0
    """The largest M of `and esp, -M`, 0 when the function does not realign."""
    guesses: dict[int, int] = field(default_factory=dict)
    """Call sites whose callee nobody knows, and the bytes it is taken to pop."""
    suspicions: int = 0
    """Registers restored from a slot that holds another register: a guess is likely wrong."""
    leaving: dict[int, State] = field(default_factory=dict)
    """The state at each return, for the inlining of helpers."""


class HeightAnalysis:
    """One interpretation of one function."""

    def __init__(
        self,
        code: FunctionCode,
        residue: int,
        call_effect: Callable[[Instruction, State], CallEffect],
        load: Callable[[Value, int], Value | None],
        entry_state: State | None = None,
    ) -> None:
        """`call_effect` says what a call does, `load` what the word at a known address off the stack holds.

        `entry_state` replaces the default to inline a helper into its caller.
        """
        self._code = code
        self._residue = residue
        self._call_effect = call_effect
        self._load = load
        self._entry_state = entry_state or State.at_entry()
        self._incoming: dict[int, State] = {}
        self._visits: dict[int, int] = {}
        self.heights = Heights(lowest=self._entry_state.esp or 0, lowest_at=code.entry)

    def run(self) -> Heights:
        """Interpret until nothing changes."""
        self._incoming[self._code.entry] = self._entry_state.copy()
        pending = [self._code.entry]
        while pending:
            leader = pending.pop()
            self._visits[leader] = self._visits.get(leader, 0) + 1
            pending.extend(self._block(leader))
        return self.heights

    def _block(self, leader: int) -> list[int]:
        """Interpret one block; returns the leaders whose incoming state changed."""
        code, state = self._code, self._incoming[leader].copy()
        address = leader
        while True:
            instruction = code.instructions.get(address)
            if instruction is None:
                return []
            self._step(state, instruction)
            if address in code.successors:
                return [target for target in code.successors[address] if self._join(target, state)]
            address = instruction.end
            if address in code.leaders:
                return [address] if self._join(address, state) else []

    def _join(self, leader: int, state: State) -> bool:
        """Merge `state` into what is known to arrive at `leader`; returns whether that changed anything."""
        known = self._incoming.get(leader)
        if known is None:
            self._incoming[leader] = state.copy()
            return True
        changed = False
        for number in range(8):
            if known.registers[number] == state.registers[number] or known.registers[number] is None:
                continue
            if number == ESP:
                self._disagree(leader, known, state)
                continue
            known.registers[number] = None
            changed = True
        differing = [slot for slot, value in known.slots.items() if state.slots.get(slot) != value]
        for slot in differing:
            del known.slots[slot]
        known.pushed = min(known.pushed, state.pushed)
        return (changed or bool(differing)) and self._visits.get(leader, 0) < MAX_VISITS

    def _disagree(self, leader: int, known: State, state: State) -> None:
        """Two paths arrive with different ESP: a finding; the first one is kept."""
        if known.esp is not None and state.esp is not None:
            self.heights.findings.setdefault(
                leader, f"paths disagree about ESP: {-known.esp} and {-state.esp} bytes below entry"
            )

    # -- one instruction --

    def _step(self, state: State, instruction: Instruction) -> None:
        heights = self.heights
        heights.esp_before[instruction.address] = state.esp
        if instruction.flow is Flow.CALL:
            self._call(state, instruction)
        elif instruction.flow is Flow.RETURN or instruction in self._code.tail_jumps:
            self._leave(state, instruction)
        else:
            before = state.esp
            self._transfer(state, instruction)
            if state.esp is None and before is not None:
                heights.unknown_since.setdefault(instruction.address, _reason(instruction))
        self._reach(state.esp, instruction)

    def _reach(self, offset: int | None, instruction: Instruction) -> None:
        if offset is not None and offset < self.heights.lowest:
            self.heights.lowest = offset
            self.heights.lowest_at = instruction.address

    def _leave(self, state: State, instruction: Instruction) -> None:
        if instruction.flow is Flow.BRANCH:
            self.heights.exits.setdefault(instruction.address, state.esp)
            return
        self.heights.exits[instruction.address] = state.esp
        self.heights.leaving[instruction.address] = state.copy()

    def _call(self, state: State, instruction: Instruction) -> None:
        before = state.esp
        if before is not None:
            self._reach(before - 4, instruction)
        if instruction.target == instruction.end:
            self._push(state, Value("const", instruction.end), 4)  # `call $+5`: a push of the address
            return
        effect = self._call_effect(instruction, state)
        if effect.state is not None:
            state.registers, state.slots = effect.state.registers, effect.state.slots
            if state.esp is None and before is not None:
                self.heights.unknown_since.setdefault(instruction.address, "stack allocated by a run-time amount")
        else:
            pops = effect.pops or 0
            if effect.guessed:
                pops = self.heights.guesses.setdefault(instruction.address, pops)
            for number in CALL_CLOBBERED:
                state.registers[number] = None
            if before is not None:
                self._set_esp(state, before + pops)
        state.pushed = 0
        self.heights.esp_after_calls[instruction.address] = state.esp

    def _transfer(self, state: State, instruction: Instruction) -> None:
        mnemonic = instruction.mnemonic
        handler = _HANDLERS.get(mnemonic)
        if handler is not None:
            handler(self, state, instruction)
            return
        effect = stack_effect(instruction)
        for number in instruction.writes:
            if number != ESP:
                state.registers[number] = None
        if effect.delta is None:
            self._set_esp(state, None)
        elif effect.delta:
            self._move_esp(state, effect.delta)
        self._forget_destination(state, instruction)

    def _forget_destination(self, state: State, instruction: Instruction) -> None:
        """An arithmetic instruction on a known slot makes its value unknown."""
        if instruction.operands and isinstance(instruction.operands[0], Mem) and instruction.mnemonic not in _READS:
            slot = _slot(state, instruction.operands[0])
            if slot is not None:
                state.slots.pop(slot, None)

    # -- values --

    def value(self, state: State, operand: Operand) -> Value | None:
        """Return what an operand holds in `state`, None when that is not known."""
        if isinstance(operand, Imm):
            return Value("const", operand.value & 0xFFFFFFFF)
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
                self._set_esp(state, whole.n if whole is not None and whole.kind == "stack" else None)
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

    def _set_esp(self, state: State, offset: int | None) -> None:
        if offset is not None and state.esp is not None and offset > state.esp:
            state.pushed = max(0, state.pushed - (offset - state.esp))
        state.registers[ESP] = None if offset is None else Value("stack", offset)
        if offset is not None:
            for slot in [slot for slot in state.slots if slot < offset]:
                del state.slots[slot]

    def _move_esp(self, state: State, delta: int) -> None:
        if state.esp is not None:
            self._set_esp(state, state.esp + delta)

    def _push(self, state: State, value: Value | None, size: int) -> None:
        if state.esp is None:
            return
        self._set_esp(state, state.esp - size)
        if value is not None and size == 4 and state.esp is not None:
            state.slots[state.esp] = value
        if value is None or value.kind != "entry":
            state.pushed += size  # a register's entry value is saved, or reserves a local, more often than passed

    def _note_restore(self, slot: int, register: int, value: Value | None) -> None:
        if register not in CALLEE_SAVED or value is None or value.kind != "entry":
            return
        if value.n == register:
            self.heights.restores.add((slot, register))
        elif value.n in CALLEE_SAVED:
            self.heights.suspicions += 1

    # -- instructions with effects of their own --

    def _do_push(self, state: State, instruction: Instruction) -> None:
        size = -(stack_effect(instruction).delta or 0)
        self._push(state, self.value(state, instruction.operands[0]), size)

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
                    self.heights.realigns = max(self.heights.realigns, -_signed(right.n))
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
        self._set_esp(state, None if offset is None else offset + 4)
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
            self._push(state, esp if number == ESP else state.registers[number], 4)

    def _do_popal(self, state: State, _instruction: Instruction) -> None:
        for number in (EDI, ESI, EBP, ESP, EBX, EDX, ECX, EAX):
            slot = state.esp
            value = state.slots.get(slot) if slot is not None else None
            self._move_esp(state, 4)
            if number != ESP:
                if slot is not None:
                    self._note_restore(slot, number, value)
                state.registers[number] = value


_Handler = Callable[[HeightAnalysis, State, Instruction], None]
_HANDLERS: dict[str, _Handler] = {
    "push": HeightAnalysis._do_push,
    "pop": HeightAnalysis._do_pop,
    "mov": HeightAnalysis._do_mov,
    "lea": HeightAnalysis._do_lea,
    "add": HeightAnalysis._do_add,
    "sub": HeightAnalysis._do_sub,
    "and": HeightAnalysis._do_and,
    "xor": HeightAnalysis._do_xor,
    "or": HeightAnalysis._do_or,
    "xchg": HeightAnalysis._do_xchg,
    "leave": HeightAnalysis._do_leave,
    "enter": HeightAnalysis._do_enter,
    "pushal": HeightAnalysis._do_pushal,
    "popal": HeightAnalysis._do_popal,
}
_READS = frozenset({"cmp", "test", "push", "call", "jmp", "mul", "imul", "div", "idiv", "bt"})


def _slot(state: State, operand: Operand) -> int | None:
    """Return the stack offset that a memory operand names, None when it is not on the stack or unknown."""
    if not isinstance(operand, Mem) or operand.index is not None or operand.base is None or operand.segment:
        return None
    base = state.registers[operand.base]
    return base.n + _signed(operand.disp) if base is not None and base.kind == "stack" else None


def _add(value: Value, amount: int) -> Value:
    if value.kind == "const":
        return Value("const", (value.n + amount) & 0xFFFFFFFF)
    return Value(value.kind, value.n + amount)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - 0x1_0000_0000 if value & 0x8000_0000 else value


def _reason(instruction: Instruction) -> str:
    if instruction.mnemonic in ("sub", "add") and isinstance(instruction.operands[1], Reg | Mem):
        return "stack allocated by a run-time amount"
    return f"`{instruction.mnemonic}` gives ESP a value that decoding cannot know"
