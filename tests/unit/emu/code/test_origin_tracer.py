"""Origins of values: what they say to change turns the branch when the function runs again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from made_images import code_section, data_section, made_image

from stackemu.emu.code.instruction import Decoder, Instruction
from stackemu.emu.code.origin_state import OriginState
from stackemu.emu.code.origin_tracer import Decision, OriginTracer
from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.machine import Machine
from stackemu.emu.processor import KPCR_ADDRESS

BASE = 0xA5DE0000
ENTRY = 0x1000
SOURCE = Input(0, Style.POINTERS, True)


TABLE = BASE + 0x1100
NUMBERS = bytes((0x10, 0x0B, 0x0C, 0x2A, 0x55, 0x66, 0x77, 0x08))
"""What lies at `TABLE`, where nothing writes."""


def _machine(code: bytes) -> Machine:
    text = code_section(code.ljust(0x100, b"\xcc") + NUMBERS, ENTRY)
    image = made_image((text, data_section(bytes(0x1000), 0x2000)), entry=ENTRY)
    return Machine(image, [(BASE + ENTRY, BASE + ENTRY + len(code))], lambda _address: 0)


def _decisions(
    code: bytes,
    source: Input = SOURCE,
    table: tuple[int, ...] = (),
    wanted: Callable[[int, int], bool] = lambda _follower, _other: True,
) -> list[Decision]:
    recording = _machine(code).record(ENTRY, source)
    instructions = {one.address: one for one in Decoder().decode(code, BASE + ENTRY)}

    def at(address: int) -> Instruction | None:
        return instructions.get(address)

    def is_constant(address: int) -> bool:
        return BASE + ENTRY <= address < BASE + 0x2000

    state = OriginState(recording.read, is_constant, recording.steps.registers(0)[4], KPCR_ADDRESS)
    tracer = OriginTracer(at, lambda _address: table, state)
    return list(tracer.decisions(recording.steps, recording.events, wanted))


def _result(code: bytes, source: Input) -> int | None:
    return _machine(code).call(ENTRY, source).result


# Each function returns 1 when its branch is taken the way that the first run does not take it, else 0:
#   <computation>; jcc yes; xor eax, eax; ret; yes: mov eax, 1; ret
_TAIL = b"\x31\xc0\xc3" + b"\xb8\x01\x00\x00\x00\xc3"
COMPUTATIONS = {
    "argument compared with a constant": "8b 44 24 04  3d 03 20 22 00  74 03",
    "memory compared with a constant": "8b 44 24 04  81 78 10 34 12 00 00  74 03",
    "a byte in memory": "8b 44 24 04  80 78 07 5a  74 03",
    "a word, sign-extended": "8b 44 24 04  0f bf 40 02  3d fe ff ff ff  74 03",
    "a flag": "8b 44 24 04  f6 40 06 40  75 03  ",
    "a difference": "8b 44 24 04  8b 40 0c  83 e8 07  83 e8 05  74 03",
    "a masked and shifted field": "8b 44 24 04  8b 40 14  c1 e8 04  83 e0 0f  83 f8 09  74 03",
    "a byte-swapped word": "8b 44 24 04  8b 00  0f c8  3d 78 56 34 12  74 03",
    "a remainder": "8b 44 24 04  8b 00  31 d2  b9 16 00 00 00  f7 f1  83 fa 03  74 03",
    "a condition kept in a register": "8b 44 24 04  81 38 ef be ad de  0f 94 c0  84 c0  75 03",
    "carry spread over a register": "8b 44 24 04  8b 00  f7 d8  19 c0  85 c0  74 03",
    "a value kept on the stack": "8b 44 24 04  ff 30  58  3d 11 22 33 44  74 03",
    "a value kept in a global": "8b 44 24 04  8b 00  a3 00 20 de a5  81 3d 00 20 de a5 44 33 22 11  74 03",
    "the right operand": "8b 44 24 04  b9 78 56 34 12  3b 08  74 03",
    "a signed order": "8b 44 24 04  83 38 00  7f 03",
    "ECX of a fastcall function": "81 f9 67 45 23 01  74 03",
    "memory moved by a string instruction":
        "56 57  8b 74 24 0c  83 ec 04  89 e7  a5  58  5f 5e  3d 0d f0 ad 0b  74 03",
    # mov eax, [esp+4]; mov ecx, [eax]; add ecx, [eax+4]; cmp ecx, 5; je yes
    "two places added": "8b 44 24 04  8b 08  03 48 04  83 f9 05  74 03",
    # mov eax, [esp+4]; mov ecx, [eax]; cmp ecx, [eax+0x20]; je yes
    "memory compared with memory": "8b 44 24 04  8b 08  3b 48 20  74 03",
    # mov eax, [esp+4]; mov ecx, [eax]; lea ecx, [ecx+ecx*4+3]; cmp ecx, 0x7d3; je yes
    "an address computed with lea": "8b 44 24 04  8b 08  8d 4c 89 03  81 f9 d3 07 00 00  74 03",
    # mov eax, [esp+4]; imul ecx, [eax], 0x18; cmp ecx, 0x1e0; je yes
    "a product": "8b 44 24 04  6b 08 18  81 f9 e0 01 00 00  74 03",
    # mov eax, [esp+4]; mov ecx, [eax]; ror ecx, 7; cmp ecx, 0x12345678; je yes
    "a rotation": "8b 44 24 04  8b 08  c1 c9 07  81 f9 78 56 34 12  74 03",
    # mov eax, [esp+4]; mov ax, [eax]; mov ch, al; mov cl, ah; movzx eax, cx; cmp eax, 0x86dd; je yes
    "bytes swapped by way of high registers": "8b 44 24 04  66 8b 00  88 c5  88 e1  0f b7 c1  3d dd 86 00 00  74 03",
    # mov edx, [esp+4]; movzx eax, byte [edx]; shl eax, 8; movzx ecx, byte [edx+1]; or eax, ecx; shr eax, 8;
    # cmp eax, 0x45; je yes
    "bytes put together with shifts": "8b 54 24 04  0f b6 02  c1 e0 08  0f b6 4a 01  09 c8  c1 e8 08  83 f8 45"
        "  74 03",
    # mov edx, [esp+4]; mov eax, [edx]; mov ecx, [edx+4]; shld eax, ecx, 8; and eax, 0xff; cmp eax, 0x77; je yes
    "halves shifted together": "8b 54 24 04  8b 02  8b 4a 04  0f a4 c8 08  25 ff 00 00 00  83 f8 77  74 03",
    # mov edx, [esp+4]; mov eax, [edx]; sar eax, 4; cmp eax, -3; je yes
    "an arithmetic shift": "8b 54 24 04  8b 02  c1 f8 04  83 f8 fd  74 03",
    # mov edx, [esp+4]; mov ecx, [edx]; mov eax, 0x04010020; bt eax, ecx; jc yes
    "a bit of a mask": "8b 54 24 04  8b 0a  b8 20 00 01 04  0f a3 c8  72 03",
    # mov edx, [esp+4]; mov ecx, [edx]; and ecx, 0x1f; mov eax, 1; shl eax, cl; test eax, 0x00408000; jne yes
    "a set of small numbers": "8b 54 24 04  8b 0a  83 e1 1f  b8 01 00 00 00  d3 e0  a9 00 80 40 00  75 03",
    # mov edx, [esp+4]; mov eax, [edx]; bt eax, 3; jc yes
    "a bit tested with bt": "8b 54 24 04  8b 02  0f ba e0 03  72 03",
    # mov edx, [esp+4]; mov eax, 7; mov ecx, 9; cmp dword [edx], 0x51; cmove eax, ecx; cmp eax, 9; je yes
    "a condition chosen with cmov": "8b 54 24 04  b8 07 00 00 00  b9 09 00 00 00  83 3a 51  0f 44 c1  83 f8 09"
        "  74 03",
    # mov edx, [esp+4]; cmp dword [edx], 0x10; sbb eax, eax; and eax, 0x20; jne yes
    "a conditional constant of sbb": "8b 54 24 04  83 3a 10  19 c0  83 e0 20  75 03",
    # mov edx, [esp+4]; mov eax, [edx]; mov ecx, [edx+4]; cmp eax, 0x1000; sbb ecx, 0x12; jb yes
    "a comparison of 64 bits": "8b 54 24 04  8b 02  8b 4a 04  3d 00 10 00 00  83 d9 12  72 03",
    # mov edx, [esp+4]; mov eax, [edx]; sub eax, 0x30; cmp eax, 9; jbe yes
    "a range, by subtraction": "8b 54 24 04  8b 02  83 e8 30  83 f8 09  76 03",
    # mov edx, [esp+4]; mov eax, [edx]; sub eax, 0x222003; dec eax; dec eax; je yes
    "a chain of decrements": "8b 54 24 04  8b 02  2d 03 20 22 00  48  48  74 03",
    # mov edx, [esp+4]; movzx eax, byte [edx]; and eax, 7; movzx eax, byte [eax+0xA5DE1100]; cmp eax, 0x2a; je yes
    "an entry of a constant table": "8b 54 24 04  0f b6 02  83 e0 07  0f b6 80 00 11 de a5  83 f8 2a  74 03",
    # mov edx, [esp+4]; cmp dword [edx+8], 0; je yes
    "a null pointer": "8b 54 24 04  83 7a 08 00  74 03",
    # mov edx, [esp+4]; mov eax, [edx]; add eax, 0x10; jc yes
    "a sum that overflows": "8b 54 24 04  8b 02  83 c0 10  72 03",
    # mov edx, [esp+4]; mov eax, [edx]; neg eax; jae yes
    "what neg says of zero": "8b 54 24 04  8b 02  f7 d8  73 03",
    # push esi; push edi; mov esi, [esp+12]; mov edi, 0xA5DE1100; mov ecx, 1; repe cmpsd; pop edi; pop esi; je yes
    "a string compared": "56  57  8b 74 24 0c  bf 00 11 de a5  b9 01 00 00 00  f3 a7  5f  5e  74 03",
    # push edi; mov edi, [esp+8]; mov al, 0x2f; mov ecx, 1; repne scasb; pop edi; je yes
    "a character looked for": "57  8b 7c 24 08  b0 2f  b9 01 00 00 00  f2 ae  5f  74 03",
    # mov edx, [esp+4]; sub esp, 4; mov eax, [edx]; mov [esp+3], al; mov [esp+2], ah; shr eax, 16; mov [esp+1], al;
    # mov [esp], ah; pop eax; cmp eax, 0x01020304; je yes
    "a value stored byte by byte":
        "8b 54 24 04  83 ec 04  8b 02  88 44 24 03  88 64 24 02  c1 e8 10  88 44 24 01  88 24 24"
        "  58  3d 04 03 02 01  74 03",
    # mov edx, [esp+4]; mov eax, 1; xchg [edx], eax; cmp eax, 0x99; je yes
    "an exchange": "8b 54 24 04  b8 01 00 00 00  87 02  3d 99 00 00 00  74 03",
    # mov eax, [esp+4]; mov ecx, [eax]; and ecx, 0x40; cmp ecx, 0; jne yes
    "a mask compared with zero": "8b 44 24 04  8b 08  83 e1 40  83 f9 00  75 03",
    # mov eax, [esp+4]; movsx ecx, word [eax+6]; mov word [eax+6], 0x40; and ecx, 0x40; cmp ecx, 0; jne yes
    "a word, sign-extended, that is overwritten later":
        "8b 44 24 04  0f bf 48 06  66 c7 40 06 40 00  83 e1 40  83 f9 00  75 03",
    # mov edx, [esp+4]; mov ecx, 1; add ecx, [edx]; mov dword [edx], 5; cmp ecx, 0x1234; je yes
    "a sum with memory that is overwritten later":
        "8b 54 24 04  b9 01 00 00 00  03 0a  c7 02 05 00 00 00  81 f9 34 12 00 00  74 03",
    # mov edx, [esp+4]; mov ecx, [edx]; jecxz yes
    "jecxz": "8b 54 24 04  8b 0a  e3 03",
}  # fmt: skip


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_what_a_decision_names_turns_its_branch(name: str) -> None:
    code = bytes.fromhex(COMPUTATIONS[name]) + _TAIL
    assert _result(code, SOURCE) == 0
    (decision,) = _decisions(code)
    assert decision.origins
    for origin, value in decision.origins:
        if origin.kind == "memory":
            change = Override(Place.MEMORY, origin.key, value, origin.size)
        else:
            change = Override(Place.ARGUMENT, {1: 16, 2: 17}[origin.key], value)
        assert _result(code, SOURCE.with_override(change)) == 1, (origin, hex(value))


def test_the_first_way_is_one_that_still_comes_to_the_branch() -> None:
    # mov eax, [esp+4]; mov eax, [eax]; cmp eax, 0x86100000; ja no; cmp eax, 0x100; jb yes; no: 0; yes: 1
    code = bytes.fromhex("8b 44 24 04  8b 00  3d 00 00 10 86  77 07  3d 00 01 00 00  72 03") + _TAIL
    below = next(one for one in _decisions(code) if one.target == BASE + ENTRY + 0x17)
    assert below.origins[0][1] <= 0x100


def test_a_branch_on_what_nothing_decides_names_no_place() -> None:
    # mov eax, [esp+4]; mov eax, [eax]; xor eax, eax; test eax, eax; jne yes
    code = bytes.fromhex("8b 44 24 04  8b 00  31 c0  85 c0  75 03") + _TAIL
    (decision,) = _decisions(code)
    assert decision.origins == ()


def test_only_what_is_wanted_is_looked_into() -> None:
    code = bytes.fromhex(COMPUTATIONS["a flag"]) + _TAIL
    assert _decisions(code, wanted=lambda _follower, _other: False) == []


def test_a_jump_table_names_the_index_of_every_other_entry() -> None:
    # mov eax, [esp+4]; mov eax, [eax]; and eax, 3; jmp [eax*4 + BASE+0x1020]; three targets
    targets = tuple(BASE + ENTRY + offset for offset in (0x30, 0x32, 0x34, 0x36))
    code = bytes.fromhex("8b 44 24 04  8b 00  83 e0 03  ff 24 85") + (BASE + ENTRY + 0x20).to_bytes(4, "little")
    code = code.ljust(0x20, b"\xcc") + b"".join(target.to_bytes(4, "little") for target in targets)
    code += b"\x31\xc0\xc3".ljust(2, b"\xcc")[:2] + b"\x90\xc3" * 3 + b"\xc3"
    zero = SOURCE.with_override(Override(Place.MEMORY, 0x86000100, 0))
    decisions = _decisions(code, zero, targets)
    assert {decision.target for decision in decisions} == set(targets[1:])
    assert [value & 3 for decision in decisions for _, value in decision.origins] == [1, 2, 3]


def test_nothing_behind_the_last_transfer_that_is_wanted_is_followed() -> None:
    # cmp dword [esp+4], 7; jne +2; nop; nop; mov ecx, 1000; turn: dec ecx; jnz turn; ret
    code = bytes.fromhex("837c240407 7502 90 90 b9e8030000 49 75fd c3")
    branch_goes_to = BASE + ENTRY + 7
    recording = _machine(code).record(ENTRY, SOURCE)
    instructions = {one.address: one for one in Decoder().decode(code, BASE + ENTRY)}
    followed: list[int] = []

    class Counting(OriginState):
        def step(self, registers: Sequence[int]) -> None:
            followed.append(registers[4])
            super().step(registers)

    state = Counting(recording.read, lambda _address: False, recording.steps.registers(0)[4], KPCR_ADDRESS)
    tracer = OriginTracer(instructions.get, lambda _address: (), state)
    found = list(tracer.decisions(recording.steps, recording.events, lambda _from, to: to == branch_goes_to))
    assert [one.target for one in found] == [branch_goes_to]
    assert len(recording.steps) > 2000
    assert len(followed) == 2
