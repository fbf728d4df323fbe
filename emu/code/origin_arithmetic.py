"""What arithmetic does to terms and to the flags: one handler for each kind of instruction."""

from __future__ import annotations

from collections.abc import Mapping

from stackemu.emu.code.expression import Term, compute, extract, value_of
from stackemu.emu.code.instruction import EAX, EDX, Imm, Instruction, Mem, Operand, Reg
from stackemu.emu.code.origin_moves import Handler, size_of
from stackemu.emu.code.origin_state import Flags, OriginState

_MASK = 0xFFFFFFFF


def _carry(state: OriginState) -> Term | None:
    return state.flags.condition("b") if state.flags is not None else None


def _put_result(state: OriginState, target: Operand, result: Term) -> None:
    state.put(target, extract(result, 0, 8 * size_of(target)))


def _compare(state: OriginState, instruction: Instruction) -> None:
    left, right = instruction.operands
    size = size_of(left, right)
    value = extract(state.get(left), 0, 8 * size)
    if instruction.mnemonic == "test" and left == right:
        state.flags = Flags.of_result(value, size)
    else:
        state.flags = Flags(instruction.mnemonic, value, extract(state.get(right), 0, 8 * size), size)


def _arithmetic(operation: str, flags: str) -> Handler:
    """Return the handler of an instruction of two operands; `flags` is the comparison whose flags it sets."""

    def handler(state: OriginState, instruction: Instruction) -> None:
        target, source = instruction.operands
        size = size_of(target)
        if target == source and operation in ("xor", "sub"):
            state.put(target, 0)
            state.flags = None
            return
        left, right = state.get(target), extract(state.get(source), 0, 8 * size)
        result = extract(compute(operation, left, right), 0, 8 * size)
        state.flags = Flags(flags, left, right, size) if flags else Flags.of_result(result, size)
        state.put(target, result)

    return handler


def _by_one(operation: str, flags: str) -> Handler:
    """`inc` and `dec` leave the carry flag alone."""

    def handler(state: OriginState, instruction: Instruction) -> None:
        (target,) = instruction.operands
        left, carry = state.get(target), _carry(state)
        state.flags = Flags(flags, left, 1, size_of(target), carry, has_own_carry=False)
        _put_result(state, target, compute(operation, left, 1))

    return handler


def _negate(state: OriginState, instruction: Instruction) -> None:
    (target,) = instruction.operands
    value = state.get(target)
    state.flags = Flags("cmp", 0, value, size_of(target))
    _put_result(state, target, compute("sub", 0, value))


def _invert(state: OriginState, instruction: Instruction) -> None:
    (target,) = instruction.operands
    _put_result(state, target, compute("xor", state.get(target), _MASK))


def _with_carry(operation: str, flags: str) -> Handler:
    """`adc` and `sbb`: the carry is added to the right operand; `sbb r, r` spreads it over the register."""

    def handler(state: OriginState, instruction: Instruction) -> None:
        target, source = instruction.operands
        carry, size = _carry(state), size_of(target)
        if carry is None:
            state.put(target, None)
            state.flags = None
            return
        if target == source and operation == "sub":
            left: Term = 0
            right = carry
        else:
            left = state.get(target)
            # That the sum may overflow is left out: the flags are wrong for one operand in 4 billion.
            right = extract(compute("add", state.get(source), carry), 0, 8 * size)
        state.flags = Flags(flags, left, right, size)
        _put_result(state, target, compute(operation, left, right))

    return handler


def _count(state: OriginState, instruction: Instruction, default: int = 1) -> int:
    """Return by how many bits a shift goes; whatever decides it."""
    if len(instruction.operands) <= default:
        return 1
    return value_of(state.get(instruction.operands[default])) & 31


def _shift(operation: str) -> Handler:
    def handler(state: OriginState, instruction: Instruction) -> None:
        target, count = instruction.operands[0], _count(state, instruction)
        value, size = state.get(target), size_of(target)
        bits = 8 * size
        operand = compute("sign", value, bits) if operation == "sar" and size < 4 else value
        by: Term = count
        if isinstance(value, int) and len(instruction.operands) > 1:
            by = extract(state.get(instruction.operands[1]), 0, 5)  # `1 << n`: whether n is one of a set
        result = extract(compute(operation, operand, by), 0, bits)
        state.put(target, result)
        if count:
            last = bits - count if operation == "shl" else count - 1
            carry = extract(value, last, 1) if 0 <= last < bits else 0
            state.flags = Flags.of_result(result, size, carry)

    return handler


def _rotate(sign: int) -> Handler:
    """`rol` and `ror`: of the flags only carry and overflow change, which nobody branches on."""

    def handler(state: OriginState, instruction: Instruction) -> None:
        target, count = instruction.operands[0], _count(state, instruction)
        bits = 8 * size_of(target)
        state.put(target, compute("rol", state.get(target), sign * count % bits, bits))

    return handler


