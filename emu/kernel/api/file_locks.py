"""Byte-range locks: which ranges of a file are locked by whom, and who may read or write there.

Pages of FsRtlProcessFileLock, FsRtlCheckLockForReadAccess, FsRtlFastUnlockAll and FILE_LOCK in the WDK; FILE_LOCK and
FILE_LOCK_INFO: ntifs.h. A shared lock excludes writers, an exclusive one everybody but its owner; the owner is a
file object with a process and a key.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from stackemu.emu.kernel.api.irps import SL_PENDING_RETURNED, STATUS_PENDING, complete, current_location, is_irp
from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.objects import current_process

FILE_LOCK_SIZE = 64
_QUESTIONABLE = 8
"""Offset of FastIoIsQuestionable: TRUE while there are locks."""
_INFO = struct.Struct("<qqB3xIIIq")
_MAX_LOCKS = 1024
_LOCK, _UNLOCK_SINGLE, _UNLOCK_ALL, _UNLOCK_ALL_BY_KEY = 1, 2, 3, 4
"""Minor codes of IRP_MJ_LOCK_CONTROL."""
_FAIL_IMMEDIATELY, _EXCLUSIVE = 1, 2
"""SL_FAIL_IMMEDIATELY, SL_EXCLUSIVE_LOCK."""
STATUS_LOCK_NOT_GRANTED, STATUS_RANGE_NOT_LOCKED = 0xC0000055, 0xC000007E
STATUS_INVALID_DEVICE_REQUEST = 0xC0000010


class Owner(NamedTuple):
    """Who has a lock: addresses of file object and process, and a number of the owner's choice."""

    file: int
    process: int
    key: int


class Lock(NamedTuple):
    """A locked range, in bytes."""

    start: int
    length: int
    exclusive: bool
    owner: Owner

    def touches(self, start: int, length: int) -> bool:
        """Return whether the range has a byte in common with another."""
        return self.start < start + length and start < self.start + self.length

    def info(self) -> bytes:
        """Return the lock as a FILE_LOCK_INFO."""
        file, process, key = self.owner
        end = self.start + self.length - 1
        numbers = (_signed(self.start), _signed(self.length), self.exclusive, key, file, process, _signed(end))
        return _INFO.pack(*numbers)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFFFFFFFFFF
    return value - (1 << 64) if value >> 63 else value


@dataclass(slots=True)
class FileLocks:
    """Locks by the address of their FILE_LOCK, and how far FsRtlGetNextFileLock has come in each."""

    held: dict[int, list[Lock]] = field(default_factory=dict)
    next: dict[int, int] = field(default_factory=dict)


def _held(call: ApiCall) -> list[Lock]:
    return call.state(FileLocks).held.setdefault(call.arguments[0], [])


def _is_code(call: ApiCall, address: int) -> bool:
    image = call.kernel.image
    return image.is_code(address - image.base)


# -- the structure --


def _initialize(call: ApiCall) -> None:
    """(FileLock, CompleteLockIrpRoutine, UnlockRoutine)."""
    address, completion, unlock = call.arguments[:3]
    call.write(address, struct.pack("<II", completion, unlock) + bytes(FILE_LOCK_SIZE - 8))
    call.state(FileLocks).held[address] = []


def _uninitialize(call: ApiCall) -> None:
    call.state(FileLocks).held.pop(call.arguments[0], None)


def _allocate(call: ApiCall) -> None:
    """(CompleteLockIrpRoutine, UnlockRoutine)."""
    if call.succeeds:
        call.eax = call.allocate(FILE_LOCK_SIZE)
        call.write(call.eax, struct.pack("<II", *call.arguments[:2]))
        call.state(FileLocks).held[call.eax] = []


def _is_locked(call: ApiCall) -> None:
    call.eax = int(bool(_held(call)))


