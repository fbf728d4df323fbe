"""`__except` blocks belong to their function: control flow and stack heights follow exceptions into them.

The function is what MSVC writes for `__try { return *p; } __except (1) { three pushes }`, assembled by hand.
"""

from __future__ import annotations

import struct

import pytest
from made_images import code_section, data_section, made_image

from stackemu.emu.code.model import CodeModel
from stackemu.emu.code.scope_tables import except_blocks
from stackemu.emu.image import Image

BASE = 0xA5DE0000
ENTRY = BASE + 0x1000
TABLE = BASE + 0x2000
FILTER, BLOCK, BEHIND = ENTRY + 0x2E, ENTRY + 0x32, ENTRY + 0x3E

CODE = f"""
    55                      ; push ebp                          4 bytes below the entry's ESP
    8bec                    ; mov ebp, esp
    6aff                    ; push -1                           8
    68{struct.pack("<I", TABLE).hex()}              ; push offset scopetable            12
    68{struct.pack("<I", ENTRY).hex()}              ; push offset __except_handler3     16
    64a100000000            ; mov eax, fs:[0]
    50                      ; push eax                          20
    64892500000000          ; mov fs:[0], esp
    83ec08                  ; sub esp, 8                        28
    535657                  ; push ebx; push esi; push edi      40
    8965e8                  ; mov [ebp-24], esp
    8365fc00                ; and dword [ebp-4], 0
    8b00                    ; mov eax, [eax]
    eb10                    ; jmp 103e
    33c040c3                ; 102e, the filter: xor eax, eax; inc eax; ret
    8b65e8                  ; 1032, __except: mov esp, [ebp-24] 40
    6a016a026a03            ; push 1; push 2; push 3            52
    83c40c                  ; add esp, 12
    c745fcffffffff          ; 103e: mov dword [ebp-4], -1
    8b4df0                  ; mov ecx, [ebp-16]
    64890d00000000          ; mov fs:[0], ecx
    5f5e5b                  ; pop edi; pop esi; pop ebx
    8be5                    ; mov esp, ebp
    5d                      ; pop ebp
    c20400                  ; ret 4
"""


def image_of(table: bytes, relocated: tuple[int, ...]) -> Image:
    text = b"".join(bytes.fromhex(line.partition(";")[0]) for line in CODE.strip().splitlines())
    return made_image(
        (
            code_section(text, 0x1000),
            data_section(table, 0x2000, writable=False),
        ),
        relocations=relocated,
    )


def eh3(*records: tuple[int, int, int]) -> bytes:
    return b"".join(struct.pack("<III", *record) for record in records)


EH4_HEADER = struct.pack("<IIII", 0xFFFFFFFE, 0, 0xFFFFFFD8, 0)
"""No GS cookie; the EH cookie lies 0x28 bytes below EBP."""


@pytest.mark.parametrize(
    ("table", "relocated"),
    [
        (eh3((0xFFFFFFFF, FILTER, BLOCK)), (0x2004, 0x2008)),
        (EH4_HEADER + eh3((0xFFFFFFFE, FILTER, BLOCK)), (0x2014, 0x2018)),
    ],
    ids=["_except_handler3", "_except_handler4"],
)
def test_own_counts_what_the_except_block_pushes(table: bytes, relocated: tuple[int, ...]) -> None:
    model = CodeModel(image_of(table, relocated), [ENTRY], {})
    assert BLOCK in model.code(ENTRY).leaders
    heights = model.heights(ENTRY)
    assert heights.lowest == -52
    assert heights.esp_before[BEHIND] == -40
    assert heights.findings == {}


def test_without_a_table_there_is_no_way_into_the_block() -> None:
    model = CodeModel(image_of(b"", ()), [ENTRY], {})
    assert BLOCK not in model.code(ENTRY).leaders
    assert model.heights(ENTRY).lowest == -40


def test_finally_blocks_are_no_except_blocks() -> None:
    table = eh3((0xFFFFFFFF, 0, FILTER), (0, FILTER, BLOCK))
    image = image_of(table, (0x2008, 0x2010, 0x2014))
    assert list(except_blocks(image, frozenset(image.relocations), TABLE)) == [BLOCK]


@pytest.mark.parametrize(
    ("table", "relocated"),
    [
        (eh3((0xFFFFFFFF, FILTER, BLOCK)), ()),
        (eh3((0xFFFFFFFF, FILTER, TABLE)), (0x2004, 0x2008)),
        (eh3((1, FILTER, BLOCK)), (0x2004, 0x2008)),
        (b"", ()),
    ],
    ids=[
        "addresses that the loader leaves alone",
        "a handler in data",
        "an enclosing level that comes later",
        "zeros",
    ],
)
def test_other_data_is_no_scope_table(table: bytes, relocated: tuple[int, ...]) -> None:
    image = image_of(table, relocated)
    assert list(except_blocks(image, frozenset(relocated), TABLE)) == []


def test_a_table_ends_at_the_first_record_that_is_none() -> None:
    table = eh3((0xFFFFFFFF, FILTER, BLOCK), (7, FILTER, BLOCK))
    image = image_of(table, (0x2004, 0x2008, 0x2010, 0x2014))
    assert list(except_blocks(image, frozenset(image.relocations), TABLE)) == [BLOCK]
