"""Memory, segments and registers of a native process."""

from __future__ import annotations

import pytest

from stackemu.harness.native.errors import NativeError, UnmappedError
from stackemu.harness.native.process import DEFAULT_GATE, NativeProcess
from stackemu.harness.native.registers import Registers
from stackemu.harness.native.stops import Stepped

PAGES = [0x10000, 0x80010000, 0xA5DEE000, 0xFFDF0000, 0xFFDFF000, 0xFFFFD000]


def mappings(process: NativeProcess) -> list[tuple[int, int]]:
    with open(f"/proc/{process.pid}/maps", encoding="ascii") as maps:
        ranges = [line.split()[0].split("-") for line in maps]
    return [(int(first, 16), int(behind, 16)) for first, behind in ranges]


def test_a_new_process_has_nothing_but_its_own_page(native_host):
    with NativeProcess() as process:
        assert mappings(process) == [(DEFAULT_GATE, DEFAULT_GATE + 0x1000)]


def test_a_confined_process_has_nothing_but_what_was_mapped(native_host):
    with NativeProcess() as process:
        for address in PAGES:
            process.map(address, 0x1000)
        process.confine()

        assert mappings(process) == [(address, address + 0x1000) for address in PAGES]


def test_its_own_page_lies_where_it_is_told(native_host):
    with NativeProcess(gate_address=0x20000000) as process:
        process.map(DEFAULT_GATE, 0x1000)

        assert mappings(process) == [(0x20000000, 0x20001000), (DEFAULT_GATE, DEFAULT_GATE + 0x1000)]


@pytest.mark.parametrize("address", [DEFAULT_GATE, DEFAULT_GATE - 0x1000])
def test_its_own_page_is_not_mapped_over(native_host, address):
    with NativeProcess() as process, pytest.raises(NativeError, match="gate_address"):
        process.map(address, 0x2000)


@pytest.mark.parametrize(
    ("address", "size"), [(0x10001, 0x1000), (0x10000, 0xFFF), (0x10000, 0), (0xFFFFE000, 0x1000), (-0x1000, 0x1000)]
)
def test_only_whole_pages_of_32_bit_user_memory_are_mapped(native_host, address, size):
    with NativeProcess() as process, pytest.raises(ValueError, match="whole pages"):
        process.map(address, size)


def test_what_linux_refuses_to_map_is_told(native_host):
    with NativeProcess(memory=1 << 20) as process, pytest.raises(NativeError, match="Cannot allocate memory"):
        process.map(0x80000000, 1 << 24)


def test_nothing_is_mapped_after_confinement(bench):
    with pytest.raises(NativeError, match="confined already"):
        bench.process.map(0x10000, 0x1000)


def test_memory_begins_as_zero_and_keeps_what_is_written(bench):
    process = bench.process
    assert process.read(bench.stack, 0x1000) == bytes(0x1000)

    process.write(bench.stack + 0xFFE, b"ab")

    assert process.read(bench.stack + 0xFFD, 3) == b"\0ab"


@pytest.mark.parametrize("offset", [0xFFE, 0x1000])
def test_memory_that_is_not_there_is_told(bench, offset):
    with pytest.raises(UnmappedError, match="0xa5def000"):
        bench.process.read(bench.stack + offset, 4)
    with pytest.raises(UnmappedError, match="0xa5def000"):
        bench.process.write(bench.stack + offset, bytes(4))


def test_fs_reaches_the_kpcr(bench):
    """As code with structured exception handling does: put a record in front of the list that begins at FS:[0]."""
    process = bench.prepare("""
        64 ff 35 00000000 | push dword ptr fs:[0]
        64 89 25 00000000 | mov dword ptr fs:[0], esp
        64 a1 24010000    | mov eax, dword ptr fs:[0x124]
    """)
    process.write(bench.kpcr, b"\xff\xff\xff\xff")
    process.write(bench.kpcr + 0x124, (0x80553740).to_bytes(4, "little"))

    process.run_steps(3)

    assert process.read(bench.entry - 4, 4) == b"\xff\xff\xff\xff"
    assert int.from_bytes(process.read(bench.kpcr, 4), "little") == bench.entry - 4
    assert process.registers.eax == 0x80553740


def test_registers_are_kept_and_told(bench):
    given = Registers(1, 2, 3, 4, 5, 6, 7, 0xFFFFFFF8, 0x80010009, 0xAD7)  # all arithmetic flags, DF... and IF

    bench.process.registers = given

    told = bench.process.registers
    assert told == given


def test_the_direction_flag_reaches_the_code(bench):
    process = bench.prepare("ab | stosd dword ptr es:[edi], eax", edi=bench.stack + 8, eflags=0x402)

    process.step()

    assert process.registers.edi == bench.stack + 4


def test_a_run_in_64_bit_mode_leaves_nothing_to_the_next(bench):
    """Code can leave 32-bit mode through Linux's 64-bit code segment; setting registers brings it back."""
    process = bench.prepare("""
        ea 07000180 3300 | ljmp 0x33:0x80010007
        50               | push eax
    """)
    process.run_steps(2)
    assert process.registers.esp == bench.entry - 8

    bench.prepare("50 | push eax")

    assert process.step() == Stepped(bench.code + 1, bench.entry - 4)


def test_floating_point_registers_are_brought_back(bench):
    process = bench.prepare(
        """
        66 0f 6e c1    | movd xmm0, ecx
        68 7f020000    | push 0x27f
        d9 2c 24       | fldcw word ptr [esp]
        d9 e8          | fld1
        68 801f0100    | push 0x11f80
        """,
        ecx=5,
    )
    process.run_steps(5)

    process.reset_floating_point()

    bench.prepare("""
        d9 3c 24    | fnstcw word ptr [esp]
        df e0       | fnstsw ax
        66 0f 7e c1 | movd ecx, xmm0
        0f ae 5c 24 04 | stmxcsr dword ptr [esp + 4]
    """)
    assert process.run_steps(4).steps == 4
    # FNINIT's control and status words, MXCSR after reset: Intel SDM volume 1, 8.1.5 and 10.2.3.
    assert process.read(bench.entry, 2) == (0x037F).to_bytes(2, "little")
    assert process.registers.eax & 0xFFFF == 0
    assert process.registers.ecx == 0
    assert process.read(bench.entry + 4, 4) == (0x1F80).to_bytes(4, "little")
