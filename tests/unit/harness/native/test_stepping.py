"""The stack pointer as the processor moves it: histories worked out by hand from the instruction set manual."""

from __future__ import annotations

import signal

import pytest

from stackemu.harness.native.errors import NativeError
from stackemu.harness.native.process import NativeProcess
from stackemu.harness.native.stepping import Halt
from stackemu.harness.native.stops import Signal, Stepped, SystemCall

PUSHES = """
    50          | push eax
    6a ff       | push -1
    68 78563412 | push 0x12345678
    66 50       | push ax
    66 59       | pop cx
    5a          | pop edx
    83 c4 08    | add esp, 8
    cc          | int3
"""
CALL = """
    6a 01       | push 1
    6a 02       | push 2
    e8 01000000 | call 0x8001000a
    cc          | int3
    55          | push ebp
    89 e5       | mov ebp, esp
    83 ec 40    | sub esp, 0x40
    c9          | leave
    c2 0800     | ret 8
"""
REALIGNED = """
    55          | push ebp
    89 e5       | mov ebp, esp
    83 e4 f0    | and esp, 0xfffffff0
    b8 64000000 | mov eax, 0x64
    29 c4       | sub esp, eax
    89 ec       | mov esp, ebp
    5d          | pop ebp
    cc          | int3
"""
ENTER = """
    c8 1000 00  | enter 0x10, 0
    c9          | leave
    89 e5       | mov ebp, esp
    c8 0800 02  | enter 8, 2
    c9          | leave
    cc          | int3
"""
ALL_REGISTERS = """
    60          | pushal
    66 60       | pushaw
    66 61       | popaw
    61          | popal
    9c          | pushfd
    9d          | popfd
    cc          | int3
"""
EXCHANGED = """
    94          | xchg esp, eax
    50          | push eax
    58          | pop eax
    94          | xchg esp, eax
    cc          | int3
"""
BREAKPOINT = Signal(signal.SIGTRAP, 0x80, None)  # si_code SI_KERNEL


@pytest.mark.parametrize(
    ("code", "heights"),
    [
        pytest.param(PUSHES, [4, 8, 12, 14, 12, 8, 0], id="a 16-bit push takes 2 bytes, an immediate always 4"),
        pytest.param(CALL, [4, 8, 12, 16, 16, 80, 12, 0], id="ret 8 takes two arguments away"),
        # The entry is 12 past a multiple of 16, so that push ebp leaves 8 past it and the mask costs 8.
        pytest.param(REALIGNED, [4, 4, 12, 12, 112, 4, 0], id="realigning costs what the entry makes it cost"),
        # Level 2: push ebp, push [ebp-4], push the new frame pointer, then 8 bytes.
        pytest.param(ENTER, [20, 0, 0, 20, 0], id="enter copies frame pointers at a nesting level"),
        pytest.param(ALL_REGISTERS, [32, 48, 32, 0, 4, 0], id="pushal takes 32 bytes, pushaw 16"),
    ],
)
def test_instructions_move_the_stack_pointer_as_the_manual_says(bench, code, heights):
    run = bench.prepare(code).run_steps(100)

    assert bench.heights(run) == heights
    assert run.ended == BREAKPOINT
    assert run.steps == len(heights)


def test_the_stack_pointer_may_come_from_a_register(bench):
    run = bench.prepare(EXCHANGED, eax=bench.entry - 0x100).run_steps(100)

    assert bench.heights(run) == [0x100, 0x104, 0x100, 0]


def test_instruction_pointers_are_those_after_each_step(bench):
    run = bench.prepare(CALL).run_steps(100)

    offsets = [eip - bench.code for eip in run.eip]
    assert offsets == [2, 4, 0xA, 0xB, 0xD, 0x10, 0x11, 9]


def test_a_run_stops_when_it_arrives_at_an_address(bench):
    inside = bench.code + 0x10

    run = bench.prepare(CALL).run_steps(100, {inside})

    assert run.ended is Halt.ADDRESS
    assert (run.eip[-1], bench.heights(run)[-1]) == (inside, 80)


def test_a_run_goes_on_where_the_last_one_stopped(bench):
    process = bench.prepare(CALL)

    first, second = process.run_steps(5), process.run_steps(100)

    assert first.ended is Halt.LIMIT
    assert bench.heights(first) + bench.heights(second) == [4, 8, 12, 16, 16, 80, 12, 0]


def test_one_step_tells_where_it_led(bench):
    process = bench.prepare(PUSHES)

    assert process.step() == Stepped(bench.code + 1, bench.entry - 4)
    assert process.step() == Stepped(bench.code + 3, bench.entry - 8)


