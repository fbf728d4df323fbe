"""Notify routines: registration as documented, and arguments with the structures of ntddk.h."""

from __future__ import annotations

import struct
from typing import Any

from stackemu.emu.inputs import Input, Style

ROUTINE = 0xA5DE1100


def _string(kernel: Any, address: int) -> str:
    length, maximum, buffer = struct.unpack("<HHI", kernel.host.read(address, 8))
    assert length <= maximum
    return str(kernel.host.read(buffer, length).decode("utf-16-le"))


def test_a_process_routine_is_registered_once_and_removed_once(kernel: Any) -> None:
    name = "PsSetCreateProcessNotifyRoutine"
    statuses = [kernel.call(name, ROUTINE, remove) for remove in (0, 0, 1, 1)]
    assert statuses == [0, 0xC000000D, 0, 0xC000000D]


def test_a_creation_describes_the_new_process(kernel: Any) -> None:
    kernel.call("PsSetCreateProcessNotifyRoutineEx", ROUTINE, 0)
    process, identifier, info = kernel.arguments(kernel.roots[0]).stack
    words = struct.unpack("<9I", kernel.host.read(info, 36))
    assert words[0] == 36
    assert _string(kernel, words[6]).startswith("\\??\\")
    assert words[8] == 0  # STATUS_SUCCESS: the driver may change it
    lookup = kernel.text(bytes(4))
    kernel.call("PsLookupProcessByProcessId", identifier, lookup)
    assert kernel.host.read(lookup, 4) == struct.pack("<I", process)
    assert kernel.call("PsGetProcessId", process) == identifier


def test_some_inputs_end_the_process_instead(kernel: Any) -> None:
    kernel.call("PsSetCreateProcessNotifyRoutineEx", ROUTINE, 0)
    inputs = [Input(seed, Style.RANDOM, True) for seed in range(16)]
    infos = {bool(kernel.arguments(kernel.roots[0], source).stack[2]) for source in inputs}
    assert infos == {True, False}


def test_an_image_routine_gets_a_name_and_an_image_info(kernel: Any) -> None:
    kernel.call("PsSetLoadImageNotifyRoutine", ROUTINE)
    name, process, info = kernel.arguments(kernel.roots[0]).stack
    assert _string(kernel, name).endswith(".dll")
    assert process
    properties, base, _, size, _ = struct.unpack("<5I", kernel.host.read(info, 20))
    assert properties & 0x100 == 0
    assert base < 0x80000000
    assert size


def test_removing_what_was_never_set_fails(kernel: Any) -> None:
    assert kernel.call("PsRemoveLoadImageNotifyRoutine", ROUTINE) == 0xC000007A
