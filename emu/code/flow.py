"""The instructions that control flow reaches from a function's entry without leaving the function."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.instruction import Decoder, Flow, Imm, Instruction, Mem, Reg
from stackemu.emu.code.scope_tables import except_blocks
from stackemu.emu.image import Image

MAX_INSTRUCTIONS = 200_000
"""A function longer than this is cut off: a bound for hostile images."""
MAX_TABLE = 4096
_NEARBY = 32
"""So many bytes before a jump is looked for what it depends on."""
_CHUNK = 256
_CHUNK_INSTRUCTIONS = 24


class FlowTracer:
    """Follows control flow through an image's functions."""

    def __init__(
        self,
        image: Image,
        is_function: Callable[[int], bool],
        never_returns: Callable[[Instruction], bool],
        function_start: Callable[[int], int | None] | None = None,
        decoded: dict[int, Instruction] | None = None,
    ) -> None:
        """`is_function` tells whether a function starts at an address; `never_returns` judges a call or jump.

        `function_start` gives the last function entry up to an address, once all of them are known: it tells
        where one function's jump table ends and the next one's begins. `decoded` are instructions by their
        addresses that others have decoded; it is added to.
        """
        self._image = image
        self._is_function = is_function
        self._function_start = function_start
        self._never_returns = never_returns
        self._decoder = Decoder()
        self._relocated = frozenset(image.relocations)
        self._decoded: dict[int, Instruction] = {} if decoded is None else decoded

    def instruction(self, address: int) -> Instruction | None:
        """Return the instruction at `address`, None outside code or where nothing decodes."""
        known = self._decoded.get(address)
        if known is None:
            rva = address - self._image.base
            if not self._image.is_code(rva):
                return None
            for found in self._decoder.decode(self._image.read(rva, _CHUNK), address, _CHUNK_INSTRUCTIONS):
                self._decoded.setdefault(found.address, found)
                if found.flow in (Flow.JUMP, Flow.RETURN, Flow.STOP):
                    break
            known = self._decoded.get(address)
        return known

    def trace(self, entry: int) -> FunctionCode:
        """Return the code of the function whose entry is at the absolute address `entry`."""
        code = FunctionCode(entry)
        pending = [entry]
        followed = 0
        while pending:
            leader = pending.pop()
            code.leaders.add(leader)
            pending.extend(self._follow(code, leader))
            if not pending:
                added = list(code.instructions.values())[followed:]
                followed = len(code.instructions)
                pending = self._except_blocks(code, added)
        return code

    def _except_blocks(self, code: FunctionCode, instructions: Iterable[Instruction]) -> list[int]:
        """Return new leaders out of the scope tables whose addresses the instructions hold."""
        leaders = []
        for instruction in instructions:
            for operand in instruction.operands:
                if not isinstance(operand, Imm):
                    continue
                table = operand.value & 0xFFFFFFFF
                rva = table - self._image.base
                if not 0 < rva < self._image.size or rva % 4:  # nearly all numbers
                    continue
                if table in code.except_blocks or instruction.target is not None:
                    continue
                blocks = [
                    block
                    for block in except_blocks(self._image, self._relocated, table)
                    if not self._leaves(code, instruction, block)
                ]
                if blocks:
                    code.except_blocks[table] = blocks
                    leaders += [block for block in blocks if block not in code.instructions]
                    code.leaders.update(blocks)
        return leaders

    def _follow(self, code: FunctionCode, address: int) -> tuple[int, ...]:
        """Add instructions from a leader to the block's end; returns the new leaders."""
        while address not in code.instructions:
            instruction = self.instruction(address)
            if instruction is None or len(code.instructions) >= MAX_INSTRUCTIONS:
                code.undecodable.append(address)
                return ()
            code.instructions[address] = instruction
            if instruction.flow is Flow.CALL:
                code.calls.append(instruction)
                if self._never_returns(instruction):
                    code.successors[address] = ()
                    return ()
            elif instruction.flow is not Flow.NEXT:
                successors = self._transfer(code, instruction)
                code.successors[address] = successors
                return successors
            address = instruction.end
        code.leaders.add(address)
        return ()

    def _transfer(self, code: FunctionCode, instruction: Instruction) -> tuple[int, ...]:
        if instruction.flow is Flow.RETURN:
            code.returns.append(instruction)
            return ()
        if instruction.flow is Flow.STOP:
            return ()
        fall_through = (instruction.end,) if instruction.flow is Flow.BRANCH else ()
        target = instruction.target
        if target is None:
            table = self._jump_table(code, instruction)
            if not table and not self._never_returns(instruction):
                code.tail_jumps.append(instruction)
            return table
        if target != code.entry and (self._is_function(target) or not self._image.is_code(target - self._image.base)):
            # A jump to what never returns may leave the stack as it is.
            if not self._never_returns(instruction):
                code.tail_jumps.append(instruction)
            return fall_through
        return (*fall_through, target)

    def _jump_table(self, code: FunctionCode, instruction: Instruction) -> tuple[int, ...]:
        """Return the targets of `jmp [index * 4 + table]`: the run of relocated pointers into this function.

        Unoptimised code loads the pointer into a register first.
        """
        instruction = self._load_of_target(code, instruction)
        operand = instruction.operands[-1]
        if not isinstance(operand, Mem) or operand.scale != 4 or operand.index is None or operand.base is not None:
            return ()
        image = self._image
        table = operand.disp & 0xFFFFFFFF
        limit = min(self._compared_limit(code, instruction) or MAX_TABLE, MAX_TABLE)
        targets = []
        for index in range(limit):
            rva = table + 4 * index - image.base
            if rva not in self._relocated:
                break
            target = image.read_u32(rva)
            if target is None or not image.is_code(target - image.base) or self._leaves(code, instruction, target):
                break
            targets.append(target)
        if targets:
            code.tables.append((table, len(targets)))
        return tuple(dict.fromkeys(targets))

    def _leaves(self, code: FunctionCode, jump: Instruction, target: int) -> bool:
        """Return whether a table entry belongs to another function's table that follows this one."""
        if target == code.entry:
            return False
        if self._is_function(target) or self._function_start is None:
            return self._is_function(target)
        # Neither in the function's own code nor in the chunk that the jump stands in.
        return self._function_start(target) not in (code.entry, self._function_start(jump.address))

    def _load_of_target(self, code: FunctionCode, jump: Instruction) -> Instruction:
        """Return the `mov register, ...` that a `jmp register` has its target from, else the jump itself."""
        operand = jump.operands[0]
        if isinstance(operand, Reg):
            for instruction in _before(code, jump):
                if operand.number in instruction.writes:
                    return instruction if instruction.mnemonic == "mov" else jump
        return jump

    def _compared_limit(self, code: FunctionCode, jump: Instruction) -> int | None:
        """Return the number of table entries that `cmp index, n; ja` before the jump allows."""
        index = jump.operands[-1].index if isinstance(jump.operands[-1], Mem) else None
        for instruction in _before(code, jump):
            if index in instruction.writes:
                # `and index, n` is a limit too; else the index went through a second table, of bytes
                return _mask_limit(instruction)
            if instruction.mnemonic == "cmp" and isinstance(instruction.operands[1], Imm):
                return (instruction.operands[1].value & 0xFFFF) + 1
        return None


def _before(code: FunctionCode, instruction: Instruction) -> list[Instruction]:
    """Return the instructions shortly before one, the nearest first."""
    first = instruction.address - _NEARBY
    return sorted(
        (one for one in code.instructions.values() if first <= one.address < instruction.address), reverse=True
    )


def _mask_limit(instruction: Instruction) -> int | None:
    """Return how many values `and register, n` leaves, None for anything else."""
    if instruction.mnemonic != "and" or not isinstance(instruction.operands[1], Imm):
        return None
    return (instruction.operands[1].value & 0xFFFFFFFF) + 1