def _next_lock(call: ApiCall) -> None:
    """(FileLock, Restart): a copy of the next lock, NULL behind the last."""
    address, restarts = call.arguments[:2]
    following = call.state(FileLocks).next
    index = 0 if restarts & 0xFF else following.get(address, 0)
    locks = _held(call)
    if index < len(locks):
        call.eax = address + 16  # LastReturnedLockInfo
        call.write(call.eax, locks[index].info())
        following[address] = index + 1


# -- locking and unlocking --


def _lock(call: ApiCall, lock: Lock) -> bool:
    """Take a lock unless there is one that excludes it: an owner may share only its own exclusive lock."""
    locks = _held(call)
    is_taken = any(
        other.touches(lock.start, lock.length) and (lock.exclusive or (other.exclusive and other.owner != lock.owner))
        for other in locks
    )
    if is_taken or len(locks) >= _MAX_LOCKS:
        return False
    locks.append(lock)
    call.put_u8(call.arguments[0] + _QUESTIONABLE, 1)
    return True


def _unlock(call: ApiCall, released: Callable[[Lock], bool], context: int, *, most: int = _MAX_LOCKS) -> int:
    """Release locks, and tell the file system of each; returns STATUS_RANGE_NOT_LOCKED when there was none."""
    locks = _held(call)
    routine = call.u32(call.arguments[0] + 4)
    chosen = [lock for lock in locks if released(lock)][:most]
    for lock in chosen:
        locks.remove(lock)
        if _is_code(call, routine):
            info = call.allocate(_INFO.size)
            call.write(info, lock.info())
            call.invoke(routine, context, info)
    call.put_u8(call.arguments[0] + _QUESTIONABLE, bool(locks))
    return 0 if chosen else STATUS_RANGE_NOT_LOCKED


def _process(call: ApiCall) -> None:
    """FsRtlProcessFileLock(FileLock, Irp, Context): the request is completed, or pended until a lock is free."""
    _address, address, context = call.arguments[:3]
    if not is_irp(call, address):
        call.eax = call.source.status(call.ordinal)
        return
    irp = call.view("IRP", address)
    location = current_location(call, irp)
    status = _request(call, location, context)
    if status == STATUS_PENDING:
        location["Control"] |= SL_PENDING_RETURNED
    else:
        _finish(call, irp, status, context)
    call.complete(status)


def _request(call: ApiCall, location: View, context: int) -> int:
    owner = Owner(location["FileObject"], current_process(call), location["Parameters.LockControl.Key"])
    minor, flags = location["MinorFunction"], location["Flags"]
    if minor in (_LOCK, _UNLOCK_SINGLE):
        start = location["Parameters.LockControl.ByteOffset"]
        length = call.u64(location["Parameters.LockControl.Length"])
        if minor == _UNLOCK_SINGLE:
            return _unlock(call, lambda lock: lock[:2] == (start, length) and lock.owner == owner, context, most=1)
        if _lock(call, Lock(start, length, bool(flags & _EXCLUSIVE), owner)):
            return 0
        return STATUS_LOCK_NOT_GRANTED if flags & _FAIL_IMMEDIATELY else STATUS_PENDING
    if minor in (_UNLOCK_ALL, _UNLOCK_ALL_BY_KEY):
        by_key = minor == _UNLOCK_ALL_BY_KEY
        _unlock(call, lambda lock: lock.owner == owner if by_key else lock.owner[:2] == owner[:2], context)
        return 0
    return STATUS_INVALID_DEVICE_REQUEST


def _finish(call: ApiCall, irp: View, status: int, context: int) -> None:
    """Complete a request, by the file system's own routine when it has one."""
    irp["IoStatus.Status"], irp["IoStatus.Information"] = status, 0
    routine = call.u32(call.arguments[0])
    if _is_code(call, routine):
        call.invoke(routine, context, irp.address)
    else:
        complete(call, irp)


