"""A function's instructions, its basic blocks, and where control goes between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from stackemu.emu.code.instruction import Instruction, Mem
from stackemu.emu.code.stackeffect import given_back


class Block(NamedTuple):
    """A basic block: its instructions, and the leaders of those that may follow it in the function.

    One that is not ended by a transfer runs into the next block, or into what could not be decoded.
    """

    instructions: tuple[Instruction, ...]
    following: tuple[int, ...]
    is_ended_by_transfer: bool


@dataclass(slots=True)
class FunctionCode:
    """A function's code by absolute address, with what control flow found in it."""

    entry: int
    instructions: dict[int, Instruction] = field(default_factory=dict)
    leaders: set[int] = field(default_factory=set)
    """Where basic blocks begin."""
    successors: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """For each instruction that ends a block, where control goes inside the function."""
    calls: list[Instruction] = field(default_factory=list)
    tail_jumps: list[Instruction] = field(default_factory=list)
    """Jumps that leave the function: to another function, through an IAT slot, or to where nobody knows."""
    returns: list[Instruction] = field(default_factory=list)
    undecodable: list[int] = field(default_factory=list)
    tables: list[tuple[int, int]] = field(default_factory=list)
    """Jump tables, as (address, number of entries)."""
    except_blocks: dict[int, list[int]] = field(default_factory=dict)
    """By the address of a scope table: the leaders at which the function goes on after an exception."""

    _blocks: dict[int, Block] = field(default_factory=dict, repr=False, compare=False)
    _given_back: dict[int, int] = field(default_factory=dict, repr=False, compare=False)
    _handler_writes: frozenset[int] | None = field(default=None, repr=False, compare=False)
    _exits: frozenset[int] | None = field(default=None, repr=False, compare=False)

    def block(self, leader: int) -> Block:
        """Return the basic block at a leader; to be asked once the code is complete."""
        known = self._blocks.get(leader)
        if known is None:
            known = self._blocks[leader] = self._block(leader)
        return known

    def leader_of(self, address: int) -> int | None:
        """Return the leader of the basic block that has an instruction, None when the function has no such."""
        return next(
            (
                leader
                for leader in self.leaders
                if any(instruction.address == address for instruction in self.block(leader).instructions)
            ),
            None,
        )

    def _block(self, leader: int) -> Block:
        found: list[Instruction] = []
        at = leader
        while (instruction := self.instructions.get(at)) is not None:
            found.append(instruction)
            if at in self.successors:
                return Block(tuple(found), self.successors[at], is_ended_by_transfer=True)
            at = instruction.end
            if at in self.leaders:
                return Block(tuple(found), (at,), is_ended_by_transfer=False)
        return Block(tuple(found), (), is_ended_by_transfer=False)

    def given_back(self, address: int) -> int:
        """Return the bytes that the code at an address behind a call takes off the stack soon, on that path alone."""
        known = self._given_back.get(address)
        if known is None:
            known = self._given_back[address] = given_back(self._on_one_path, address)
        return known

    def _on_one_path(self, address: int) -> Instruction | None:
        return None if address in self.leaders else self.instructions.get(address)

    @property
    def handler_writes(self) -> frozenset[int]:
        """Return the addresses of instructions that change FS:[0], the head of the list of exception handlers."""
        if self._handler_writes is None:
            writes = filter(_writes_handler, self.instructions.values())
            self._handler_writes = frozenset(one.address for one in writes)
        return self._handler_writes

    @property
    def exits(self) -> frozenset[int]:
        """Return the addresses of returns and of jumps that leave the function; to be asked once it is complete."""
        if self._exits is None:
            self._exits = frozenset(one.address for one in (*self.returns, *self.tail_jumps))
        return self._exits

    @property
    def extent(self) -> int:
        """Return the size in bytes from the entry to the end of the code that hangs together with it.

        A chunk that was moved elsewhere does not count: the extent ends at the first gap of 16 bytes or more
        that no jump table fills.
        """
        pieces = [(instruction.address, instruction.end) for instruction in self.instructions.values()]
        pieces += [(address, address + 4 * count) for address, count in self.tables]
        end = self.entry
        for start, stop in sorted(pieces):
            if start < self.entry:
                continue
            if start - end >= 16:
                break
            end = max(end, stop)
        return end - self.entry


def _writes_handler(instruction: Instruction) -> bool:
    if instruction.mnemonic not in ("mov", "pop") or not instruction.operands:
        return False
    target = instruction.operands[0]
    return isinstance(target, Mem) and target.segment == "fs" and target.base is None and target.disp == 0
