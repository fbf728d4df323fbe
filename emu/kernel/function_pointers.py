"""Kernel functions that a driver reaches through pointers in structures which the kernel fills.

They have stubs at fixed places, whether or not the driver imports them: inlined code of wdm.h calls a lookaside
list's allocation function, say, without naming it.
"""

from __future__ import annotations

from stackemu.emu.kernel.exports import Api
from stackemu.emu.memory import STUB_BASE, STUB_SIZE

FIRST_POINTER_STUB = 3
"""Index of the first of these stubs, behind those of the kernel's own returns."""

POINTERS = (
    Api("ntoskrnl.exe", "ExAllocatePoolWithTag", "stdcall", 12, "void*", "?"),
    Api("ntoskrnl.exe", "ExFreePool", "stdcall", 4, "void", "?"),
    Api("ntoskrnl.exe", "LOOKASIDE_LIST_EX.AllocateEx", "stdcall", 16, "void*", "?"),
    Api("ntoskrnl.exe", "LOOKASIDE_LIST_EX.FreeEx", "stdcall", 8, "void", "?"),
)
"""In the order of their stubs; those without a public name are called by the field that points to them."""

_INDEX = {api.name: index for index, api in enumerate(POINTERS, FIRST_POINTER_STUB)}


def function_pointer(name: str) -> int:
    """Return the address that stands for a function of `POINTERS`; KeyError for any other."""
    return STUB_BASE + _INDEX[name] * STUB_SIZE
