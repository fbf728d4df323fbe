"""Operations on numbers, against the processor's own instructions; what undoes them, against the operations."""

from __future__ import annotations

import itertools

import pytest
import unicorn
from unicorn import x86_const

from stackemu.emu.code.operations import APPLY, UNDO

CODE = 0x1000
MASK = 0xFFFFFFFF
WORDS = (0, 1, 5, 0x1F, 0x80, 0x1234, 0x7FFFFFFF, 0x80000000, 0xDEADBEEF, 0xFFFFFFFF)
COUNTS = (1, 4, 7, 16, 31)

# Each computes EAX from EAX and ECX, with the operation's operands behind those two.
OF_TWO_WORDS = {
    "add": ("01 c8", ()),  # add eax, ecx
    "sub": ("29 c8", ()),  # sub eax, ecx
    "mul": ("0f af c1", ()),  # imul eax, ecx
    "xor": ("31 c8", ()),  # xor eax, ecx
    "and": ("21 c8", ()),  # and eax, ecx
    "or": ("09 c8", ()),  # or eax, ecx
    "cmp.b": ("39 c8  0f 92 c0  0f b6 c0", (4,)),  # cmp eax, ecx; setb al; movzx eax, al
    "cmp.g": ("39 c8  0f 9f c0  0f b6 c0", (4,)),  # cmp eax, ecx; setg al; movzx eax, al
    "test.ne": ("85 c8  0f 95 c0  0f b6 c0", (4,)),  # test eax, ecx; setne al; movzx eax, al
    "add.b": ("01 c8  0f 92 c0  0f b6 c0", (4,)),  # add eax, ecx; setb al; movzx eax, al
    "bit": ("0f a3 c8  0f 92 c0  0f b6 c0", (32,)),  # bt eax, ecx; setb al; movzx eax, al
}
BY_COUNT = {
    "shl": ("d3 e0", ()),  # shl eax, cl
    "shr": ("d3 e8", ()),  # shr eax, cl
    "sar": ("d3 f8", ()),  # sar eax, cl
    "rol": ("d3 c0", (32,)),  # rol eax, cl
}


@pytest.fixture(scope="module")
def engine() -> unicorn.Uc:
    engine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    engine.mem_map(CODE, 0x1000)
    return engine


def _processor_says(engine: unicorn.Uc, code: str, eax: int, ecx: int, edx: int = 0) -> int:
    data = bytes.fromhex(code)
    engine.mem_write(CODE, data)
    engine.ctl_remove_cache(CODE, CODE + 0x20)
    for register, value in ((x86_const.UC_X86_REG_EAX, eax), (x86_const.UC_X86_REG_ECX, ecx)):
        engine.reg_write(register, value)
    engine.reg_write(x86_const.UC_X86_REG_EDX, edx)
    engine.emu_start(CODE, CODE + len(data))
    return int(engine.reg_read(x86_const.UC_X86_REG_EAX))


@pytest.mark.parametrize("operation", [*OF_TWO_WORDS, *BY_COUNT])
def test_operations_compute_as_the_processor_does(engine: unicorn.Uc, operation: str) -> None:
    code, more = (OF_TWO_WORDS | BY_COUNT)[operation]
    for left, right in itertools.product(WORDS, WORDS if operation in OF_TWO_WORDS else COUNTS):
        computed = APPLY[operation](left, right, *more) & MASK
        assert computed == _processor_says(engine, code, left, right), (hex(left), hex(right))


def test_a_double_shift_computes_as_shld_does(engine: unicorn.Uc) -> None:
    for high, low, count in itertools.product(WORDS, WORDS, COUNTS):
        expected = _processor_says(engine, "0f a5 d0", high, count, low)  # shld eax, edx, cl
        assert APPLY["double"](high, low, count) & MASK == expected


def test_divisions_compute_as_div_does(engine: unicorn.Uc) -> None:
    for left, right in itertools.product(WORDS, WORDS[1:]):
        quotient = _processor_says(engine, "31 d2  f7 f1", left, right)  # xor edx, edx; div ecx
        remainder = _processor_says(engine, "31 d2  f7 f1  89 d0", left, right)  # ...; mov eax, edx
        assert (APPLY["quotient"](left, right), APPLY["remainder"](left, right)) == (quotient, remainder)


def test_extensions_and_swaps_compute_as_the_processor_does(engine: unicorn.Uc) -> None:
    for value in WORDS:
        assert APPLY["sign"](value, 8) & MASK == _processor_says(engine, "0f be c0", value, 0)  # movsx eax, al
        assert APPLY["sign"](value, 16) & MASK == _processor_says(engine, "0f bf c0", value, 0)  # movsx eax, ax
        assert APPLY["swap"](value) & MASK == _processor_says(engine, "0f c8", value, 0)  # bswap eax
        assert APPLY["extract"](value, 8, 8) == _processor_says(engine, "0f b6 c4", value, 0)  # movzx eax, ah
        inserted = _processor_says(engine, "88 cc", value, 0x5A)  # mov ah, cl
        assert APPLY["insert"](value, 0x5A, 8, 8) & MASK == inserted


OPERANDS = {
    **{operation: (WORDS, WORDS, *((one,) for one in more)) for operation, (_, more) in OF_TWO_WORDS.items()},
    **{operation: (WORDS, COUNTS, *((one,) for one in more)) for operation, (_, more) in BY_COUNT.items()},
    "double": (WORDS, WORDS, COUNTS),
    "sign": (WORDS, (8, 16)),
    "swap": (WORDS,),
    "quotient": (WORDS, (1, 3, 22, 0x1000)),
    "remainder": (WORDS, (1, 3, 22, 0x1000)),
    "extract": (WORDS, (0, 4, 24), (1, 8)),
    "insert": (WORDS, WORDS, (0, 8), (8, 16)),
    "select": ((0, 1), WORDS, WORDS),
}


@pytest.mark.parametrize("operation", sorted(OPERANDS))
def test_what_undoes_an_operation_gives_the_result_that_is_wanted(operation: str) -> None:
    found = 0
    for operands in itertools.product(*OPERANDS[operation]):
        other = 1 - operands[0] if operation == "select" else 0x5A6B7C8D
        wanted = APPLY[operation](other, *operands[1:]) & MASK
        for at, way in enumerate(UNDO[operation]):
            for value in way(wanted, list(operands)):
                if value > MASK and operation == "quotient":
                    continue  # the last numbers that divide to it do not fit
                changed = [*operands[:at], value & MASK, *operands[at + 1 :]]
                assert APPLY[operation](*changed) & MASK == wanted, (operands, at, hex(value))
                found += 1
    assert found, "nothing was undone"


@pytest.mark.parametrize(
    ("operation", "operands", "wanted"),
    [
        ("and", (0, 0xF0), 0x51),
        ("or", (0, 0x0F), 0x50),
        ("shl", (0, 8), 0x12),
        ("shr", (0, 8), 0x01000000),
        ("remainder", (0, 5), 5),
        ("sign", (0, 8), 0x80),
        ("extract", (0, 0, 8), 0x100),
    ],
)
def test_what_nothing_computes_to_is_not_undone(operation: str, operands: tuple[int, ...], wanted: int) -> None:
    assert list(UNDO[operation][0](wanted, list(operands))) == []
