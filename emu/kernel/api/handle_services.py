"""System services on handles of any kind: ZwClose, ZwDuplicateObject (their pages in the WDK)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.object_manager import OBJ_KERNEL_HANDLE, STATUS_INVALID_HANDLE
from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.kernel.handles import KERNEL_HANDLE, Handles, close_handle, object_of, open_handle

_CLOSE_SOURCE, _SAME_ATTRIBUTES = 0x1, 0x4
"""DUPLICATE_CLOSE_SOURCE, DUPLICATE_SAME_ATTRIBUTES."""
_OBJECT_SIZE = 0x400


def is_refused(call: ApiCall, handle: int) -> bool:
    """Return whether the call is complete, its handle standing for nothing; one that was closed before is noted."""
    is_closed = handle in call.state(Handles).closed
    if is_closed:
        call.note(f"{call.name}: the handle {handle:#x} was closed before")
    if is_closed or not handle:
        call.complete(STATUS_INVALID_HANDLE)
        return True
    return False


def give_handle(call: ApiCall, out: int, attributes: int, address: int) -> None:
    """Store a new handle for an object at `out`, of the kind that OBJECT_ATTRIBUTES ask for."""
    flags = call.view("OBJECT_ATTRIBUTES", attributes)["Attributes"] if attributes else 0
    call.put_u32(out, open_handle(call, address, is_kernel=bool(flags & OBJ_KERNEL_HANDLE)))


def _close(call: ApiCall) -> None:
    """Closing an open handle never fails."""
    handle = call.arguments[0]
    limit_irql(call, PASSIVE_LEVEL)
    if not is_refused(call, handle):
        close_handle(call, handle)


def _duplicate(call: ApiCall) -> None:
    """(SourceProcessHandle, SourceHandle, TargetProcessHandle, TargetHandle, Access, HandleAttributes, Options)."""
    _process, handle, _target, out, _access, attributes, options = call.arguments[:7]
    limit_irql(call, PASSIVE_LEVEL)
    if is_refused(call, handle):
        return
    if not call.succeeds:
        call.fail()
        return
    address = object_of(call, handle)
    if address is None:  # a handle from elsewhere: both stand for the same object from now on
        address = call.state(Handles).objects[handle] = call.allocate(_OBJECT_SIZE, zeroed=False)
    is_kernel = handle & KERNEL_HANDLE if options & _SAME_ATTRIBUTES else attributes & OBJ_KERNEL_HANDLE
    if out:
        call.put_u32(out, open_handle(call, address, is_kernel=bool(is_kernel)))
    if options & _CLOSE_SOURCE:
        close_handle(call, handle)


def _on_handle(call: ApiCall) -> None:
    """Changes of an object's lifetime that no driver can see."""
    if not is_refused(call, call.arguments[0]) and not call.succeeds:
        call.fail()


_SERVICES: Mapping[str, Callable[[ApiCall], None]] = {
    "Close": _close,
    "DuplicateObject": _duplicate,
    "MakeTemporaryObject": _on_handle,
    "MakePermanentObject": _on_handle,
    "SetInformationObject": _on_handle,
}

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    prefix + name: behaviour for name, behaviour in _SERVICES.items() for prefix in ("Zw", "Nt")
}
