"""What a function's prologue reserves: locals and saved registers, told apart by what becomes of each push.

A push counts as saved when the data flow shows that its slot gives the register back; a push of a scratch
register that still holds its entry value reserves a local (MSVC's `push ecx`); constants pushed around
`fs:[0]` are the SEH record; anything else pushed is an argument and ends the prologue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.heights import Heights
from stackemu.emu.code.instruction import CALLEE_SAVED, EBP, ESP, Flow, Imm, Instruction, Mem, Reg
from stackemu.emu.code.stackeffect import stack_effect

_FIRST_ARGUMENT = Mem(ESP, None, 1, 4, "", 4)
"""`[esp + 4]`, at a function's entry."""
MAX_STEPS = 400
"""A prologue is looked for in at most this many instructions."""
MAX_CLEANUP = 4
"""Behind a call, an `add esp` is looked for in at most this many instructions."""
MAX_ARGUMENTS = 64
"""Behind padding, the call that it is for is looked for in at most this many instructions."""
MAX_PADDING = 12
"""What a call's arguments are aligned with at most: the stack's alignment is 16 bytes where it is not 4."""
MAX_EPILOGUE = 16
"""Instructions in which an epilogue begins, if it does: it also computes the result."""
_CLEANUPS = frozenset({"add", "lea"})
_EPILOGUE = frozenset({"pop", "leave", "ret"})


@dataclass(frozen=True, slots=True)
class Frame:
    """A prologue's reservation in bytes; `locals` is None when its size is only known at run time."""

    locals: int | None
    saved: int

    @property
    def total(self) -> int | None:
        """Return locals + saved, None when the locals are not known."""
        return None if self.locals is None else self.locals + self.saved


@dataclass(frozen=True, slots=True)
class _Walk:
    """One path from the entry: what it has reserved so far."""

    address: int
    locals: int = 0
    saved: int = 0
    constants: tuple[int, ...] = ()
    """Constants pushed that are part of an SEH record, of a helper's arguments, or of neither."""
    written: frozenset[int] = frozenset()
    """Registers that no longer hold what they held at the entry."""
    arguments: Reg | None = None
    """What holds the arguments' address, in a frame that GCC realigns, until it is saved."""
    branched: bool = False

    def next(self, instruction: Instruction) -> _Walk:
        changed = frozenset() if _changes_nothing(instruction) else instruction.writes
        arguments = None if self.arguments and self.arguments.number in changed else self.arguments
        return replace(self, address=instruction.end, written=self.written | changed, arguments=arguments)


def frame_of(code: FunctionCode, heights: Heights) -> Frame:
    """Return what the prologue of a function reserves; the largest one where paths differ (shrink-wrapping)."""
    pending = [_Walk(code.entry)]
    seen: set[int] = set()
    best = Frame(0, 0)
    steps = 0
    while pending and steps < MAX_STEPS:
        walk = pending.pop()
        while walk.address not in seen and steps < MAX_STEPS:
            seen.add(walk.address)
            steps += 1
            instruction = code.instructions.get(walk.address)
            if instruction is None:
                break
            if instruction.flow in (Flow.BRANCH, Flow.JUMP):
                pending += [replace(walk, address=to, branched=True) for to in code.successors.get(walk.address, ())]
                break
            after = _step(walk, instruction, code, heights)
            if after is None:
                break
            walk = after
        best = max(best, Frame(walk.locals, walk.saved), key=lambda frame: frame.total or 0)
    if any("run-time amount" in reason for reason in heights.unknown_since.values()):
        return Frame(best.locals or None, best.saved)
    return best


def _step(walk: _Walk, instruction: Instruction, code: FunctionCode, heights: Heights) -> _Walk | None:
    """Return the walk after one instruction, None where the prologue has ended."""
    after = walk.next(instruction)
    mnemonic = instruction.mnemonic
    if mnemonic == "push":
        return _push(walk, after, instruction, code, heights)
    if mnemonic in ("pushal", "pushfd"):
        return replace(after, saved=walk.saved - (stack_effect(instruction).delta or 0))
    if mnemonic == "enter":
        size = -(stack_effect(instruction).delta or 0)
        return replace(after, locals=walk.locals + size - 4, saved=walk.saved + 4)
    if instruction.flow is Flow.CALL:
        return _helper(walk, after, instruction, heights)
    if instruction.flow is not Flow.NEXT or mnemonic in ("pop", "leave"):
        return None
    if ESP in instruction.writes:
        return _reserve(walk, after, instruction, code, heights)
    if _takes_arguments(instruction) and heights.realigns and not heights.esp_before[walk.address]:
        destination = instruction.operands[0]
        return replace(after, arguments=destination if isinstance(destination, Reg) else None)
    if mnemonic == "mov" and _is_exception_list(instruction.operands[0]):
        # `mov fs:[0], esp`: the constants pushed before are the SEH record
        return replace(after, saved=walk.saved + 4 * len(walk.constants), constants=())
    return after


def _push(walk: _Walk, after: _Walk, instruction: Instruction, code: FunctionCode, heights: Heights) -> _Walk | None:
    operand = instruction.operands[0]
    before = heights.esp_before.get(instruction.address)
    if before is None:
        return None
    slot = before - 4
    if walk.arguments == operand:
        return replace(after, saved=walk.saved + 4, arguments=None)  # the way back to the arguments
    if walk.arguments and operand == Mem(walk.arguments.number, None, 1, -4, "", 4):
        return replace(after, saved=walk.saved + 4)  # a copy of the return address
    if isinstance(operand, Reg) and operand.size == 4 and operand.number not in walk.written:
        if operand.number in CALLEE_SAVED:
            # A function that never returns gives nothing back, but its prologue is no other.
            is_saved = (slot, operand.number) in heights.restores or not heights.exits
            return replace(after, saved=walk.saved + 4) if is_saved else None
        has_frame = walk.locals or walk.saved
        if not (walk.branched and has_frame) and not walk.constants and _outlives_calls(slot, code, heights):
            return replace(after, locals=walk.locals + 4)
        return None
    if isinstance(operand, Imm):
        return replace(after, constants=(*walk.constants, operand.value)) if len(walk.constants) < 3 else None
    if _is_exception_list(operand) or (isinstance(operand, Reg) and walk.constants):
        return replace(after, constants=(*walk.constants, 0))  # the previous SEH record
    return None


