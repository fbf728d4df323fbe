"""Where a value goes that is put into a register: read off a few lines of code, checked against their text."""

from __future__ import annotations

import pytest
from made_code import function_code

from stackemu.emu.code.register_uses import uses

# Each begins with `mov ecx, 1`; the numbers are those of the instructions that read it.
CASES = {
    "as a source": ("b901000000 89c8 c3", [1]),  # mov eax, ecx; ret
    "as an address": ("b901000000 8b01 c3", [1]),  # mov eax, [ecx]
    "as an index": ("b901000000 8b0488 c3", [1]),  # mov eax, [eax+ecx*4]
    "not when it is written over": ("b901000000 31c9 51 c3", []),  # xor ecx, ecx; push ecx
    "not behind what writes over it": ("b901000000 89cb b902000000 51 c3", [1]),  # mov ebx, ecx; mov ecx, 2; push ecx
    "in part": ("b901000000 88c8 c3", [1]),  # mov al, cl
    "added to": ("b901000000 83c104 51 c3", [1]),  # add ecx, 4; push ecx: another value from there on
    "by what is not known": ("b901000000 f3a4 c3", [1]),  # rep movsb
    "by a call": ("b901000000 ffd0 51 c3", [1]),  # call eax; push ecx: clobbered
    "by a shift": ("b901000000 d3e0 c3", [1]),  # shl eax, cl
    "on both sides of a branch": ("b901000000 7402 51 51 89c8 c3", [2, 3, 4]),  # je +2; push; push; mov eax, ecx
    "not by a return": ("b901000000 c3", []),
}


@pytest.mark.parametrize("name", CASES)
def test_what_reads_a_register(name: str) -> None:
    code, expected = CASES[name]
    function = function_code(bytes.fromhex(code))
    instructions = list(function.instructions.values())
    found = {one.address for one in uses(function, instructions[0], 1)}
    assert found == {instructions[number].address for number in expected}


def test_what_a_function_returns_is_read() -> None:
    # mov eax, 1; ret
    function = function_code(bytes.fromhex("b801000000 c3"))
    definition, back = function.instructions.values()
    assert list(uses(function, definition, 0)) == [back]


def test_a_loop_is_followed_once() -> None:
    # mov ebx, 1; turn: mov eax, ebx; dec edx; jne turn; ret
    function = function_code(bytes.fromhex("bb01000000 89d8 4a 75fb c3"))
    definition, read, *_ = function.instructions.values()
    assert list(uses(function, definition, 3)) == [read]
