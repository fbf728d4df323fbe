"""Words that a driver's code compares its input with: what mutation puts into inputs besides random values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.instruction import CALL_CLOBBERED, ESP, Flow, Imm, Instruction, Mem, Operand, Reg
from stackemu.emu.code.model import CodeModel
from stackemu.emu.image import Image
from stackemu.emu.slots import MAX_SLOT_SIZE
from stackemu.harness.session import Driver

MAX_TOKENS = 256
"""Words of one function."""
MAX_DEPTH = 2
"""Calls between a function and those whose words count as its own."""
MAX_FUNCTIONS = 64
_COMPARING = frozenset({"cmp", "sub", "xor", "test", "and"})
_LEAST = 4
"""Characters of the shortest string worth having."""
_NARROW = re.compile(rb"[\x20-\x7e]{%d,%d}\0" % (_LEAST, MAX_SLOT_SIZE - 1))
_WIDE = re.compile(rb"(?:[\x20-\x7e]\0){%d,%d}\0\0" % (_LEAST, MAX_SLOT_SIZE // 2 - 1))
_NARROW_RUN = re.compile(rb"[\x20-\x7e]{%d,}" % _LEAST)
_WIDE_RUN = re.compile(rb"(?:[\x20-\x7e]\0){%d,}" % _LEAST)
_BORING = range(-16, 17)
"""Numbers that mutation tries anyway."""
_WIDTHS = (1, 2, 4)
_MAX_CASES = 64
"""Entries of a jump table whose numbers are words."""


def tokens_of(model: CodeModel, address: int) -> tuple[bytes, ...]:
    """Return the words of the function at an address and of those that it calls directly, its own first.

    They are the numbers that its code compares with, as wide as they are compared, and the strings that it refers to,
    without their final zero. No more than MAX_TOKENS.
    """
    found: dict[bytes, None] = {}
    for function in _called(model, address):
        for token in _of_function(model, function):
            found[token] = None
            if len(found) >= MAX_TOKENS:
                return tuple(found)
    return tuple(found)


def tokens(driver: Driver, model: CodeModel | None = None) -> tuple[bytes, ...]:
    """Return the words of a whole image, the most frequent first: strings, and with a model what its code compares.

    No more than MAX_TOKENS.
    """
    counts = Counter(_constant_strings(driver.image))
    if model is not None:
        for function in driver.functions:
            counts.update(_of_function(model, driver.image.base + function.rva))
    return tuple(sorted(counts, key=lambda token: (-counts[token], token)))[:MAX_TOKENS]


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


def _of_function(model: CodeModel, address: int) -> Iterator[bytes]:
    """Yield the words of one function, some of them several times."""
    code = model.code(address)
    instructions = [code.instructions[at] for at in sorted(code.instructions)]
    yield from _texts(instructions)
    differences = _Differences(code)
    for instruction in instructions:
        yield from _compared(instruction)
        yield from differences.follow(instruction)
        if instruction.flow in (Flow.NEXT, Flow.RETURN):
            for place in _addresses(instruction):
                yield from _strings(model, place & 0xFFFFFFFF)


def _compared(instruction: Instruction) -> Iterator[bytes]:
    """Yield the number that an instruction compares with."""
    if instruction.mnemonic not in _COMPARING or len(instruction.operands) != 2:
        return
    left, right = instruction.operands
    if isinstance(right, Imm) and not (isinstance(left, Reg) and left.number == ESP):
        yield from _of_number(right.value, _width(left))


def _addresses(instruction: Instruction) -> Iterator[int]:
    for operand in instruction.operands:
        if isinstance(operand, Imm):
            yield operand.value
        elif isinstance(operand, Mem):
            yield operand.disp


def _texts(instructions: Iterable[Instruction]) -> Iterator[bytes]:
    """Yield what is compared with memory piece by piece, such as the letters of a word, as it lies there together."""
    text, pieces, following = b"", 0, None
    for instruction in instructions:
        if instruction.mnemonic != "cmp":
            continue
        left, right = instruction.operands
        if not (isinstance(left, Mem) and isinstance(right, Imm) and left.size in _WIDTHS):
            continue
        base = (left.base, left.index, left.scale, left.segment)
        if following != (base, left.disp) or len(text) + left.size > MAX_SLOT_SIZE:
            if pieces > 1:
                yield text
            text, pieces = b"", 0
        text += _as_bytes(right.value, left.size)
        pieces += 1
        following = (base, left.disp + left.size)
    if pieces > 1:
        yield text


class _Differences:
    """Follows how much code has subtracted from registers, to tell the numbers that it compares them with then.

    Compilers test the cases of a switch by one subtraction after the other, or subtract the first case from all. The
    code is followed as it lies in memory, for the branches between such tests are those that were not taken.
    """

    def __init__(self, code: FunctionCode) -> None:
        self._tables = dict(code.tables)
        self._taken: dict[int, int] = {}
        """By register, what was subtracted from it."""
        self._constants: dict[int, int] = {}
        """By register, the number that it holds."""

    def follow(self, instruction: Instruction) -> Iterator[bytes]:
        """Go on behind an instruction; yields the numbers that it tests for, if that takes what was subtracted."""
        yield from self._tested(instruction)
        taken, constant = self._after(instruction)
        gone = CALL_CLOBBERED if instruction.flow is Flow.CALL else instruction.writes
        for register in gone:
            self._taken.pop(register, None)
            self._constants.pop(register, None)
        self._taken.update(taken)
        self._constants.update(constant)
        for number in taken.values():
            if instruction.mnemonic != "mov":
                yield from _of_number(number, 4)
        if instruction.flow in (Flow.JUMP, Flow.RETURN, Flow.STOP):
            self._taken.clear()
            self._constants.clear()

    def _tested(self, instruction: Instruction) -> Iterator[bytes]:
        match instruction.mnemonic, instruction.operands:
            case "cmp", (Reg(number, 4), Imm(value)) if number in self._taken:
                yield from _of_number(value + self._taken[number], 4)
            case "jmp", (Mem(index=int(number), disp=disp),):
                first = self._taken.get(number, 0)
                for case in range(min(self._tables.get(disp & 0xFFFFFFFF, 0), _MAX_CASES)):
                    if not _is_boring(first + case, 4):
                        yield _as_bytes(first + case, 4)

    def _after(self, instruction: Instruction) -> tuple[dict[int, int], dict[int, int]]:
        """Return what a register lacks behind an instruction, or which number it holds, where either is known."""
        match instruction.mnemonic, instruction.operands:
            case "sub", (Reg(number, 4), Imm(value)) if number != ESP:
                return {number: self._taken.get(number, 0) + value}, {}
            case "add", (Reg(number, 4), Imm(value)) if number != ESP and _signed(value, 4) < 0:
                return {number: self._taken.get(number, 0) - _signed(value, 4)}, {}
            case "add", (Reg(number, 4), Mem() | Reg()) if number in self._constants:
                return {number: -self._constants[number]}, {}
            case "dec", (Reg(number, 4),):
                return {number: self._taken.get(number, 0) + 1}, {}
            case "lea", (Reg(number, 4), Mem(base=int(base), index=None, disp=disp)) if base != ESP and disp < 0:
                return {number: self._taken.get(base, 0) - disp}, {}
            case "mov", (Reg(number, 4), Imm(value)):
                return {}, {number: _signed(value, 4)}
            case "mov", (Reg(number, 4), Reg(other, 4)) if other in self._taken:
                return {number: self._taken[other]}, {}
        return {}, {}


def _of_number(number: int, width: int) -> Iterator[bytes]:
    """Yield a number as it lies in memory, and its neighbours, which other comparisons than for equality ask for."""
    for value in (number, number + 1, number - 1):
        if not _is_boring(value, width):
            yield _as_bytes(value, width)


def _is_boring(number: int, width: int) -> bool:
    return _signed(number, width) in _BORING


def _signed(number: int, width: int) -> int:
    half = 1 << 8 * width - 1
    return (number + half) % (2 * half) - half


def _as_bytes(number: int, width: int) -> bytes:
    return (number % (1 << 8 * width)).to_bytes(width, "little")


def _width(operand: Operand) -> int:
    return operand.size if isinstance(operand, Reg | Mem) and operand.size in _WIDTHS else 4


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


def _constant_strings(image: Image) -> Iterator[bytes]:
    """Yield the strings in sections that are neither written nor run, each as often as it is there."""
    for section in image.sections:
        if section.writable or section.executable:
            continue
        for pattern, zero in ((_NARROW_RUN, b"\0"), (_WIDE_RUN, b"\0\0")):
            for match in pattern.finditer(section.data):
                if len(match.group()) <= MAX_SLOT_SIZE and section.data.startswith(zero, match.end()):
                    yield match.group()
