"""Stack-height data flow: where ESP stands, relative to its value at entry, before every instruction.

An abstract interpretation over the function's code with values that matter to the stack: addresses on the
stack, constants, and the registers' values at entry. It follows EBP and FPO frames, realignment, helpers
that build their caller's frame, and what callees pop. No prologue is ever matched against a pattern.

E, ESP at the entry, is taken as `residue` modulo 64, which makes `and esp, -M` exact; a caller tries every
residue that matters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.instruction import CALL_CLOBBERED, EBP, ESP, Flow, Instruction, Mem, Reg
from stackemu.emu.code.scope_tables import HANDLER, SAVED_ESP
from stackemu.emu.code.semantics import Semantics
from stackemu.emu.code.state import CallEffect, State, Value

MAX_LOWERED = 8
"""How often ESP may come lower to the same place before no constant is believed in."""
MAX_PASSED = 48
"""Bytes on top of the stack that are looked at for arguments of a call."""
MAX_VISITS = 64
"""How often a block is interpreted at most, before what still changes in it is taken as unknown."""


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
    disagreements: set[int] = field(default_factory=set)
    """By how many bytes paths disagree about ESP where they meet."""
    unknown_since: dict[int, str] = field(default_factory=dict)
    """Instructions after which ESP is no constant, and why."""
    realigns: int = 0
    """The largest M of `and esp, -M`, 0 when the function does not realign."""
    guesses: dict[int, int] = field(default_factory=dict)
    """Call sites whose callee nobody knows, and the bytes it is taken to pop."""
    pushed: dict[int, int] = field(default_factory=dict)
    """For the same call sites, the bytes that were pushed and that no call has taken yet."""
    suspicions: int = 0
    """Registers restored from a slot that holds another register: a guess is likely wrong."""
    leaving: dict[int, State] = field(default_factory=dict)
    """The state at each return and tail jump."""
    callees: dict[int, Value] = field(default_factory=dict)
    """What an indirect call or tail jump goes to, where the data flow knows it."""
    passed: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """By call: the constants among the words on top of the stack, such as pointers to callbacks."""
    helper_lowest: dict[int, int] = field(default_factory=dict)
    """By call of a helper that builds or removes the frame: the lowest offset that the helper reaches."""
    registers_handler: bool = False
    """Whether an exception handler is registered (a write to FS:[0]), by the function or a helper of its."""


class HeightAnalysis:
    """One interpretation of one function."""

    def __init__(
        self,
        code: FunctionCode,
        residue: int,
        call_effect: Callable[[Instruction, State, int], CallEffect],
        load: Callable[[Value, int], Value | None],
        callee: Callable[[Instruction, State], Value | None],
        entry_state: State | None = None,
        patience: int | None = None,
        observe: Callable[[State, Instruction], None] | None = None,
    ) -> None:
        """`call_effect` says what a call does, behind which the caller itself gives so many bytes back; `load` says
        what the word at a known address off the stack holds.

        `callee` says what an indirect call or jump goes to.

        `entry_state` replaces the default to inline a helper into its caller. After `patience` findings and
        suspicions the interpretation is given up. `observe` is shown each instruction with the state before it.
        """
        self._code = code
        self._semantics = Semantics(residue, load)
        self._call_effect = call_effect
        self._callee = callee
        self._patience = patience
        self._observe = observe
        self._entry_state = entry_state or State.at_entry()
        self._incoming: dict[int, State] = {}
        self._visits: dict[int, int] = {}
        self._lowered: dict[int, int] = {}
        self._raised_to: set[int] = set()
        """`__except` blocks whose incoming state changed."""
        self.heights = Heights(lowest=self._entry_state.esp or 0, lowest_at=code.entry)

    def run(self) -> Heights:
        """Interpret until nothing changes."""
        self._incoming[self._code.entry] = self._entry_state.copy()
        # By address, which is nearly the order of control flow: a block is then seldom interpreted before its
        # predecessors are done.
        pending = [self._code.entry]
        waiting = {self._code.entry}
        while pending and not self._is_given_up:
            leader = heappop(pending)
            waiting.discard(leader)
            self._visits[leader] = self._visits.get(leader, 0) + 1
            for changed in (*self._block(leader), *self._raised_to):
                if changed not in waiting:
                    waiting.add(changed)
                    heappush(pending, changed)
            self._raised_to.clear()
        semantics = self._semantics
        self.heights.restores, self.heights.suspicions = semantics.restores, semantics.suspicions
        self.heights.realigns = semantics.realigns
        self.heights.registers_handler |= not self.heights.esp_before.keys().isdisjoint(self._code.handler_writes)
        return self.heights

    @property
    def _is_given_up(self) -> bool:
        doubts = len(self.heights.findings) + self._semantics.suspicions
        return self._patience is not None and doubts >= self._patience

    def _block(self, leader: int) -> list[int]:
        """Interpret one block; returns the leaders whose incoming state changed."""
        state = self._incoming[leader].copy()
        block = self._code.block(leader)
        # Names are bound outside the loop because it runs for every instruction of an image, many times.
        esp_before, apply, observe = self.heights.esp_before, self._semantics.apply, self._observe
        has_except_blocks = bool(self._code.except_blocks)
        for instruction in block.instructions:
            if observe is not None:
                observe(state, instruction)
            esp = state.registers[ESP]
            esp_before[instruction.address] = esp.n if esp is not None and esp.kind == "stack" else None
            if instruction.flow is Flow.NEXT:
                apply(state, instruction)
            else:
                self._transfer(state, instruction)
            if state.registers[ESP] is not esp:
                self._moved(state, instruction)
            if has_except_blocks:
                self._raise(state)
        return [target for target in block.following if self._join(target, state)]

    def _raise(self, state: State) -> None:
        """Let an exception lead from here to the `__except` blocks, where an exception is registered.

        The handler sets EBP, and the block takes ESP from the frame; where ESP stood before does not matter.
        """
        blocks = [block for blocks in self._code.except_blocks.values() for block in blocks]
        for slot, value in state.slots.items():
            frame = slot - SAVED_ESP
            handler = state.slots.get(frame + HANDLER)
            if value.kind != "stack" or handler is None or handler.kind != "const" or not handler.n:
                continue
            raised = State([None] * 8, state.slots.copy())
            raised.registers[EBP] = Value("stack", frame)
            raised.registers[ESP] = value
            self._raised_to.update(block for block in blocks if self._join(block, raised))

    def _join(self, leader: int, state: State) -> bool:
        """Merge `state` into what is known to arrive at `leader`; returns whether that changed anything."""
        known = self._incoming.get(leader)
        if known is None:
            self._incoming[leader] = state.copy()
            return True
        changed = False
        for number in range(8) if known.registers != state.registers else ():
            if known.registers[number] == state.registers[number] or known.registers[number] is None:
                continue
            if number == ESP:
                changed = self._disagree(leader, known, state) or changed
                continue
            known.registers[number] = None
            changed = True
        differing = []
        if known.slots != state.slots:
            differing = [slot for slot, value in known.slots.items() if state.slots.get(slot) != value]
        for slot in differing:
            del known.slots[slot]
        known.pushed = min(known.pushed, state.pushed)
        return (changed or bool(differing)) and self._visits.get(leader, 0) < MAX_VISITS

    def _disagree(self, leader: int, known: State, state: State) -> bool:
        """Two paths arrive with different ESP: a finding. The lower one is followed; returns whether it is new.

        When it goes lower at every turn of a loop, no constant describes it.
        """
        if known.esp is None:
            return False
        if state.esp is None:
            known.registers[ESP] = None
            return True
        self.heights.disagreements.add(abs(known.esp - state.esp))
        self.heights.findings.setdefault(
            leader, f"paths disagree about ESP: {-known.esp} and {-state.esp} bytes below entry"
        )
        if state.esp > known.esp:
            return False
        turns = self._lowered[leader] = self._lowered.get(leader, 0) + 1
        if turns > MAX_LOWERED:
            known.registers[ESP] = None
            self.heights.unknown_since.setdefault(leader, "ESP goes lower at every turn of a loop")
        else:
            known.registers[ESP] = state.registers[ESP]
        return True

    # -- one instruction --

    def _transfer(self, state: State, instruction: Instruction) -> None:
        if instruction.flow is Flow.CALL:
            self._call(state, instruction)
        elif instruction.address in self._code.exits:
            self._leave(state, instruction)
        else:
            self._semantics.apply(state, instruction)

    def _moved(self, state: State, instruction: Instruction) -> None:
        """Take note of where an instruction moved ESP to."""
        after = state.esp
        if after is not None:
            self._reach(after, instruction)
        elif self.heights.esp_before[instruction.address] is not None and instruction.flow is not Flow.CALL:
            self.heights.unknown_since.setdefault(instruction.address, _reason(instruction))

    def _reach(self, offset: int, instruction: Instruction) -> None:
        if offset < self.heights.lowest:
            self.heights.lowest = offset
            self.heights.lowest_at = instruction.address

    def _note_callee(self, state: State, instruction: Instruction) -> None:
        """Remember what an indirect call or jump goes to; a later visit knows less, never more."""
        if instruction.target is not None or instruction.flow is Flow.RETURN:
            return
        callee = self._callee(instruction, state)
        if callee is not None:
            self.heights.callees[instruction.address] = callee
        else:
            self.heights.callees.pop(instruction.address, None)

    def _note_passed(self, state: State, instruction: Instruction) -> None:
        if state.esp is None:
            return
        words = map(state.slots.get, range(state.esp, state.esp + MAX_PASSED, 4))
        constants = [word.n & 0xFFFFFFFF for word in words if word is not None and word.kind == "const"]
        if constants:
            self.heights.passed[instruction.address] = tuple(constants)
        else:
            self.heights.passed.pop(instruction.address, None)

    def _leave(self, state: State, instruction: Instruction) -> None:
        self._note_callee(state, instruction)
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
            self._semantics.push(state, Value("const", instruction.end), 4)  # `call $+5`: a push of the address
            return
        self._note_callee(state, instruction)
        self._note_passed(state, instruction)
        returned = self._code.given_back(instruction.end)
        effect = self._call_effect(instruction, state, returned)
        if effect.lowest is not None:
            known = self.heights.helper_lowest.get(instruction.address, 0)
            self.heights.helper_lowest[instruction.address] = min(known, effect.lowest)
        self.heights.registers_handler |= effect.registers_handler
        if effect.state is not None:
            state.registers, state.slots = effect.state.registers, effect.state.slots
            if state.esp is None and before is not None:
                self.heights.unknown_since.setdefault(instruction.address, "stack allocated by a run-time amount")
            state.pushed = 0
        else:
            pops = effect.pops or 0
            if effect.guessed:
                pops = self.heights.guesses.setdefault(instruction.address, pops)
                self.heights.pushed.setdefault(instruction.address, state.pushed)
            for number in CALL_CLOBBERED:
                state.registers[number] = None
            if before is not None:
                self._semantics.set_esp(state, before + pops)
            if not pops and not 0 < returned <= state.pushed:
                state.pushed = 0  # rather arguments of this call that its caller removes later
        self.heights.esp_after_calls[instruction.address] = state.esp


def _reason(instruction: Instruction) -> str:
    if instruction.mnemonic in ("sub", "add") and isinstance(instruction.operands[1], Reg | Mem):
        return "stack allocated by a run-time amount"
    return f"`{instruction.mnemonic}` gives ESP a value that decoding cannot know"