def _private_lock(call: ApiCall) -> None:
    """(FileLock, FileObject, FileOffset, Length, ProcessId, Key, FailImmediately, ExclusiveLock, Iosb, ...)."""
    _address, file, offset, length, process, key, fails_now, exclusive, block = call.arguments[:9]
    lock = Lock(call.u64(offset), call.u64(length), bool(exclusive & 0xFF), Owner(file, process, key))
    status = 0
    if not _lock(call, lock):
        status = STATUS_LOCK_NOT_GRANTED if fails_now & 0xFF else STATUS_PENDING
    if block:
        call.write(block, struct.pack("<II", status, 0))
    call.eax = int(status != STATUS_PENDING)


def _unlock_single(call: ApiCall) -> None:
    """(FileLock, FileObject, FileOffset, Length, ProcessId, Key, Context, AlreadySynchronized)."""
    _address, file, offset, length, process, key, context = call.arguments[:7]
    wanted = (call.u64(offset), call.u64(length), Owner(file, process, key))
    call.complete(_unlock(call, lambda lock: (*lock[:2], lock.owner) == wanted, context, most=1))


def _unlock_all(call: ApiCall) -> None:
    """(FileLock, FileObject, ProcessId, Context): no lock is no mistake."""
    _address, file, process, context = call.arguments[:4]
    _unlock(call, lambda lock: lock.owner[:2] == (file, process), context)


def _unlock_by_key(call: ApiCall) -> None:
    """(FileLock, FileObject, ProcessId, Key, Context)."""
    _address, file, process, key, context = call.arguments[:5]
    _unlock(call, lambda lock: lock.owner == (file, process, key), context)


# -- access --


def _may_access(call: ApiCall, start: int, length: int, owner: Owner, *, writes: bool) -> bool:
    """A shared lock keeps even its own owner from writing."""
    return not any(
        lock.touches(start, length) and (lock.owner != owner if lock.exclusive else writes) for lock in _held(call)
    )


def _check_request(*, writes: bool) -> Callable[[ApiCall], None]:
    """(FileLock, Irp)."""

    def behaviour(call: ApiCall) -> None:
        call.eax = 1
        address = call.arguments[1]
        if not _held(call) or not is_irp(call, address):
            return
        location = current_location(call, call.view("IRP", address))
        start, length = location["Parameters.Read.ByteOffset"], location["Parameters.Read.Length"]
        owner = Owner(location["FileObject"], current_process(call), location["Parameters.Read.Key"])
        call.eax = int(_may_access(call, start, length, owner, writes=writes))

    return behaviour


def _fast_check(*, writes: bool) -> Callable[[ApiCall], None]:
    """(FileLock, StartingByte, Length, Key, FileObject, ProcessId)."""

    def behaviour(call: ApiCall) -> None:
        _address, start, length, key, file, process = call.arguments[:6]
        owner = Owner(file, process, key)
        call.eax = int(_may_access(call, call.u64(start), call.u64(length), owner, writes=writes))

    return behaviour


def _check_for_oplock(call: ApiCall) -> None:
    """FsRtlCheckLockForOplockRequest: TRUE when no lock stands against the oplock."""
    call.eax = int(not _held(call))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FsRtlInitializeFileLock": _initialize,
    "FsRtlUninitializeFileLock": _uninitialize,
    "FsRtlAllocateFileLock": _allocate,
    "FsRtlFreeFileLock": _uninitialize,
    "FsRtlAreThereCurrentOrInProgressFileLocks": _is_locked,
    "FsRtlAreThereWaitingFileLocks": lambda _call: None,
    "FsRtlGetNextFileLock": _next_lock,
    "FsRtlProcessFileLock": _process,
    "FsRtlPrivateLock": _private_lock,
    "FsRtlFastUnlockSingle": _unlock_single,
    "FsRtlFastUnlockAll": _unlock_all,
    "FsRtlFastUnlockAllByKey": _unlock_by_key,
    "FsRtlCheckLockForReadAccess": _check_request(writes=False),
    "FsRtlCheckLockForWriteAccess": _check_request(writes=True),
    "FsRtlFastCheckLockForRead": _fast_check(writes=False),
    "FsRtlFastCheckLockForWrite": _fast_check(writes=True),
    "FsRtlCheckLockForOplockRequest": _check_for_oplock,
}
