"""Random functions: watching blocks gives the figures that watching every instruction gives."""

from __future__ import annotations

import random
import struct

import pytest
from made_images import code_section, made_image

from stackemu.emu.engine import Mode
from stackemu.emu.inputs import Input, Style
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Observation, Outcome

BASE = 0xA5DE0000
SLOT = 0x200
"""Bytes between functions."""
PROGRAMS = 500
BUDGET = 3000

# Pieces that leave ESP where it was, or move it by what stands beside them.
BALANCED = (
    "50 58",  # push eax; pop eax
    "6a 05 59",  # push 5; pop ecx
    "60 61",  # pushad; popad
    "9c 9d",  # pushfd; popfd
    "66 50 66 58",  # push ax; pop ax
    "54 5c",  # push esp; pop esp
    "94 94",  # xchg eax, esp, twice
    "c8 10 00 00 c9",  # enter 16, 0; leave
    "8d 64 24 c0 8d 64 24 40",  # lea esp, [esp-64]; lea esp, [esp+64]
    "e8 00 00 00 00 58",  # call next; pop eax
    "a8 01 74 02 50 58",  # test al, 1; je +2; push eax; pop eax
    "b9 03 00 00 00 49 75 fd",  # mov ecx, 3; dec ecx; jne
    "b9 05 00 00 00 89 e7 83 ef 40 f3 ab",  # rep stosd below the stack
    "81 ec 00 30 00 00 81 c4 00 30 00 00",  # sub esp, 0x3000; add esp, 0x3000
)
UNBALANCED = (
    "50",
    "58",
    "83 ec 40",
    "83 c4 08",
    "83 e4 f0",  # and esp, -16
    "29 cc",  # sub esp, ecx
    "81 ec 01 00 00 80",
    "e8 00 00 00 00",
)


def _function(generator: random.Random, number: int, count: int) -> bytes:
    """Return a function that calls others, later ones mostly, so that most programs end."""
    has_frame = generator.random() < 0.5
    code = bytearray(bytes.fromhex("55 89 e5 83 ec 20") if has_frame else b"")
    for _ in range(generator.randint(1, 14)):
        choice = generator.random()
        if choice < 0.55:
            code += bytes.fromhex(generator.choice(BALANCED))
        elif choice < 0.65:
            code += bytes.fromhex(generator.choice(UNBALANCED))
        else:
            target = generator.randrange(count)
            if target > number or generator.random() < 0.1:
                opcode = b"\xe9" if generator.random() < 0.1 else b"\xe8"
                code += opcode + struct.pack("<i", (target - number) * SLOT - len(code) - 5)
    code += bytes.fromhex("c9" if has_frame else "") + bytes.fromhex(generator.choice(["c3", "c2 04 00", "c2 08 00"]))
    return bytes(code).ljust(SLOT, b"\xcc")


def _machine(code: bytes, count: int, mode: Mode) -> Machine:
    text = code_section(code, 0x1000)
    image = made_image((text,))
    starts = [BASE + 0x1000 + SLOT * number for number in range(count)]
    return Machine(image, [(start, start + SLOT) for start in starts], lambda _at: 0, mode)


def _figures(observation: Observation) -> tuple[object, ...]:
    return (
        observation.outcome,
        observation.why,
        observation.own,
        observation.depth,
        observation.chain,
        observation.popped,
        observation.clobbered,
        set(observation.blocks),
    )


@pytest.mark.parametrize("part", range(5))
def test_both_modes_give_the_same_figures(part: int) -> None:
    endings = set()
    for seed in range(part, PROGRAMS, 5):
        generator = random.Random(seed)
        count = generator.randint(1, 5)
        code = b"".join(_function(generator, number, count) for number in range(count))
        source = Input(seed, generator.choice(list(Style)), None)
        alignment = generator.choice((0, 4, 8, 12))
        watched, stepped = (
            _machine(code, count, mode).call(0x1000, source, alignment=alignment, budget=BUDGET)
            for mode in (Mode.BLOCKS, Mode.STEPS)
        )
        endings.add(watched.outcome)
        assert _figures(watched) == _figures(stepped), f"program {seed}"
    assert Outcome.RETURNED in endings
    assert len(endings) >= 3
