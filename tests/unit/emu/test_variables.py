"""Variables that the kernel exports: an import of one is memory, which holds what the documentation says.

Numbers are those of wdm.h, ntifs.h and winnt.h, and of the system that is emulated: Windows 7 SP1 on x86, an hour
old, with 64 clock interrupts a second.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest
from made_images import code_section, data_section, made_image

from stackemu.emu.image import Import
from stackemu.emu.inputs import Input, Style
from stackemu.emu.kernel.exports import find_api
from stackemu.emu.kernel.function_pointers import exported_function
from stackemu.emu.kernel.variables import initial_pointer, kernel_regions, variable_address
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Observation, Outcome

BASE, SLOT = 0xA5DE0000, 0x2000
SOURCE = Input(0, Style.ZEROS, True)
LOAD = "a1 00 20 de a5"  # mov eax, [SLOT]
READ = f"{LOAD} 8b 00 c3"  # mov eax, [eax]; ret


def _machine(name: str, code: str) -> Machine:
    text = bytes.fromhex(code).ljust(0x1000, b"\xcc")
    image = made_image(
        (
            code_section(text, 0x1000),
            data_section(bytes(0x1000), SLOT, writable=False),
        ),
        imports=(Import("ntoskrnl.exe", name, None, SLOT),),
    )
    return Machine(image, [(BASE + 0x1000, BASE + 0x2000)], lambda _at: 0)


def _run(name: str, code: str) -> Observation:
    return _machine(name, code).call(0x1000, SOURCE)


WORDS = {
    "KeTickCount": 64 * 3600,
    "MmHighestUserAddress": 0x7FFEFFFF,
    "MmUserProbeAddress": 0x7FFF0000,
    "MmSystemRangeStart": 0x80000000,
    "KeNumberProcessors": 1,
    "NtBuildNumber": 0xF0001DB1,
    "NtGlobalFlag": 0,
    "InitSafeBootMode": 0,
    "KdDebuggerEnabled": 0,
    "KdDebuggerNotPresent": 1,
    "NlsMbCodePageTag": 0,
    "NlsAnsiCodePage": 1252,
    "KeLoaderBlock": 0,
}


@pytest.mark.parametrize("name", WORDS)
def test_a_driver_reads_a_variable_through_its_import(name: str) -> None:
    observation = _run(name, READ)
    assert (observation.outcome, observation.result) == (Outcome.RETURNED, WORDS[name])


def test_time_in_memory_goes_on_with_the_calls_of_the_kernel() -> None:
    # call [SLOT]; mov eax, [0FFDF0320h]; mov ecx, [KeTickCount]; sub eax, ecx; ret
    ticks = struct.pack("<I", variable_address("KeTickCount") or 0).hex()
    both = f"ff 15 00 20 de a5 a1 20 03 df ff 8b 0d {ticks} 29 c8 c3"
    assert _run("KeGetCurrentThread", both).result == 0
    one = f"ff 15 00 20 de a5 a1 {ticks} c3"
    machine = _machine("KeGetCurrentThread", one)
    assert (machine.call(0x1000, SOURCE).result or 0) > 64 * 3600
    assert machine.call(0x1000, SOURCE).result == machine.call(0x1000, SOURCE).result


def test_a_tick_lasts_as_long_as_the_shared_page_says() -> None:
    page = next(region for region in kernel_regions() if region.address == 0xFFDF0000)
    (multiplier,) = struct.unpack_from("<I", page.data, 4)
    (ticks,) = struct.unpack_from("<I", page.data, 0x320)
    low, high = struct.unpack_from("<II", page.data, 8)
    assert not page.is_writable
    assert ticks * multiplier >> 24 == 3_600_000
    assert low | high << 32 == 3600 * 10_000_000


def test_what_the_kernel_sets_once_cannot_be_written_to() -> None:
    observation = _run("MmUserProbeAddress", f"{LOAD} c7 00 00 00 00 00 c3")
    assert observation.outcome is Outcome.FAULTED
    assert "read-only memory" in (observation.why or "")


def test_what_a_run_writes_is_gone_in_the_next_unless_it_is_kept() -> None:
    machine = _machine("HalDispatchTable", f"{LOAD} ff 40 00 8b 00 c3")  # inc dword [eax]; mov eax, [eax]; ret
    first = machine.call(0x1000, SOURCE).result
    assert machine.call(0x1000, SOURCE).result == first
    machine.keep()
    assert machine.call(0x1000, SOURCE).result == (first or 0) + 1
    other = _machine("HalDispatchTable", f"{LOAD} ff 40 00 8b 00 c3")
    other.start_from(machine.snapshot)
    assert other.call(0x1000, SOURCE).result == (first or 0) + 1


def test_calling_a_variable_is_a_fault_that_names_it() -> None:
    observation = _run("KeTickCount", "ff 15 00 20 de a5 c3")
    assert observation.outcome is Outcome.FAULTED
    assert (observation.why or "").endswith("which is the variable KeTickCount")


def test_functions_of_the_hals_table_are_called_through_it() -> None:
    # push 0 three times for HalSetSystemInformation(class, size, buffer), which takes them off: [table + 8]
    observation = _run("HalDispatchTable", f"{LOAD} 6a 00 6a 00 6a 00 ff 50 08 c3")
    assert (observation.outcome, observation.result, observation.popped) == (Outcome.RETURNED, 0, 0)


# -- what variables point to --


class _Memory:
    def read(self, address: int, size: int) -> bytes:
        region = next(one for one in kernel_regions() if 0 <= address - one.address < len(one.data))
        at = address - region.address
        return region.data[at : at + size]

    def words(self, address: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.read(address, 4 * count))


MEMORY = _Memory()


@pytest.mark.parametrize(("variable", "name"), [("IoFileObjectType", "File"), ("PsProcessType", "Process")])
def test_an_object_type_says_its_name(variable: str, name: str) -> None:
    length, _, buffer = struct.unpack("<HHI", MEMORY.read(initial_pointer(variable) + 8, 8))
    assert MEMORY.read(buffer, length).decode("utf-16-le") == name


def test_the_identifiers_of_SeExports() -> None:  # noqa: N802 -- a name of the kernel
    exports = initial_pointer("SeExports")
    assert MEMORY.words(exports, 2) == (2, 0)  # SeCreateTokenPrivilege
    assert MEMORY.words(exports + 8 * 7, 2) == (9, 0)  # SeTakeOwnershipPrivilege
    world, system = MEMORY.words(exports + 8 * 23 + 4, 1)[0], MEMORY.words(exports + 8 * 23 + 40, 1)[0]
    assert MEMORY.read(world, 12).hex() == "010100000000000100000000"  # S-1-1-0
    assert MEMORY.read(system, 12).hex() == "010100000000000512000000"  # S-1-5-18


def test_where_characters_are_legal_in_names() -> None:
    legal = MEMORY.read(initial_pointer("FsRtlLegalAnsiCharacterArray"), 0x80)
    assert {chr(code) for code in range(0x80) if legal[code] & 0x08} == set('"*<>?')
    assert {chr(code) for code in range(0x20, 0x7F) if not legal[code] & 0x01} == set('"*+,/:;<=>?[\\]|')
    assert {chr(code) for code in range(0x20, 0x7F) if not legal[code] & 0x04} == set('"*/<>?\\|')


def test_services_have_an_address_and_their_bytes_of_arguments() -> None:
    (table,) = [variable_address("KeServiceDescriptorTable") or 0]
    services, counters, count, sizes = MEMORY.words(table, 4)
    assert counters == 0
    addresses = MEMORY.words(services, count)
    close = addresses.index(exported_function("NtClose") or 0)
    assert MEMORY.read(sizes + close, 1) == b"\x04"
    assert len(set(addresses)) == count


# -- MmGetSystemRoutineAddress --


@pytest.mark.parametrize("name", ["ExFreePoolWithTag", "KeGetCurrentIrql", "RtlGetVersion"])
def test_functions_are_found_that_the_driver_does_not_import(name: str) -> None:
    assert find_api("ntoskrnl.exe", name) is not None
    text = name.encode("utf-16-le")
    # push offset name; call [SLOT]; ret; then the UNICODE_STRING at 0x1010 and its buffer at 0x1020
    code = bytes.fromhex("68 10 10 de a5 ff 15 00 20 de a5 c3").ljust(0x10, b"\xcc")
    code += struct.pack("<HHI", len(text), len(text), BASE + 0x1020).ljust(0x10, b"\0") + text
    machine = _machine("MmGetSystemRoutineAddress", code.hex())
    found = machine.call(0x1000, SOURCE).result or 0
    assert machine.stub_name(found) == name
    assert not machine.call(0x1000, Input(0, Style.ZEROS, False)).result


def test_variables_are_found_and_nothing_else() -> None:
    def look_up(name: str) -> Any:
        text = name.encode("utf-16-le")
        code = bytes.fromhex("68 10 10 de a5 ff 15 00 20 de a5 c3").ljust(0x10, b"\xcc")
        code += struct.pack("<HHI", len(text), len(text), BASE + 0x1020).ljust(0x10, b"\0") + text
        return _machine("MmGetSystemRoutineAddress", code.hex()).call(0x1000, SOURCE).result

    assert look_up("NtBuildNumber") == variable_address("NtBuildNumber")
    assert look_up("FltRegisterFilter") == 0  # of the filter manager, not of the kernel
    assert look_up("NoSuchRoutine") == 0