def test_a_string_instruction_steps_once_an_iteration(bench):
    code = """
        f3 a4 | rep movsb byte ptr es:[edi], byte ptr [esi]
        50    | push eax
        cc    | int3
    """
    addresses = {"esi": bench.code, "edi": bench.stack}

    every = bench.prepare(code, ecx=5, **addresses).run_steps(100)
    collapsed = bench.prepare(code, ecx=5, **addresses).run_steps(100, collapse=True)

    # Five iterations, of which the last goes on to the push.
    assert [eip - bench.code for eip in every.eip] == [0, 0, 0, 0, 2, 3]
    assert [eip - bench.code for eip in collapsed.eip] == [2, 3]
    assert bench.heights(collapsed) == [0, 4]
    assert every.steps == collapsed.steps == 6
    assert bench.process.read(bench.stack, 5) == bytes.fromhex("f3a450cc00")


def test_pop_ss_is_one_step_with_the_instruction_behind_it(bench):
    code = """
        16 | push ss
        17 | pop ss
        50 | push eax
        cc | int3
    """
    assert bench.heights(bench.prepare(code).run_steps(100)) == [4, 4]


def test_ten_thousand_steps_are_ten_thousand_pairs(bench):
    code = """
        50    | push eax
        59    | pop ecx
        eb fc | jmp 0x80010000
    """
    run = bench.prepare(code).run_steps(10_000)

    assert bench.heights(run) == ([4, 0, 0] * 3334)[:10_000]
    assert run.ended is Halt.LIMIT


def test_the_same_code_from_the_same_state_gives_the_same_run(bench):
    runs = [bench.prepare(REALIGNED, ebp=7).run_steps(100) for _ in range(2)]

    assert runs[0] == runs[1]


FAULTS = {
    "a read of no memory": ("a1 00100090 | mov eax, dword ptr [0x90001000]", Signal(signal.SIGSEGV, 1, 0x90001000)),
    "a read of Linux's own part": ("a1 00f0ffff | mov eax, dword ptr [0xfffff000]", (signal.SIGSEGV, 0xFFFFF000)),
    "a privileged instruction": ("fa | cli", Signal(signal.SIGSEGV, 0x80, None)),
    "a port": ("ec | in al, dx", Signal(signal.SIGSEGV, 0x80, None)),
    "the time stamp counter": ("0f 31 | rdtsc", Signal(signal.SIGSEGV, 0x80, None)),
    "a Windows system call": ("cd 2e | int 0x2e", Signal(signal.SIGSEGV, 0x80, None)),
    "an undefined instruction": ("0f 0b | ud2", Signal(signal.SIGILL, 2, 0x80010000)),  # ILL_ILLOPN
    "a division by zero": ("f7 f1 | div ecx", Signal(signal.SIGFPE, 1, 0x80010000)),  # FPE_INTDIV
    "int1": ("f1 | int1", Signal(signal.SIGTRAP, 1, None)),  # TRAP_BRKPT
    "int3": ("cc | int3", BREAKPOINT),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_the_processor_refuses_is_told_and_no_step(bench, name):
    line, expected = FAULTS[name]

    run = bench.prepare(line).run_steps(1)

    assert isinstance(run.ended, Signal)
    if isinstance(expected, Signal):
        assert run.ended == expected
        assert run.steps == 0
    else:
        assert (run.ended.number, run.ended.address) == expected


def test_a_faulting_push_leaves_the_stack_pointer(bench):
    process = bench.prepare("50 | push eax", esp=bench.stack)

    assert process.step() == Signal(signal.SIGSEGV, 1, bench.stack - 4)  # SEGV_MAPERR
    assert process.registers.esp == bench.stack
    assert process.registers.eip == bench.code


def test_a_call_to_no_memory_is_a_step_and_then_a_fault(bench):
    run = bench.prepare("ff d0 | call eax", eax=0x1234).run_steps(100)

    assert bench.heights(run) == [4]
    assert run.ended == Signal(signal.SIGSEGV, 1, 0x1234)  # SEGV_MAPERR


def test_a_run_goes_on_behind_a_fault_when_told_to(bench):
    process = bench.prepare("fa | cli\n50 | push eax")
    process.step()

    bench.prepare("fa | cli\n50 | push eax", eip=bench.code + 1)

    assert process.step() == Stepped(bench.code + 2, bench.entry - 4)


def test_a_system_call_is_reported_with_its_number(bench):
    code = """
        b8 14000000 | mov eax, 0x14
        cd 80       | int 0x80
        50          | push eax
    """
    process = bench.prepare(code)

    run = process.run_steps(100)

    assert (run.steps, run.ended) == (1, SystemCall(20))
    assert process.registers.eip == bench.code + 7
    assert process.registers.eax == 2**32 - 38  # -ENOSYS
    assert process.step() == Stepped(bench.code + 8, bench.entry - 4)


def test_code_runs_only_confined(native_host):
    with NativeProcess() as process, pytest.raises(NativeError, match="confine"):
        process.step()
