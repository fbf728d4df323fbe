"""Branches that are made to go one way: code of the same length, put in their place for one run.

What such a run shows is no measurement: the driver would have to be another program to behave like that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import unicorn

from stackemu.emu.code.instruction import Flow, Instruction

_NOP = b"\x90"
_JUMPS = ((b"\xeb", 1), (b"\xe9", 4))
"""Opcodes of direct jumps with the bytes of their distance (Intel SDM volume 2, JMP: EB cb and E9 cd)."""


@dataclass(frozen=True, slots=True)
class ForcedBranch:
    """A transfer at `address` that always goes to `target`; addresses are absolute."""

    address: int
    target: int
    is_taken: bool
    """False where it always goes on behind itself."""
    code: bytes
    """What stands in its place, as long as itself."""


def forced_branch(instruction: Instruction, target: int) -> ForcedBranch | None:
    """Return the branch or indirect jump made to go to `target`; None for what is none, and where no jump fits.

    A forced `loop` counts no longer.
    """
    is_indirect = instruction.flow is Flow.JUMP and instruction.target is None
    if instruction.flow is not Flow.BRANCH and not is_indirect:
        return None
    code = _jump(instruction.end, instruction.size, target)
    return None if code is None else ForcedBranch(instruction.address, target, target != instruction.end, code)


def _jump(end: int, size: int, target: int) -> bytes | None:
    """Return a jump to `target` in `size` bytes that end at `end`, None where none is short enough.

    The jump comes last, behind no-ops, and is one even to where control would go by itself: so the block that
    the emulator translates ends where it did before.
    """
    distance = (target - end + (1 << 31)) % (1 << 32) - (1 << 31)
    for opcode, width in _JUMPS:
        fits = -(1 << (8 * width - 1)) <= distance < 1 << (8 * width - 1)
        if fits and len(opcode) + width <= size:
            jump = opcode + distance.to_bytes(width, "little", signed=True)
            return _NOP * (size - len(jump)) + jump
    return None


@contextmanager
def in_place(engine: unicorn.Uc, branches: Sequence[ForcedBranch]) -> Iterator[None]:
    """Put the code of `branches` into the engine's memory, and back what was there; translations are forgotten."""
    before = [(branch.address, bytes(engine.mem_read(branch.address, len(branch.code)))) for branch in branches]
    for branch in branches:
        _replace(engine, branch.address, branch.code)
    try:
        yield
    finally:
        for address, code in reversed(before):
            _replace(engine, address, code)


def _replace(engine: unicorn.Uc, address: int, code: bytes) -> None:
    engine.mem_write(address, code)
    engine.ctl_remove_cache(address, address + len(code))
