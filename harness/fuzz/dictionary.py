"""Words that a driver's code compares its input with: what mutation puts into inputs besides random values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from stackemu.emu.code.instruction import Imm, Instruction, Mem, Operand, Reg
from stackemu.emu.code.model import CodeModel
from stackemu.emu.slots import MAX_SLOT_SIZE

MAX_TOKENS = 256
"""Words of one function."""
MAX_DEPTH = 2
"""Calls between a function and those whose words count as its own."""
MAX_FUNCTIONS = 64
_REMEMBERED = 1024
_COMPARING = frozenset({"cmp", "sub", "xor", "test", "and"})
_LEAST = 4
"""Characters of the shortest string worth having."""
_NARROW = re.compile(rb"[\x20-\x7e]{%d,%d}\0" % (_LEAST, MAX_SLOT_SIZE - 1))
_WIDE = re.compile(rb"(?:[\x20-\x7e]\0){%d,%d}\0\0" % (_LEAST, MAX_SLOT_SIZE // 2 - 1))
_BORING = range(-16, 17)
"""Numbers that mutation tries anyway."""


@lru_cache(maxsize=_REMEMBERED)
def tokens_of(model: CodeModel, address: int) -> tuple[bytes, ...]:
    """Return the words of the function at an address and of those that it calls directly, its own first.

    They are the numbers that its code compares with, as wide as they are compared, and the strings that it refers to,
    without their final zero. No more than MAX_TOKENS.
    """
    found: dict[bytes, None] = {}
    for function in _called(model, address):
        for instruction in model.code(function).instructions.values():
            found.update(dict.fromkeys(_of_instruction(model, instruction)))
            if len(found) >= MAX_TOKENS:
                return tuple(found)[:MAX_TOKENS]
    return tuple(found)


def _called(model: CodeModel, address: int) -> list[int]:
    """Return a function and those that it calls, and those that they call."""
    found, latest = {address: None}, [address]
    for _ in range(MAX_DEPTH):
        callees = [call.target for one in latest for call in model.code(one).calls if call.target is not None]
        latest = [callee for callee in dict.fromkeys(callees) if callee not in found and _is_code(model, callee)]
        found.update(dict.fromkeys(latest[: MAX_FUNCTIONS - len(found)]))
    return list(found)


def _is_code(model: CodeModel, address: int) -> bool:
    return model.image.is_code(address - model.image.base)


def _of_instruction(model: CodeModel, instruction: Instruction) -> Iterator[bytes]:
    numbers = [operand.value for operand in instruction.operands if isinstance(operand, Imm)]
    if instruction.mnemonic in _COMPARING and len(instruction.operands) == 2 and numbers:
        yield from _of_number(numbers[0], _width(instruction.operands[0]))
    addresses = [*numbers, *(operand.disp for operand in instruction.operands if isinstance(operand, Mem))]
    for address in addresses:
        yield from _strings(model, address & 0xFFFFFFFF)


def _of_number(number: int, width: int) -> Iterator[bytes]:
    """Yield a number as it lies in memory, and its neighbours, which other comparisons than for equality ask for."""
    for value in (number, number + 1, number - 1):
        if value not in _BORING:
            yield (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")


def _width(operand: Operand) -> int:
    return operand.size if isinstance(operand, Reg | Mem) and operand.size in (1, 2, 4) else 4


def _strings(model: CodeModel, address: int) -> Iterable[bytes]:
    """Yield the string at an address in the image, narrow or wide."""
    rva = address - model.image.base
    section = model.image.section_at(rva)
    if section is None or (section.executable and not section.data):
        return
    data = model.image.read(rva, MAX_SLOT_SIZE)
    for pattern, zero in ((_NARROW, 1), (_WIDE, 2)):
        match = pattern.match(data)
        if match is not None:
            yield match.group()[:-zero]
