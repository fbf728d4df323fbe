"""Which functions cannot be completion routines, by what the code does with their addresses.

IoSetCompletionRoutine is inlined: it leaves a store of the routine's address and one of the Control byte behind, both
into the same IO_STACK_LOCATION (wdm.h). A function whose address is only ever stored elsewhere is no such routine.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import TypeGuard

from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.instruction import EBP, ESP, Flow, Imm, Instruction, Mem, Operand, Reg
from stackemu.emu.code.model import CodeModel
from stackemu.emu.code.register_uses import uses
from stackemu.emu.kernel.layouts import layout

_LOCATION = layout("IO_STACK_LOCATION")
_DISTANCE = _LOCATION.offset("CompletionRoutine") - _LOCATION.offset("Control")
"""From the Control byte to the routine's address, in bytes."""
_COMPARES = ("cmp", "test")


def stored_elsewhere(model: CodeModel, functions: Iterable[int], candidates: Container[int]) -> frozenset[int]:
    """Return the candidates whose addresses the code of `functions` only stores, and into no stack location.

    An address that stands in the image's data, is passed on, or is kept on the stack may get anywhere.
    """
    image = model.image
    anywhere = {image.read_u32(rva) for rva in image.relocations if not image.is_code(rva)}
    elsewhere: set[int] = set()
    for function in functions:
        code = model.code(function)
        written: frozenset[int] | None = None
        for instruction in code.instructions.values():
            for candidate in _mentioned(instruction, candidates):
                written = _written(code) if written is None else written
                is_elsewhere = all(_is_elsewhere(use, written) for use in _uses(code, instruction))
                (elsewhere if is_elsewhere else anywhere).add(candidate)
    return frozenset(elsewhere - anywhere)


def _mentioned(instruction: Instruction, candidates: Container[int]) -> Iterator[int]:
    if instruction.flow is Flow.NEXT:
        values = (one.value & 0xFFFFFFFF for one in instruction.operands if isinstance(one, Imm))
        yield from (value for value in values if value in candidates)


def _uses(code: FunctionCode, instruction: Instruction) -> Iterator[Instruction]:
    """Yield what an instruction that mentions an address does with it: itself, or what reads it from a register."""
    target = instruction.operands[0]
    if instruction.mnemonic == "mov" and isinstance(target, Reg) and target.size == 4:
        yield from uses(code, instruction, target.number)
    else:
        yield instruction


def _is_elsewhere(use: Instruction, written: Container[int]) -> bool:
    """Return whether an address stays where it is, or gets behind a pointer, but into no stack location.

    `written` are the displacements of the bytes that the function writes.
    """
    if use.mnemonic in _COMPARES:
        return True
    target = use.operands[0] if use.operands else None
    return use.mnemonic == "mov" and _is_behind_pointer(target) and target.disp - _DISTANCE not in written


def _is_behind_pointer(target: Operand | None) -> TypeGuard[Mem]:
    """Return whether an operand is memory behind a pointer, not a local or a global variable."""
    return isinstance(target, Mem) and target.index is None and target.base not in (None, ESP, EBP)


def _written(code: FunctionCode) -> frozenset[int]:
    """Return the displacements of all bytes that are written behind pointers, whichever these are."""
    found: set[int] = set()
    for instruction in code.instructions.values():
        target = instruction.operands[0] if instruction.operands else None
        if isinstance(target, Mem) and target.base != ESP and instruction.mnemonic not in _COMPARES:
            found.update(range(target.disp, target.disp + target.size))
    return frozenset(found)