def _double_shift(is_left: bool) -> Handler:
    """`shld` and `shrd`: 64 bits shifted, of which the target's 32 are kept; a rotation where both are the same."""

    def handler(state: OriginState, instruction: Instruction) -> None:
        target, source = instruction.operands[:2]
        count = _count(state, instruction, 2)
        if not count:
            return
        if size_of(target) < 4:
            state.drop(instruction)
            state.flags = None
            return
        left, right = state.get(target), state.get(source)
        kept = count if is_left else 32 - count
        if target == source:
            result = compute("rol", left, kept, 32)
        else:
            result = compute("double", *((left, right) if is_left else (right, left)), kept)
        state.put(target, result)
        state.flags = Flags.of_result(result, 4)

    return handler


def _multiply(state: OriginState, instruction: Instruction) -> None:
    """`imul` of two or three operands keeps the low half; of one operand `mul` and `imul` are alike in that."""
    operands = instruction.operands
    state.flags = None
    if len(operands) > 1:
        left, right = (state.get(one) for one in operands[-2:])
        _put_result(state, operands[0], compute("mul", left, right))
        return
    product = compute("mul", state.register(EAX), state.get(operands[0])) if size_of(operands[0]) == 4 else None
    state.set_register(EAX, product)
    if size_of(operands[0]) > 1:
        state.set_register(EDX, None)


def _divide(state: OriginState, instruction: Instruction) -> None:
    """An unsigned division of 32 bits; of 64 bits and of less it is not followed."""
    divisor, dividend = state.get(instruction.operands[0]), state.register(EAX)
    is_simple = size_of(instruction.operands[0]) == 4 and state.now[EDX] == 0
    state.set_register(EAX, compute("quotient", dividend, divisor) if is_simple else None)
    state.set_register(EDX, compute("remainder", dividend, divisor) if is_simple else None)
    state.flags = None


def _bit_test(change: str | None) -> Handler:
    """`bt` and its like: the carry flag is the bit; the others nobody looks at."""

    def handler(state: OriginState, instruction: Instruction) -> None:
        target, number = instruction.operands
        if isinstance(target, Mem) and not isinstance(number, Imm):
            state.drop(instruction)  # the bit may lie anywhere
            state.flags = None
            return
        bits = 8 * size_of(target)
        value, index = state.get(target), state.get(number)
        bit = compute("bit", value, index, bits)
        state.flags = Flags.of_result(bit, 4, bit)
        if change is not None:
            mask = 1 << value_of(index) % bits
            _put_result(state, target, compute(change, value, mask if change != "and" else ~mask & _MASK))

    return handler


def _bit_scan(state: OriginState, instruction: Instruction) -> None:
    """`bsf` and `bsr` say by the zero flag that there is no bit; which one it is, is not followed."""
    target, source = instruction.operands
    state.flags = Flags.of_result(state.get(source), size_of(source))
    state.put(target, None)


def _exchange_if_equal(state: OriginState, instruction: Instruction) -> None:
    target, source = instruction.operands
    size = size_of(target)
    expected, value = state.get(Reg(EAX, size)), state.get(target)
    state.flags = Flags("cmp", expected, value, size)
    if value_of(expected) == value_of(value):
        state.put(target, state.get(source))
    else:
        state.put(Reg(EAX, size), value)


def _exchange_and_add(state: OriginState, instruction: Instruction) -> None:
    target, source = instruction.operands
    left, right, size = state.get(target), state.get(source), size_of(target)
    state.flags = Flags("add", left, right, size)
    state.put(source, left)
    _put_result(state, target, compute("add", left, right))


ARITHMETIC: Mapping[str, Handler] = {
    "cmp": _compare,
    "test": _compare,
    "add": _arithmetic("add", "add"),
    "sub": _arithmetic("sub", "cmp"),
    "and": _arithmetic("and", "test"),
    "or": _arithmetic("or", ""),
    "xor": _arithmetic("xor", ""),
    "inc": _by_one("add", "add"),
    "dec": _by_one("sub", "cmp"),
    "neg": _negate,
    "not": _invert,
    "adc": _with_carry("add", "add"),
    "sbb": _with_carry("sub", "cmp"),
    **dict.fromkeys(("shl", "sal"), _shift("shl")),
    "shr": _shift("shr"),
    "sar": _shift("sar"),
    "rol": _rotate(1),
    "ror": _rotate(-1),
    "shld": _double_shift(is_left=True),
    "shrd": _double_shift(is_left=False),
    **dict.fromkeys(("mul", "imul"), _multiply),
    "div": _divide,
    "bt": _bit_test(None),
    "bts": _bit_test("or"),
    "btr": _bit_test("and"),
    "btc": _bit_test("xor"),
    **dict.fromkeys(("bsf", "bsr"), _bit_scan),
    "cmpxchg": _exchange_if_equal,
    "xadd": _exchange_and_add,
}
"""Handlers by mnemonic."""
