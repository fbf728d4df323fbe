"""A repetition notices what the tape has wrong: ESP, the way taken, memory, and the depth."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from stackemu.emu.observation import Observation, Outcome
from stackemu.emu.tape import Segment, Tape
from stackemu.harness.native.comparison import Result, compare

CODE, STACK = 0xA5DE1000, 0xF8A12000
ESP = STACK + 0x800
# push eax; mov ecx, 3; rep stosb (to EDI, which is EAX); pop eax; ret
PROGRAM = bytes.fromhex("50 b9 03 00 00 00 f3 aa 58 c3")
RETURN = 0x80500000
EIPS = (0, 1, 6, 8, 9)
ESPS = (ESP, ESP - 4, ESP - 4, ESP - 4, ESP)


def steps_of(eips: tuple[int, ...], esps: tuple[int, ...]) -> array[int]:
    return array("I", [word for eip, esp in zip(eips, esps, strict=True) for word in (CODE + eip, esp)])


def tape(code: bytes = PROGRAM, eips: tuple[int, ...] = EIPS, esps: tuple[int, ...] = ESPS, depth: int = 4) -> Tape:
    stack = bytearray(0x1000)
    stack[0x800:0x804] = RETURN.to_bytes(4, "little")
    # EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI
    registers = (0, 0, 0, 0, ESP, 0, 0, STACK)
    return Tape(
        observation=Observation(Outcome.RETURNED, None, depth, depth, (), 5, (), 0, (), (), exact=True),
        memory={CODE: code.ljust(0x1000, b"\xcc"), STACK: bytes(stack)},
        segments=[Segment((), registers, CODE, 0x202, steps_of(eips, esps), (RETURN, ESP + 4))],
        entry_esp=ESP,
        fs_base=0xFFDFF000,
        is_whole=True,
    )


@pytest.fixture(autouse=True)
def _needs_a_native_host(native_host: None) -> None:
    """Skip where the host cannot run 32-bit code."""


def test_a_true_tape_agrees() -> None:
    found = compare(tape())
    assert (found.result, found.why, found.depth) == (Result.AGREES, None, 4)
    assert found.instructions == 5


def test_a_repeated_string_instruction_counts_once_however_the_emulator_counts() -> None:
    eips, esps = (0, 1, 6, 6, 6, 8, 9), (ESP, *(ESP - 4,) * 5, ESP)
    assert compare(tape(eips=eips, esps=esps)).result is Result.AGREES


def test_a_string_instruction_that_the_emulator_stopped_in_has_all_its_iterations() -> None:
    # push eax; mov ecx, 2; rep stosb; pop eax; cmp byte [STACK], 1; jne past the return; ret
    program = bytes.fromhex("50 b9 02 00 00 00 f3 aa 58 80 3d 00 20 a1 f8 01 75 01 c3 cc")
    whole = tape(program)
    first, last = (ESP, ESP - 4, ESP - 4), (ESP - 4, ESP - 4, ESP - 4, ESP, ESP)
    registers = (1, 2, 0, 0, ESP, 0, 0, STACK)
    later = (1, 1, 0, 0, ESP - 4, 0, 0, STACK + 1)
    cut = [
        Segment((), registers, CODE, 0x202, steps_of((0, 1, 6), first), (CODE + 6, ESP - 4)),
        Segment((), later, CODE + 6, 0x202, steps_of((6, 6, 8, 9, 16), last), (CODE + 18, ESP)),
    ]
    assert compare(replace(whole, segments=cut)).result is Result.AGREES
    # Without the first iteration the comparison in the code takes the other way.
    skipped = [replace(cut[0], steps=steps_of((0, 1), first[:2])), cut[1]]
    assert compare(replace(whole, segments=skipped)).result is Result.DIFFERS


def test_a_stack_pointer_that_is_wrong_is_found() -> None:
    found = compare(tape(esps=(ESP, ESP - 8, ESP - 8, ESP - 8, ESP)))
    assert found.result is Result.DIFFERS
    assert found.why is not None
    assert f"ESP {ESP - 4:#010x}" in found.why
    assert found.instructions == 0


def test_another_way_is_found() -> None:
    found = compare(tape(eips=(0, 1, 6, 9, 9)))
    assert found.result is Result.DIFFERS


def test_a_low_water_mark_that_the_history_does_not_bear_out_is_found() -> None:
    found = compare(tape(depth=8))
    assert (found.result, found.why) == (Result.DIFFERS, "the processor's low-water mark is 4, the emulator's 8")


def test_what_the_kernel_wrote_is_there_when_the_code_goes_on() -> None:
    first, *_ = tape().segments
    changed = replace(tape(b"\x90" * 10), segments=[replace(first, writes=((CODE, PROGRAM),))])
    assert compare(changed).result is Result.AGREES


@pytest.mark.parametrize(("code", "name"), [("fa", "cli"), ("0f 32", "rdmsr"), ("e4 60", "in"), ("0f 31", "rdtsc")])
def test_what_a_process_must_not_do_ends_the_repetition_without_blame(code: str, name: str) -> None:
    program = bytes.fromhex("50") + bytes.fromhex(code)
    end = len(program)
    found = compare(tape(program, eips=(0, 1, end), esps=(ESP, ESP - 4, ESP - 4)))
    assert found.result is Result.IMPOSSIBLE
    assert found.why == f"`{name}` at {CODE + 1:#010x} is not for a process"
    assert found.instructions == 1


def test_a_fault_that_the_emulator_did_not_have_is_a_difference() -> None:
    # push eax; mov eax, [0x1000]
    found = compare(tape(bytes.fromhex("50 a1 00 10 00 00"), eips=(0, 1, 6), esps=(ESP, ESP - 4, ESP - 4)))
    assert found.result is Result.DIFFERS
    assert found.why == f"the processor refuses `mov` at {CODE + 1:#010x}, touching 0x00001000"


def test_pages_that_linux_keeps_are_left_out_and_named() -> None:
    # mov eax, [0xffffe010]
    program = bytes.fromhex("a1 10 e0 ff ff")
    base = tape(program, eips=(0, 5), esps=(ESP, ESP))
    found = compare(replace(base, memory={**base.memory, 0xFFFFE000: bytes(0x1000)}))
    assert found.result is Result.IMPOSSIBLE
    assert found.why == f"0xffffe010, which Linux keeps, is touched at {CODE:#010x}"
