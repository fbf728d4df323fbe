"""Where a value goes that an instruction puts into a register: every instruction that may read it from there."""

from __future__ import annotations

from collections.abc import Iterator

from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.instruction import CALL_CLOBBERED, EAX, Flow, Instruction, Mem, Reg

_READS_ITS_OPERANDS = frozenset(
    {"mov", "movzx", "movsx", "lea", "add", "sub", "and", "or", "xor", "cmp", "test", "inc", "dec", "not", "neg",
     "shl", "shr", "sar", "push", "pop", "nop"}
)  # fmt: skip
"""Instructions that read no register besides those in their operands."""
_ONLY_WRITES_FIRST = frozenset({"mov", "movzx", "movsx", "lea", "pop"})


def uses(code: FunctionCode, definition: Instruction, register: int) -> Iterator[Instruction]:
    """Yield the instructions that may read what `definition` put into a register, each once.

    What is not known to leave the register alone counts as reading it: calls, and jumps out of the function too.
    """
    pending, seen = [definition.end], set()
    while pending:
        address = pending.pop()
        instruction = code.instructions.get(address)
        if instruction is None or address in seen:
            continue
        seen.add(address)
        if _may_read(code, instruction, register):
            yield instruction
        if register not in instruction.writes and not (instruction.flow is Flow.CALL and register in CALL_CLOBBERED):
            pending.extend(_following(code, instruction))


def _following(code: FunctionCode, instruction: Instruction) -> tuple[int, ...]:
    known = code.successors.get(instruction.address)
    if known is not None:
        return known
    return () if instruction.flow in (Flow.RETURN, Flow.STOP, Flow.JUMP) else (instruction.end,)


def _may_read(code: FunctionCode, instruction: Instruction, register: int) -> bool:
    match instruction.flow:
        case Flow.BRANCH | Flow.STOP:
            return False
        case Flow.RETURN:
            return register == EAX
        case Flow.CALL:
            return register in CALL_CLOBBERED or _is_operand(instruction, register)
        case Flow.JUMP:
            return not _following(code, instruction) or _is_operand(instruction, register)
    return instruction.mnemonic not in _READS_ITS_OPERANDS or _is_operand(instruction, register)


def _is_operand(instruction: Instruction, register: int) -> bool:
    """Return whether an instruction reads a register through an operand."""
    operands = instruction.operands
    if instruction.mnemonic in ("xor", "sub") and operands[0] == operands[1]:
        return False  # makes zero of whatever was there
    written = operands[:1] if instruction.mnemonic in _ONLY_WRITES_FIRST else ()
    for operand in operands:
        if isinstance(operand, Mem) and register in (operand.base, operand.index):
            return True
        if isinstance(operand, Reg) and operand.number == register and operand not in written:
            return True
    return False
