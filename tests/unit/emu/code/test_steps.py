"""Steps are read out of what a recorder keeps: an address and eight registers for each instruction."""

from __future__ import annotations

import struct

from stackemu.emu.code.steps import STEP_SIZE, Steps

FIRST = (0xA5DE1000, 1, 2, 3, 4, 0xF8A12F00, 6, 7, 0xFFFFFFFF)
SECOND = (0xA5DE1003, 11, 12, 13, 14, 0xF8A12EFC, 16, 17, 18)


def test_every_instruction_has_its_address_and_registers() -> None:
    data = struct.pack("<18I", *FIRST, *SECOND)
    steps = Steps(data)
    assert len(data) == 2 * STEP_SIZE
    assert len(steps) == 2
    assert list(steps.addresses) == [FIRST[0], SECOND[0]]
    assert tuple(steps.registers(0)) == FIRST[1:]
    assert tuple(steps.registers(1)) == SECOND[1:]
    assert list(steps.stack_pointers) == [FIRST[5], SECOND[5]]


def test_a_run_of_nothing_has_no_steps() -> None:
    assert len(Steps(b"")) == 0
    assert list(Steps(b"").stack_pointers) == []
