"""Unoptimised code: pointers go through registers, and arguments lie in the frame instead of being pushed.

The listings are what clang -O0 and gcc -maccumulate-outgoing-args write, assembled by hand.
"""

from __future__ import annotations

from made_images import code_section, data_section, made_image

from stackemu.emu.code.instruction import EBP
from stackemu.emu.code.model import CodeModel

BASE = 0xA5DE0000
ENTRY = BASE + 0x1000
TABLE = 0x2000


def model_of(code: str, table: tuple[int, ...] = ()) -> CodeModel:
    """Return the model of one function at `ENTRY`; `table` are relocated pointers at `BASE + TABLE`."""
    text = b"".join(bytes.fromhex(line.partition(";")[0]) for line in code.strip().splitlines())
    pointers = b"".join(target.to_bytes(4, "little") for target in table)
    image = made_image(
        (
            code_section(text, 0x1000),
            data_section(pointers, TABLE, writable=False),
        ),
        relocations=tuple(range(TABLE, TABLE + 4 * len(table), 4)),
    )
    return CodeModel(image, [ENTRY], {})


def test_a_switch_jumps_through_a_register() -> None:
    model = model_of(
        """
        8b442404        ; mov eax, [esp + 4]
        83e001          ; and eax, 1
        8b04850020dea5  ; mov eax, [eax * 4 + table]
        ffe0            ; jmp eax
        31c0            ; 1010, the first case: xor eax, eax
        c20400          ; ret 4
        50              ; 1015, the second case: push eax
        58              ; pop eax
        c20400          ; ret 4
        """,
        table=(BASE + 0x1010, BASE + 0x1015),
    )
    code = model.code(ENTRY)
    assert code.successors[BASE + 0x100E] == (BASE + 0x1010, BASE + 0x1015)
    assert code.tail_jumps == []
    assert -model.heights(ENTRY).lowest == 4


def test_a_jump_through_a_register_that_something_else_has_changed_is_no_switch() -> None:
    model = model_of(
        """
        8b04850020dea5  ; mov eax, [eax * 4 + table]
        0500010000      ; add eax, 0x100
        ffe0            ; jmp eax
        """,
        table=(BASE + 0x1000,),
    )
    assert [jump.address for jump in model.code(ENTRY).tail_jumps] == [BASE + 0x100C]


def test_what_is_reserved_again_behind_a_call_is_what_its_callee_popped() -> None:
    model = model_of(
        """
        55      ; push ebp
        89e5    ; mov ebp, esp
        83ec0c  ; sub esp, 12
        ffd0    ; 1006: call eax
        83ec08  ; sub esp, 8
        ffd0    ; 100b: call eax
        83ec08  ; sub esp, 8
        83c40c  ; add esp, 12
        5d      ; pop ebp
        c3      ; ret
        """
    )
    heights = model.heights(ENTRY)
    assert heights.guesses == {BASE + 0x1006: 8, BASE + 0x100B: 8}
    assert heights.restores == {(-4, EBP)}
    assert -heights.lowest == 4 + 12 + 4
