"""What registers, memory and flags hold at a point of a recorded run, as terms over places of the input."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from stackemu.emu.code.conditions import SYNONYMS
from stackemu.emu.code.expression import Term, compute, condition, extract, insert, undo, value_of
from stackemu.emu.code.instruction import ESP, Imm, Instruction, Mem, Operand, Reg
from stackemu.emu.code.origin import Origin
from stackemu.emu.code.steps import Registers

MAX_LOOKUP = 256
"""Entries of a constant table that are looked through for a value."""
MAX_TRACED_WRITE = 64
"""Bytes that a kernel function writes at once that are remembered one by one; of more only where they are."""
STACK_SPAN = 0x20000
"""Bytes below the entry's ESP that are the function's own stack, not the input's memory."""
_MASK = 0xFFFFFFFF
_CARRY = ("b", "ae")
_CARRY_TOO = ("a", "be")


class Flags(NamedTuple):
    """The flags as a comparison of two terms sets them (see `conditions.Comparison`)."""

    operation: str
    left: Term
    right: Term
    size: int
    carry: Term | None = None
    """The carry flag where it is none of that comparison's; None where nothing is known of it."""
    has_own_carry: bool = True

    @classmethod
    def of_result(cls, result: Term, size: int, carry: Term | None = 0) -> Flags:
        """Return the flags that say of a result whether it is zero or negative."""
        return cls("test", result, (1 << 8 * size) - 1, size, carry, has_own_carry=False)

    def condition(self, code: str) -> Term | None:
        """Return whether a condition code holds as a term, None where that is not known."""
        code = SYNONYMS.get(code, code)
        if not self.has_own_carry and code in (*_CARRY, *_CARRY_TOO):
            if self.carry is None or code in _CARRY_TOO:
                return None
            return condition("cmp", "ne" if code == "b" else "e", self.carry, 0, 4)
        if code in ("p", "np"):
            return None
        return condition(self.operation, code, self.left, self.right, self.size)


