"""Where a switch's table of addresses ends: at its limit, else where the next function's table begins.

Two functions lie side by side, and so do their tables, with nothing in between to tell them apart.
"""

from __future__ import annotations

import pytest
from made_images import code_section, data_section, made_image

from stackemu.emu.code.model import CodeModel

BASE = 0xA5DE0000
FIRST, SECOND = BASE + 0x1000, BASE + 0x1020
TABLE = 0x2000

ZERO, ONE = BASE + 0x1010, BASE + 0x1013
SECOND_ZERO = BASE + 0x1030


def model_of(first: str, pointers: tuple[int, ...], starts: tuple[int, ...] = (FIRST, SECOND)) -> CodeModel:
    """Return a model of code whose first function is `first`; `pointers` are relocated, at the table's address."""
    second = "8b442408 83e000 ff24850820dea5 9090 31c0 c3"  # mov, and eax, 0; jmp [eax * 4 + 0xa5de2008]; xor; ret
    text = bytes.fromhex(first).ljust(SECOND - FIRST, b"\xcc") + bytes.fromhex(second)
    data = b"".join(pointer.to_bytes(4, "little") for pointer in pointers)
    image = made_image(
        (
            code_section(text, 0x1000),
            data_section(data, TABLE, writable=False),
        ),
        relocations=tuple(range(TABLE, TABLE + 4 * len(pointers), 4)),
    )
    return CodeModel(image, starts, {})


def case_targets(model: CodeModel) -> tuple[int, ...]:
    (jump,) = [one for one in model.code(FIRST).instructions.values() if one.mnemonic == "jmp"]
    return model.code(FIRST).successors[jump.address]


@pytest.mark.parametrize(
    "index",
    [
        "8b442404 83e001 9090",  # mov eax, [esp + 4]; and eax, 1
        "8b442404 83f801 7706",  # mov eax, [esp + 4]; cmp eax, 1; ja 1010
        "0fb6442404 90909090",  # movzx eax, byte ptr [esp + 4]: no limit
    ],
    ids=["and", "cmp", "no limit"],
)
def test_a_table_ends_where_the_next_functions_table_begins(index: str) -> None:
    # jmp [eax * 4 + 0xa5de2000]; 1010: xor eax, eax; ret; 1013: push eax; pop eax; ret
    code = f"{index} ff24850020dea5 31c0 c3 50 58 c3"
    assert case_targets(model_of(code, (ZERO, ONE, SECOND_ZERO))) == (ZERO, ONE)


@pytest.mark.parametrize(("index", "cases"), [("83e000", 1), ("83e001", 2), ("83e003", 3)])
def test_a_mask_limits_the_table(index: str, cases: int) -> None:
    code = f"8b442404 {index} 9090 ff24850020dea5 31c0 c3 50 58 c3 40 c3"
    pointers = (ZERO, ONE, BASE + 0x1016)
    assert case_targets(model_of(code, pointers)) == pointers[:cases]
