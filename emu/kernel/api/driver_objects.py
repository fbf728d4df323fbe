"""What a driver hangs on driver objects: extensions, reinitialization routines, news of file systems; remove locks.

Pages of IoAllocateDriverObjectExtension, IoRegisterDriverReinitialization, IoRegisterFsRegistrationChange and "Using
Remove Locks" in the WDK; IO_REMOVE_LOCK: wdm.h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.devices import foreign_device
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context
from stackemu.emu.kernel.objects import driver_object
from stackemu.emu.kernel.roots import Root, Words

STATUS_INSUFFICIENT_RESOURCES = 0xC000009A
STATUS_OBJECT_NAME_COLLISION = 0xC0000035
STATUS_DELETE_PENDING = 0xC0000056
_LOCK_SIZE = 0x18
"""IO_REMOVE_LOCK of free builds; checked builds have more behind it."""
_MAX_LOCK_SIZE = 0x100
_REMOVED, _COUNT, _EVENT = 0, 4, 8
"""In IO_REMOVE_LOCK."""
_SYNCHRONIZATION_EVENT, _EVENT_WORDS = 1, 4


@dataclass(slots=True)
class DriverExtensions:
    """Extensions of driver objects by (driver object, client's identification)."""

    by_client: dict[tuple[int, int], int] = field(default_factory=dict)


def _allocate_extension(call: ApiCall) -> None:
    driver, client, size, out = call.arguments[:4]
    limit_irql(call, APC_LEVEL)
    extensions = call.state(DriverExtensions).by_client
    call.put_u32(out, 0)
    if (driver, client) in extensions:
        call.complete(STATUS_OBJECT_NAME_COLLISION)
        return
    address = call.allocate(size) if call.succeeds and size <= MAX_COPY else 0
    if not address:
        call.complete(STATUS_INSUFFICIENT_RESOURCES)
        return
    extensions[driver, client] = address
    call.put_u32(out, address)


def _get_extension(call: ApiCall) -> None:
    """NULL for a client that has allocated none."""
    driver, client = call.arguments[:2]
    limit_irql(call, DISPATCH_LEVEL)
    call.eax = call.state(DriverExtensions).by_client.get((driver, client), 0)


def _reinitialize(call: ApiCall) -> None:
    _driver, routine, argument = call.arguments[:3]
    limit_irql(call, PASSIVE_LEVEL)
    call.root(routine, "reinitialization routine", "reinitialize", argument)


def _watch_file_systems(call: ApiCall) -> None:
    routine = call.arguments[1]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    call.root(routine, "file system notification", "file-system-notification")


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


# -- remove locks --


def _initialize_lock(call: ApiCall) -> None:
    """One reference is the device's own; the event is what the removal waits for."""
    lock, size = call.arguments[0], call.arguments[4]
    limit_irql(call, PASSIVE_LEVEL)
    call.write(lock, bytes(max(_LOCK_SIZE, min(size, _MAX_LOCK_SIZE))))
    call.put_u32(lock + _COUNT, 1)
    call.write(lock + _EVENT, bytes((_SYNCHRONIZATION_EVENT, 0, _EVENT_WORDS, 0)))
    waiters = lock + _EVENT + 8
    call.put_u32(waiters, waiters)
    call.put_u32(waiters + 4, waiters)


def _acquire_lock(call: ApiCall) -> None:
    """STATUS_DELETE_PENDING once somebody is removing the device."""
    lock = call.arguments[0]
    limit_irql(call, DISPATCH_LEVEL)
    if call.u8(lock + _REMOVED) or not call.succeeds:
        call.complete(STATUS_DELETE_PENDING)
        return
    call.put_u32(lock + _COUNT, call.u32(lock + _COUNT) + 1)


def _release(call: ApiCall) -> None:
    lock = call.arguments[0]
    call.put_u32(lock + _COUNT, call.u32(lock + _COUNT) - 1)


def _release_lock(call: ApiCall) -> None:
    limit_irql(call, DISPATCH_LEVEL)
    _release(call)


def _release_and_wait(call: ApiCall) -> None:
    """The caller's reference and the device's own go; the others are somebody else's to wait for."""
    limit_irql(call, PASSIVE_LEVEL)
    lock = call.arguments[0]
    call.put_u8(lock + _REMOVED, 1)
    _release(call)
    _release(call)


# -- the kernel's calls --


def _reinitialized(context: Context, root: Root) -> Words:
    """(DriverObject, Context, Count): how many times the routine was called, this time included."""
    return Words((driver_object(context).address, root.context[0], pick(context, (1, 2, 3))))


def _file_system(context: Context, _root: Root) -> Words:
    """(DeviceObject, FsActive) for a file system's control device."""
    return Words((foreign_device(context), pick(context, (1, 0))))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "IoAllocateDriverObjectExtension": _allocate_extension,
    "IoGetDriverObjectExtension": _get_extension,
    "IoRegisterDriverReinitialization": _reinitialize,
    "IoRegisterBootDriverReinitialization": _reinitialize,
    "IoRegisterFsRegistrationChange": _watch_file_systems,
    "IoRegisterFsRegistrationChangeMountAware": _watch_file_systems,
    "IoUnregisterFsRegistrationChange": _nothing,
    "IoRegisterFileSystem": _nothing,
    "IoUnregisterFileSystem": _nothing,
    "IoInitializeRemoveLockEx": _initialize_lock,
    "IoAcquireRemoveLockEx": _acquire_lock,
    "IoReleaseRemoveLockEx": _release_lock,
    "IoReleaseRemoveLockAndWaitEx": _release_and_wait,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "reinitialize": _reinitialized,
    "file-system-notification": _file_system,
}