def _reserve(
    walk: _Walk, after: _Walk, instruction: Instruction, code: FunctionCode, heights: Heights
) -> _Walk | None:
    """An instruction that sets ESP: `sub esp, n` and its like, or a realignment."""
    effect = stack_effect(instruction)
    if effect.align:
        return after
    if effect.delta is None or (walk.branched and walk.locals):
        return None
    before = heights.esp_before.get(instruction.address)
    if effect.delta > 0:  # part of it may be given back, to align what is left; all of it is the epilogue
        return replace(after, locals=walk.locals - effect.delta) if effect.delta < walk.locals else None
    # A call may pop part of a frame, which the code then reserves again; whoever pops all of it was passed it.
    if effect.delta and (before is None or not _outlives_calls(before - 4, code, heights)):
        return None
    may_pad = walk.locals and not heights.realigns and -effect.delta <= MAX_PADDING
    if may_pad and _begins_call(instruction.end, code, heights):
        return None  # the frame was complete: this aligns the arguments that follow
    return replace(after, locals=walk.locals - effect.delta)


def _helper(walk: _Walk, after: _Walk, instruction: Instruction, heights: Heights) -> _Walk | None:
    """A call that leaves ESP lower than before: a stack probe, or a helper that builds this frame."""
    if instruction.target == instruction.end:
        return None  # `call $+5` only pushes where the code is, for the `pop` that follows
    before, behind = heights.esp_before.get(instruction.address), heights.esp_before.get(instruction.end)
    if before is None or behind is None or behind >= before:
        return None
    grown = before - behind
    if not walk.constants:
        # A probe reserves locals; __EH_prolog takes its argument in EAX, pushes the record, and puts EBP where
        # its return address was.
        if (before - 4, EBP) in heights.restores:
            return replace(after, saved=walk.saved + grown)
        return replace(after, locals=walk.locals + grown)
    locals_size = walk.constants[0] & 0xFFFFFFFF
    arguments = 4 * len(walk.constants)
    if locals_size > grown:
        return None
    return replace(
        after, locals=walk.locals + locals_size, saved=walk.saved + grown + arguments - locals_size, constants=()
    )


def _begins_call(address: int, code: FunctionCode, heights: Heights) -> bool:
    """Return whether the code from `address` on pushes arguments and calls."""
    has_arguments = False
    for instruction in islice(_straight_on(address, code), MAX_ARGUMENTS):
        if instruction.flow is Flow.CALL:
            return has_arguments
        if instruction.mnemonic == "push":
            operand, before = instruction.operands[0], heights.esp_before.get(instruction.address)
            if isinstance(operand, Reg) and before is not None and (before - 4, operand.number) in heights.restores:
                return False
            has_arguments = True
        elif ESP in instruction.writes:
            return False
    return False


def _outlives_calls(slot: int, code: FunctionCode, heights: Heights) -> bool:
    """Return whether `slot` is still there after every call: arguments are not, nor is what aligns them."""
    for address, after in heights.esp_after_calls.items():
        before = heights.esp_before.get(address)
        if before is None or after is None or slot < before:
            continue
        if slot < after + _given_back(code.instructions[address].end, code, heights):
            return False
    return True


def _given_back(address: int, code: FunctionCode, heights: Heights) -> int:
    """Return the bytes that the caller itself removes after a call that returns to `address`.

    An epilogue behind the last call removes locals in the same way: that counts 0.
    """
    for instruction in islice(_straight_on(address, code), MAX_CLEANUP):
        if ESP not in instruction.writes:
            continue
        delta = stack_effect(instruction).delta or 0
        if instruction.mnemonic not in _CLEANUPS or delta <= 0 or _leaves(instruction.end, code, heights):
            return 0
        return delta
    return 0


def _leaves(address: int, code: FunctionCode, heights: Heights) -> bool:
    """Return whether the code from `address` on only gives registers back and returns."""
    for instruction in islice(_straight_on(address, code), MAX_EPILOGUE):
        if instruction.mnemonic in _EPILOGUE or instruction.address in heights.exits:
            return True
        if ESP in instruction.writes:
            return False
    return False


def _straight_on(address: int, code: FunctionCode) -> Iterator[Instruction]:
    """Yield the instructions from `address` on as far as there is one way to go."""
    while (instruction := code.instructions.get(address)) is not None:
        yield instruction
        if instruction.flow is Flow.NEXT:
            address = instruction.end
        elif instruction.flow is Flow.JUMP and instruction.target is not None:
            address = instruction.target
        else:
            return


def _changes_nothing(instruction: Instruction) -> bool:
    """Return whether the instruction is padding, such as the `mov edi, edi` of a hot-patch entry."""
    return instruction.mnemonic == "mov" and instruction.operands[0] == instruction.operands[1]


def _takes_arguments(instruction: Instruction) -> bool:
    """Return whether the instruction loads the arguments' address, where ESP is what it was at the entry."""
    return instruction.mnemonic == "lea" and instruction.operands[1] == _FIRST_ARGUMENT


def _is_exception_list(operand: object) -> bool:
    return isinstance(operand, Mem) and operand.segment == "fs" and operand.base is None and operand.disp == 0
