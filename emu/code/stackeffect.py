"""What one instruction does to the stack pointer, as far as decoding alone can tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stackemu.emu.code.instruction import ECX, EDX, ESP, Flow, Imm, Instruction, Mem, Reg

Decode = Callable[[int], Instruction | None]
"""Returns the instruction at an address, None where there is none."""
MAX_CLEANUP = 4
"""Behind a call, what its caller gives back is looked for in at most this many instructions."""


class StackEffect(NamedTuple):
    """The change of ESP in bytes; `delta` is None where the new value depends on more than ESP.

    `align` is M for `and esp, -M` (ESP is rounded down to a multiple of M), else 0.
    """

    delta: int | None
    align: int = 0


_NONE = StackEffect(0)
_OPAQUE = StackEffect(None)
_FIXED = {
    "pushal": -32,
    "pushaw": -16,
    "popal": 32,
    "popaw": 16,
    "pushfd": -4,
    "pushf": -2,
    "popfd": 4,
    "popf": 2,
}
_RETURN_BASE = {"ret": 4, "retf": 8}
_FRAMES = frozenset({"leave", "enter", "iretd", "iret", "retw"})
_IMPLICIT = frozenset({"push", "pushw", "call", "pop", *_RETURN_BASE, *_FIXED, *_FRAMES})
"""Instructions that change ESP without naming it."""
_CLEANUPS = frozenset({"add", "lea", "sub"})
_DISCARDS = frozenset({Reg(ECX, 4), Reg(EDX, 4)})
"""What a caller pops arguments into to be rid of them."""


def may_move_esp(instruction: Instruction) -> bool:
    """Return whether an instruction may change ESP at all, which few do."""
    return ESP in instruction.writes or instruction.mnemonic in _IMPLICIT


def stack_effect(instruction: Instruction) -> StackEffect:
    """Return what `instruction` itself does to ESP; a call's callee is not part of it.

    A call counts the return address that it pushes; a return what it pops.
    """
    mnemonic = instruction.mnemonic
    if mnemonic == "push":
        return StackEffect(-_stack_size(instruction))
    if mnemonic == "pushw":
        return StackEffect(-2)
    if mnemonic == "call":
        return StackEffect(-4)
    if mnemonic == "pop":
        if _is_esp(instruction, 0):
            return _OPAQUE
        return StackEffect(_stack_size(instruction))
    if mnemonic in _RETURN_BASE:
        extra = sum(operand.value & 0xFFFF for operand in instruction.operands if isinstance(operand, Imm))
        return StackEffect(_RETURN_BASE[mnemonic] + extra)
    if mnemonic in _FIXED:
        return StackEffect(_FIXED[mnemonic])
    if mnemonic in _FRAMES:
        return _enter(instruction) if mnemonic == "enter" else _OPAQUE
    if ESP not in instruction.writes:
        return _NONE
    return _explicit(instruction)


def given_back(decode: Decode, address: int) -> int:
    """Return the bytes that a caller takes off the stack soon behind an address: by `add esp, n`, or by pops."""
    total = 0
    for _ in range(MAX_CLEANUP):
        instruction = decode(address)
        if instruction is None or instruction.flow is not Flow.NEXT:
            break
        delta = stack_effect(instruction).delta
        if instruction.mnemonic in _CLEANUPS and delta:
            return total + max(0, delta)
        if instruction.mnemonic == "pop" and instruction.operands[0] in _DISCARDS:
            total += 4
        elif delta != 0 or total:
            break
        address = instruction.end
    return total


def _explicit(instruction: Instruction) -> StackEffect:
    """Return the effect of an instruction that names ESP as its destination."""
    mnemonic, operands = instruction.mnemonic, instruction.operands
    if not _is_esp(instruction, 0):
        return _OPAQUE
    if mnemonic == "inc":
        return StackEffect(1)
    if mnemonic == "dec":
        return StackEffect(-1)
    source = operands[1] if len(operands) > 1 else None
    if isinstance(source, Imm):
        value = _signed(source.value)
        if mnemonic == "add":
            return StackEffect(value)
        if mnemonic == "sub":
            return StackEffect(-value)
        if mnemonic == "and" and value < 0 and (-value & (-value - 1)) == 0:
            return StackEffect(None, -value)
    if mnemonic == "lea" and isinstance(source, Mem) and source.base == ESP and source.index is None:
        return StackEffect(_signed(source.disp))
    if mnemonic == "mov" and source == Reg(ESP, 4):
        return _NONE
    return _OPAQUE


def _enter(instruction: Instruction) -> StackEffect:
    """`enter size, level` pushes EBP, `level` frame pointers (when not 0), and reserves `size`."""
    size, level = (operand.value for operand in instruction.operands if isinstance(operand, Imm))
    return StackEffect(-(4 + 4 * (level & 31) + (size & 0xFFFF)))


def _is_esp(instruction: Instruction, index: int) -> bool:
    return len(instruction.operands) > index and instruction.operands[index] == Reg(ESP, 4)


def _stack_size(instruction: Instruction) -> int:
    """Return the bytes that a push or pop moves: 2 with an operand-size prefix, else 4."""
    operand = instruction.operands[0]
    if isinstance(operand, Mem) or (isinstance(operand, Reg) and operand.number >= 0):
        return 2 if operand.size == 2 else 4
    return 4


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - 0x1_0000_0000 if value & 0x8000_0000 else value
