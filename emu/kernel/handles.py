"""Handles: which object each one stands for, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass, field

from stackemu.emu.kernel.api.threads import Threads
from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.objects import current_process
from stackemu.emu.processor import CURRENT_THREAD

KERNEL_HANDLE = 0x80000000
"""Set in handles of the system process's table (OBJ_KERNEL_HANDLE)."""
CURRENT_PROCESS_HANDLE, CURRENT_THREAD_HANDLE = 0xFFFFFFFF, 0xFFFFFFFE
"""NtCurrentProcess() and NtCurrentThread()."""
_FIRST = 0x1000
"""Above the ids that handles of system threads are made of."""


@dataclass(slots=True)
class Handles:
    """Objects by handle, and the handles that were closed."""

    objects: dict[int, int] = field(default_factory=dict)
    closed: dict[int, None] = field(default_factory=dict)
    next: int = _FIRST


def open_handle(context: Context, address: int, *, is_kernel: bool = True) -> int:
    """Return a new handle for an object."""
    handles = context.state(Handles)
    handle = handles.next | (KERNEL_HANDLE if is_kernel else 0)
    handles.next += 4
    handles.objects[handle] = address
    return handle


def object_of(context: Context, handle: int) -> int | None:
    """Return the object that a handle stands for, None for handles that nothing here has made."""
    if handle == CURRENT_PROCESS_HANDLE:
        return current_process(context)
    if handle == CURRENT_THREAD_HANDLE:
        return CURRENT_THREAD
    known = context.state(Handles).objects.get(handle)
    return known if known is not None else context.state(Threads).threads.get(handle & ~KERNEL_HANDLE)


def close_handle(context: Context, handle: int) -> bool:
    """Close a handle; returns whether it was open."""
    handles = context.state(Handles)
    if handles.objects.pop(handle, None) is None:
        return False
    handles.closed[handle] = None
    return True