class OriginState:
    """The terms that registers, memory and flags hold; where there is none, they hold plain numbers."""

    def __init__(
        self, read: Callable[[int, int], int], is_constant: Callable[[int], bool], entry_esp: int, fs_base: int
    ) -> None:
        """`read` returns what memory holds after the run, as (address, size in bytes): most of it never changed.

        `is_constant` says whether nothing can change what lies at an address.
        """
        self._read = read
        self._is_constant = is_constant
        self._entry_esp = entry_esp
        self._fs_base = fs_base
        self._registers: list[Term | None] = [None] * 8
        self._memory: dict[int, tuple[Term | None, int]] = {}
        """What the run wrote, by byte: the term and which of its bytes; None for a value that is not known."""
        self._regions: list[tuple[int, int, int]] = []
        """Memory that kernel functions wrote: start, end, ordinal of the call. The last one counts."""
        self._tables: dict[tuple[int, int, int], tuple[int, ...]] = {}
        self._unchecked: tuple[int, ...] = ()
        self.flags: Flags | None = None
        self.now: Registers = ()
        """The registers' values before the present instruction."""

    def begin(self, registers: Registers) -> None:
        """Start at the function's entry: its registers are places of the input."""
        self._registers = [Origin("register", number, 4, value) for number, value in enumerate(registers)]
        self._registers[ESP] = None
        self.now = registers

    def step(self, registers: Registers) -> None:
        """Go on to the next instruction.

        What the last one was taken to have computed is given up where the processor came to another result.
        """
        self.now = registers
        for number in self._unchecked:
            term, value = self._registers[number], registers[number]
            if term is None or value_of(term) == value:
                continue
            self._registers[number] = _corrected(term, value)
        self._unchecked = ()

    # -- registers and operands --

    def register(self, number: int) -> Term:
        """Return what a 32-bit register holds."""
        term = self._registers[number]
        return self.now[number] if term is None else term

    def set_register(self, number: int, term: Term | None) -> None:
        """Let a 32-bit register hold a term; a plain number is whatever the processor made of it."""
        if term is None or isinstance(term, int):
            self._registers[number] = None
        else:
            self._registers[number] = term
            self._unchecked = (*self._unchecked, number)

    def forget(self, numbers: Iterable[int]) -> None:
        """Take registers as plain numbers from now on."""
        for number in numbers:
            self._registers[number] = None

    def get(self, operand: Operand) -> Term:
        """Return what an operand holds, as an unsigned number of its size."""
        if isinstance(operand, Imm):
            return operand.value & _MASK
        if isinstance(operand, Mem):
            found = self._looked_up(operand)
            return self.load(self.address(operand), operand.size) if found is None else found
        if operand.number < 0:
            return 0
        return extract(self.register(operand.number), operand.shift, 8 * operand.size)

    def put(self, operand: Operand, term: Term | None) -> None:
        """Let an operand hold a term."""
        if isinstance(operand, Mem):
            self.store(self.address(operand), operand.size, term)
        elif isinstance(operand, Reg) and operand.number >= 0:
            if operand.size < 4 and term is not None:
                term = insert(self.register(operand.number), term, operand.shift, 8 * operand.size)
            self.set_register(operand.number, term)

    def drop(self, instruction: Instruction) -> None:
        """Take what an instruction writes as plain numbers."""
        self.forget(instruction.writes)
        if instruction.operands and isinstance(instruction.operands[0], Mem):
            self.put(instruction.operands[0], None)

    # -- memory --

    def address(self, operand: Mem) -> int:
        """Return the address of a memory operand."""
        address = operand.disp
        if operand.base is not None:
            address += self.now[operand.base]
        if operand.index is not None:
            address += self.now[operand.index] * operand.scale
        if operand.segment == "fs":
            address += self._fs_base
        return address & _MASK

    def address_term(self, operand: Mem) -> Term:
        """Return the address of a memory operand as a term, without its segment."""
        term: Term = operand.disp & _MASK
        if operand.base is not None:
            term = compute("add", self.register(operand.base), term)
        if operand.index is not None:
            term = compute("add", compute("mul", self.register(operand.index), operand.scale), term)
        return term

    def load(self, address: int, size: int) -> Term:
        """Return what memory holds: what the run stored there, or the place itself when it is the input's."""
        stored = [self._memory.get(address + offset) for offset in range(size)]
        if all(one is None for one in stored):
            return self._first_content(address, size)
        first = stored[0]
        if first is not None and all(
            one is not None and one[0] is first[0] and one[1] == first[1] + offset
            for offset, one in enumerate(stored)
        ):
            if first[0] is None:
                return self._read(address, size)
            return extract(first[0], 8 * first[1], 8 * size)
        whole: Term = 0
        for offset, one in enumerate(stored):
            if one is None:
                byte = self._first_content(address + offset, 1)
            else:
                byte = self._read(address + offset, 1) if one[0] is None else extract(one[0], 8 * one[1], 8)
            whole = insert(whole, byte, 8 * offset, 8)
        return whole

    def store(self, address: int, size: int, term: Term | None) -> None:
        """Let memory hold a term of `size` bytes."""
        for offset in range(size):
            self._memory[address + offset] = (term, offset)

    def _first_content(self, address: int, size: int) -> Term:
        """Return the place of memory that the code has not written; plain numbers are what no input decides."""
        for start, end, ordinal in reversed(self._regions):
            if start < address + size and address < end:
                return Origin("kernel", ordinal, size, self._read(address, size))
        if self._is_constant(address) or 0 < self._entry_esp - address < STACK_SPAN:
            return self._read(address, size)
        return Origin("memory", address, size, self._read(address, size))

    def _looked_up(self, operand: Mem) -> Term | None:
        """Return an entry of a constant table at an index that came from the input."""
        register, scale, other = operand.index, operand.scale, operand.base
        if register is None:
            register, scale, other = operand.base, 1, None
        if register is None or self._registers[register] is None:
            return None
        if other is not None and self._registers[other] is not None:
            return None
        start = (operand.disp + (self.now[other] if other is not None else 0)) & _MASK
        index = (self.address(operand) - start) & _MASK
        if index >= MAX_LOOKUP * scale or not self._is_constant(start):
            return None
        key = (start, scale, operand.size)
        table = self._tables.get(key)
        if table is None:
            table = tuple(self._read(start + scale * number, operand.size) for number in range(MAX_LOOKUP))
            self._tables[key] = table
        return compute("lookup", self.register(register), table=table)

    # -- the kernel --

    def kernel_wrote(self, address: int, data: bytes, ordinal: int, drawn: Callable[[bytes], Origin | None]) -> None:
        """Take over what a kernel function wrote; `drawn` says which of it is a number drawn from the input."""
        if len(data) > MAX_TRACED_WRITE:
            end = address + len(data)
            for at in [at for at in self._memory if address <= at < end]:
                del self._memory[at]
            self._regions.append((address, end, ordinal))
            return
        for offset in range(0, len(data), 4):
            word = data[offset : offset + 4]
            own = Origin("kernel", ordinal, len(word), int.from_bytes(word, "little"))
            self.store(address + offset, len(word), drawn(word) or own)

    def copy(self, destination: int, source: int, size: int) -> None:
        """Let memory hold what is elsewhere."""
        for offset in range(0, size, 4):
            part = min(4, size - offset)
            self.store(destination + offset, part, self.load(source + offset, part))


def _corrected(term: Term, value: int) -> Term | None:
    """Return a term of memory as the processor computed it, None where its being another cannot be explained.

    Memory is read when the run is over: what it held may have been overwritten since it was loaded.
    """
    if isinstance(term, Origin):
        return term._replace(value=value) if term.kind == "memory" and value >> 8 * term.size == 0 else None
    if isinstance(term, int) or term.depth > 1:
        return None
    for origin, content in undo(term, value):
        operands = [one._replace(value=content) if one is origin else one for one in term.operands]
        again = compute(term.operation, *operands, table=term.table)
        if origin.kind == "memory" and value_of(again) == value:
            return again
    return None
