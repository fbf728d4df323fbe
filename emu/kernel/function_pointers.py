"""Where the emulated kernel's functions lie: each has a stub at a place of its own, imported by the driver or not.

Drivers come to them by imports, by MmGetSystemRoutineAddress, and through pointers in structures that the kernel
fills: inlined code of wdm.h calls a lookaside list's allocation function, say, without naming it.
"""

from __future__ import annotations

import functools

from stackemu.emu.kernel.exports import Api, exports
from stackemu.emu.memory import STUB_BASE, STUB_SIZE

FIRST_POINTER_STUB = 3
"""Index of the first of these stubs, behind those of the kernel's own returns."""


def _hal(name: str, convention: str, words: int, returns: str = "NTSTATUS") -> Api:
    return Api("hal.dll", f"HAL_DISPATCH.{name}", convention, 4 * words, returns, "?")


HAL_DISPATCH = (
    _hal("HalQuerySystemInformation", "stdcall", 4),
    _hal("HalSetSystemInformation", "stdcall", 3),
    _hal("HalQueryBusSlots", "stdcall", 4),
    _hal("HalExamineMBR", "fastcall", 4, "void"),
    _hal("HalIoReadPartitionTable", "fastcall", 4),
    _hal("HalIoSetPartitionInformation", "fastcall", 4),
    _hal("HalIoWritePartitionTable", "fastcall", 5),
    _hal("HalReferenceHandlerForBus", "fastcall", 2, "void*"),
    _hal("HalReferenceBusHandler", "fastcall", 1, "void"),
    _hal("HalDereferenceBusHandler", "fastcall", 1, "void"),
    _hal("HalInitPnpDriver", "stdcall", 0),
    _hal("HalInitPowerManagement", "stdcall", 2),
    _hal("HalGetDmaAdapter", "stdcall", 3, "void*"),
    _hal("HalGetInterruptTranslator", "stdcall", 7),
    _hal("HalStartMirroring", "stdcall", 0),
    _hal("HalEndMirroring", "stdcall", 1),
    _hal("HalMirrorPhysicalMemory", "stdcall", 4),
    _hal("HalEndOfBoot", "stdcall", 0, "void"),
    _hal("HalMirrorVerify", "stdcall", 4),
    _hal("HalGetCachedAcpiTable", "stdcall", 3, "void*"),
    _hal("HalSetPciErrorHandlerCallback", "stdcall", 1, "void"),
)
"""The functions of HalDispatchTable in their order (HAL_DISPATCH, ntddk.h of the WDK for Windows 7)."""

POINTERS = (
    Api("ntoskrnl.exe", "LOOKASIDE_LIST_EX.AllocateEx", "stdcall", 16, "void*", "?"),
    Api("ntoskrnl.exe", "LOOKASIDE_LIST_EX.FreeEx", "stdcall", 8, "void", "?"),
    *HAL_DISPATCH,
)
"""Functions without a public name, in the order of their stubs; they are called by the field that points to them."""

UNKNOWN_POINTERS = ("HAL_PRIVATE_DISPATCH",)
"""Behind those, functions of which not even the arguments are public."""

_NAMES = (*(api.name for api in POINTERS), *UNKNOWN_POINTERS)
_POSITIONS = {name: position for position, name in enumerate(_NAMES)}
_FIRST_EXPORT_STUB = FIRST_POINTER_STUB + len(_NAMES)
_SYSTEM = ("ntoskrnl.exe", "hal.dll")
"""The modules that MmGetSystemRoutineAddress looks into."""


@functools.cache
def _places() -> dict[Api, int]:
    return {api: _address(_FIRST_EXPORT_STUB + index) for index, api in enumerate(exports())}


@functools.cache
def _by_name() -> dict[str, Api]:
    return {api.name: api for api in exports() if api.module in _SYSTEM}


def _address(index: int) -> int:
    return STUB_BASE + index * STUB_SIZE


def api_address(api: Api) -> int:
    """Return the address that stands for an export; KeyError for what is not in the table."""
    return _places()[api]


def exported_function(name: str) -> int | None:
    """Return the address of a function that the kernel or the HAL exports, None for any other name."""
    api = _by_name().get(name)
    return api_address(api) if api else None


def function_pointer(name: str) -> int:
    """Return the address of a function that a structure of the kernel points to; KeyError for any other."""
    exported = exported_function(name)
    return exported if exported is not None else _address(FIRST_POINTER_STUB + _POSITIONS[name])
