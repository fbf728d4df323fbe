"""What instructions that move values do to terms: one handler for each kind of instruction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from stackemu.emu.code.conditions import CONDITION_CODES, SYNONYMS
from stackemu.emu.code.expression import compute, extract
from stackemu.emu.code.instruction import EAX, EBP, ECX, EDI, EDX, ESI, ESP, Instruction, Mem, Operand, Reg
from stackemu.emu.code.origin_state import Flags, OriginState

Handler: TypeAlias = Callable[[OriginState, Instruction], None]
_MASK = 0xFFFFFFFF


def size_of(*operands: Operand) -> int:
    """Return the size in bytes of the first operand that is no number."""
    return next((one.size for one in operands if isinstance(one, Reg | Mem)), 4)


def _move(state: OriginState, instruction: Instruction) -> None:
    target, source = instruction.operands
    state.put(target, state.get(source))


def _sign_extend(state: OriginState, instruction: Instruction) -> None:
    target, source = instruction.operands
    extended = compute("sign", state.get(source), 8 * size_of(source))
    state.put(target, extract(extended, 0, 8 * size_of(target)))


def _load_address(state: OriginState, instruction: Instruction) -> None:
    target, source = instruction.operands
    state.put(target, state.address_term(source) if isinstance(source, Mem) else None)


def _push(state: OriginState, instruction: Instruction) -> None:
    if instruction.operands:
        state.store((state.now[ESP] - 4) & _MASK, 4, state.get(instruction.operands[0]))


def _pop(state: OriginState, instruction: Instruction) -> None:
    if instruction.operands:
        state.put(instruction.operands[0], state.load(state.now[ESP], size_of(instruction.operands[0])))


def _call(state: OriginState, instruction: Instruction) -> None:
    state.store((state.now[ESP] - 4) & _MASK, 4, instruction.end)


def _leave(state: OriginState, _instruction: Instruction) -> None:
    state.set_register(EBP, state.load(state.now[EBP], 4))


def _exchange(state: OriginState, instruction: Instruction) -> None:
    left, right = instruction.operands
    values = state.get(left), state.get(right)
    state.put(left, values[1])
    state.put(right, values[0])


def _swap_bytes(state: OriginState, instruction: Instruction) -> None:
    (target,) = instruction.operands
    state.put(target, compute("swap", state.get(target)))


def _widen_eax(state: OriginState, _instruction: Instruction) -> None:
    state.set_register(EAX, compute("sign", state.get(Reg(EAX, 2)), 16))


def _sign_into_edx(state: OriginState, _instruction: Instruction) -> None:
    state.set_register(EDX, compute("sar", state.register(EAX), 31))


def _move_if(code: str) -> Handler:
    """`cmovcc`: what is in the target depends on the condition, and on what it chooses from."""

    def handler(state: OriginState, instruction: Instruction) -> None:
        target, source = instruction.operands
        chosen = state.flags.condition(code) if state.flags is not None else None
        term = compute("select", chosen, state.get(source), state.get(target)) if chosen is not None else None
        state.put(target, term)

    return handler


def _set_if(code: str) -> Handler:
    def handler(state: OriginState, instruction: Instruction) -> None:
        state.put(instruction.operands[0], state.flags.condition(code) if state.flags is not None else None)

    return handler


# -- strings --

_UNITS = {"b": 1, "w": 2, "d": 4}
_UNREPEATED = {"b": 1, "w": 2, "d": 1}
"""Bytes of a string instruction's encoding without a repetition prefix."""


def _string(act: Callable[[OriginState, int], None]) -> Handler:
    """Return the handler of one turn of a string instruction; its pointers and its count are plain numbers."""

    def handler(state: OriginState, instruction: Instruction) -> None:
        letter = instruction.mnemonic[-1]
        repeated = instruction.size > _UNREPEATED[letter]
        if not (repeated and state.now[ECX] == 0):
            act(state, _UNITS[letter])
        state.forget((ECX, ESI, EDI) if repeated else (ESI, EDI))

    return handler


def _string_move(state: OriginState, size: int) -> None:
    state.store(state.now[EDI], size, state.load(state.now[ESI], size))


def _string_store(state: OriginState, size: int) -> None:
    state.store(state.now[EDI], size, state.get(Reg(EAX, size)))


def _string_load(state: OriginState, size: int) -> None:
    state.put(Reg(EAX, size), state.load(state.now[ESI], size))


def _string_compare(state: OriginState, size: int) -> None:
    state.flags = Flags("cmp", state.load(state.now[ESI], size), state.load(state.now[EDI], size), size)


def _string_scan(state: OriginState, size: int) -> None:
    state.flags = Flags("cmp", state.get(Reg(EAX, size)), state.load(state.now[EDI], size), size)


_CODES = (*CONDITION_CODES, *SYNONYMS)
MOVES: Mapping[str, Handler] = {
    **dict.fromkeys(("mov", "movzx"), _move),
    "movsx": _sign_extend,
    "lea": _load_address,
    "push": _push,
    "pop": _pop,
    "call": _call,
    "leave": _leave,
    "xchg": _exchange,
    "bswap": _swap_bytes,
    "cwde": _widen_eax,
    "cdq": _sign_into_edx,
    **{f"movs{letter}": _string(_string_move) for letter in _UNITS},
    **{f"stos{letter}": _string(_string_store) for letter in _UNITS},
    **{f"lods{letter}": _string(_string_load) for letter in _UNITS},
    **{f"cmps{letter}": _string(_string_compare) for letter in _UNITS},
    **{f"scas{letter}": _string(_string_scan) for letter in _UNITS},
    **{f"set{code}": _set_if(code) for code in _CODES},
    **{f"cmov{code}": _move_if(code) for code in _CODES},
}
"""Handlers by mnemonic."""
