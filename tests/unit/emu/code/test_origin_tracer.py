"""Origins of values: what they say to change turns the branch when the function runs again."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackemu.emu.code.instruction import Decoder, Instruction
from stackemu.emu.code.origin_tracer import Decision, OriginTracer
from stackemu.emu.image import Image, Section
from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.machine import Machine
from stackemu.emu.processor import KPCR_ADDRESS

BASE = 0xA5DE0000
ENTRY = 0x1000
SOURCE = Input(0, Style.POINTERS, True)


def _machine(code: bytes) -> Machine:
    text = Section(".text", ENTRY, code.ljust(0x1000, b"\xcc"), False, True, False)
    data = Section(".data", 0x2000, bytes(0x1000), True, False, False)
    image = Image(
        path=Path("sample.sys"),
        sha256="",
        machine="x86",
        base=BASE,
        size=0x3000,
        entry=ENTRY,
        headers=b"",
        sections=(text, data),
        imports=(),
        exports=(),
        debug_id=None,
        relocations=(),
        guard_functions=(),
        security_cookie=None,
    )
    return Machine(image, [(BASE + ENTRY, BASE + ENTRY + len(code))], lambda _address: 0)


def _decisions(code: bytes, source: Input = SOURCE, table: tuple[int, ...] = ()) -> list[Decision]:
    recording = _machine(code).record(ENTRY, source)
    instructions = {one.address: one for one in Decoder().decode(code, BASE + ENTRY)}

    def at(address: int) -> Instruction | None:
        return instructions.get(address)

    tracer = OriginTracer(at, lambda _address: table, recording.read, recording.steps[0][1][4], KPCR_ADDRESS)
    return list(tracer.decisions(recording.steps, recording.events))


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


def test_a_value_that_depends_on_two_places_is_not_followed() -> None:
    # mov eax, [esp+4]; mov ecx, [eax]; add ecx, [eax+4]; cmp ecx, 5; je
    code = bytes.fromhex("8b 44 24 04  8b 08  03 48 04  83 f9 05  74 03") + _TAIL
    (decision,) = _decisions(code)
    assert decision.origins == ()


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
