"""What an instruction does to the terms of a state.

What is not in the tables makes plain numbers of all that it writes, and leaves the flags unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from stackemu.emu.code.expression import Term
from stackemu.emu.code.instruction import ECX, Flow, Instruction
from stackemu.emu.code.origin_arithmetic import ARITHMETIC
from stackemu.emu.code.origin_moves import MOVES, Handler
from stackemu.emu.code.origin_state import Flags, OriginState

_HANDLERS: Mapping[str, Handler] = {**MOVES, **ARITHMETIC}
_KEEPS_FLAGS = frozenset({"pushfd", "pushal", "popal", "cld", "std", "cwd", "cbw", "enter", "lahf"})


def follow(state: OriginState, instruction: Instruction) -> None:
    """Take one instruction's effect over into the state; where it goes to is the caller's business."""
    handler = _HANDLERS.get(instruction.mnemonic)
    if handler is not None:
        handler(state, instruction)
    elif instruction.flow is not Flow.NEXT:
        state.forget(instruction.writes)  # `loop`
    elif instruction.mnemonic != "nop":
        state.drop(instruction)
        if instruction.mnemonic not in _KEEPS_FLAGS:
            state.flags = None


def branch_condition(state: OriginState, instruction: Instruction) -> Term | None:
    """Return whether a conditional branch is taken as a term, None where that is not known."""
    if instruction.mnemonic == "jecxz":
        return Flags("cmp", state.register(ECX), 0, 4).condition("e")
    if instruction.mnemonic == "loop":
        return Flags("cmp", state.register(ECX), 1, 4).condition("ne")
    return state.flags.condition(instruction.mnemonic[1:]) if state.flags is not None else None
