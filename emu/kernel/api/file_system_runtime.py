"""What file systems and their filters share beside names, locks and contexts: transfers, statuses, registrations.

FsRtl pages of the WDK; FS_FILTER_CALLBACKS and FS_FILTER_CALLBACK_DATA: ntifs.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.inputs import PAGE, STATUS_INSUFFICIENT_RESOURCES
from stackemu.emu.kernel.api import waits
from stackemu.emu.kernel.api.cache import describe
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.devices import own_device
from stackemu.emu.kernel.api.files import MAX_TRANSFER, fill
from stackemu.emu.kernel.api.fltmgr.information import deliver, volume_information
from stackemu.emu.kernel.api.irql import APC_LEVEL, PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.open_files import file_size
from stackemu.emu.kernel.api.pool import PAGED_POOL, POOL_QUOTA_FAIL_INSTEAD_OF_RAISE, allocate_pool
from stackemu.emu.kernel.call import ApiCall, Context, Raised
from stackemu.emu.kernel.handles import open_handle
from stackemu.emu.kernel.objects import file_object
from stackemu.emu.kernel.roots import Root, Words

_PROGRAMMING_ERRORS = frozenset({0x80000002, 0xC0000005, 0xC000001D, 0xC00000AA})
"""Datatype misalignment, access violation, illegal instruction, instruction misalignment: never expected."""
_OTHER_SECTORS_WORK = frozenset({0xC000003F, 0xC000009C})
"""STATUS_CRC_ERROR and STATUS_DEVICE_DATA_ERROR say nothing of the rest of a device."""
STATUS_FILE_IS_A_DIRECTORY, STATUS_INVALID_DEVICE_REQUEST = 0xC00000BA, 0xC0000010
STATUS_IO_REPARSE_DATA_INVALID, STATUS_IO_REPARSE_TAG_INVALID = 0xC0000278, 0xC0000276
_SECTOR_SIZES = 11
"""FileFsSectorSizeInformation."""
_MAX_REPARSE_DATA = 0x4000
_MICROSOFT_TAG, _INVALID_TAG_BITS = 0x80000000, 0x0FFF0000
_RESOURCE_SIZE = 56
"""ERESOURCE."""


# -- statuses --


def _is_expected(call: ApiCall) -> None:
    call.eax = int(call.arguments[0] not in _PROGRAMMING_ERRORS)


def _normalize(call: ApiCall) -> None:
    """(Exception, GenericException): what nobody expects becomes the generic status."""
    exception, generic = call.arguments[:2]
    call.eax = generic if exception in _PROGRAMMING_ERRORS else exception


def _is_total_failure(call: ApiCall) -> None:
    status = call.arguments[0]
    call.eax = int(bool(status & 0x80000000) and status not in _OTHER_SECTORS_WORK)


# -- memory --


def _allocate(tag_at: int | None, *, with_quota: bool = False) -> Callable[[ApiCall], None]:
    """FsRtlAllocatePool and its kin raise where the functions of Ex return NULL."""

    def behaviour(call: ApiCall) -> None:
        kind, size = call.arguments[:2]
        if kind & PAGED_POOL:
            limit_irql(call, APC_LEVEL, "paged pool asked for")
        call.eax = allocate_pool(call, size, call.arguments[tag_at] if tag_at else 0) if call.succeeds else 0
        if not call.eax and not (with_quota and kind & POOL_QUOTA_FAIL_INSTEAD_OF_RAISE):
            raise Raised(STATUS_INSUFFICIENT_RESOURCES)

    return behaviour


def _allocate_resource(call: ApiCall) -> None:
    """One of the system's own resources, which nobody frees."""
    call.eax = call.allocate(_RESOURCE_SIZE)


def _allocate_push_lock(call: ApiCall) -> None:
    if call.succeeds:
        call.eax = call.allocate(4)


# -- transfers --


def _copy_read(call: ApiCall) -> None:
    """(FileObject, FileOffset, Length, Wait, LockKey, Buffer, IoStatus, DeviceObject): FALSE asks for an IRP."""
    file, offset, length, _waits, _key, buffer, block = call.arguments[:7]
    start = call.u64(offset)
    if not call.succeeds:
        return
    done = min(length, max(0, file_size(call, file) - start))
    fill(call, buffer, done)
    status = 0xC0000011 if length and not done else 0  # STATUS_END_OF_FILE
    call.write(block, struct.pack("<II", status, done))
    call.eax = 1


def _copy_write(call: ApiCall) -> None:
    """(FileObject, FileOffset, Length, Wait, LockKey, Buffer, IoStatus, DeviceObject)."""
    _file, offset, length, _waits, _key, buffer, block = call.arguments[:7]
    call.u64(offset)
    if not call.succeeds:
        return
    if length:
        call.read(buffer, min(length, MAX_TRANSFER))
    call.write(block, struct.pack("<II", 0, length))
    call.eax = 1


def _describe(*, is_written: bool, with_status: bool = False) -> Callable[[ApiCall], None]:
    """FsRtlMdlRead and its kin: (FileObject, FileOffset, Length, LockKey, MdlChain, IoStatus, ...)."""

    def behaviour(call: ApiCall) -> None:
        if not call.succeeds:
            if with_status:
                call.fail()
            return
        file, offset, length, _key, chain, block = call.arguments[:6]
        describe(call, (file, offset, length, chain, block), is_written=is_written)
        call.eax = 0 if with_status else 1

    return behaviour


def _true(call: ApiCall) -> None:
    call.eax = 1


def _control(source_at: int) -> Callable[[ApiCall], None]:
    """(..., InputBuffer, its length, OutputBuffer, its length, returned length): a request sent by the kernel."""

    def behaviour(call: ApiCall) -> None:
        source, source_length, target, room, length_out = call.arguments[source_at : source_at + 5]
        limit_irql(call, PASSIVE_LEVEL)
        if source and source_length:
            call.read(source, min(source_length, MAX_TRANSFER))
        if not call.succeeds:
            call.fail()
            return
        done = pick(call, (room, room, room // 2, 0)) if target else 0
        fill(call, target, done)
        call.put_optional(length_out, done)

    return behaviour


def _size_of_file(call: ApiCall) -> None:
    """(FileObject, FileSize): directories have none."""
    file, out = call.arguments[:2]
    if not call.succeeds:
        call.complete(pick(call, (STATUS_FILE_IS_A_DIRECTORY, call.failure())))
        return
    call.put_u64(out, file_size(call, file))


def _valid_data(call: ApiCall) -> None:
    """FsRtlQueryCachedVdl(FileObject, Vdl)."""
    if call.succeeds:
        call.put_u64(call.arguments[1], file_size(call, call.arguments[0]))
    else:
        call.fail()


def _sectors(call: ApiCall) -> None:
    """FsRtlGetSectorSizeInformation(DeviceObject, SectorSizeInfo)."""
    if call.succeeds:
        call.eax, _done = deliver(call, volume_information(_SECTOR_SIZES), call.arguments[1], 28)
    else:
        call.fail()


def _validate_reparse_point(call: ApiCall) -> None:
    """(BufferLength, ReparseBuffer): tags of others carry a GUID between header and data."""
    length, buffer = call.arguments[:2]
    if not 8 <= length <= _MAX_REPARSE_DATA:
        call.complete(STATUS_IO_REPARSE_DATA_INVALID)
        return
    tag, size, _reserved = struct.unpack("<IHH", call.read(buffer, 8))
    is_sized = length == size + (8 if tag & _MICROSOFT_TAG else 24)
    if not is_sized:
        call.complete(STATUS_IO_REPARSE_DATA_INVALID)
    elif tag & _INVALID_TAG_BITS or tag <= 1:
        call.complete(STATUS_IO_REPARSE_TAG_INVALID)


# -- waiting --


def _wait_for_one(call: ApiCall) -> None:
    """FsRtlCancellableWaitForSingleObject(Object, Timeout, Irp) waits as KeWaitForSingleObject does."""
    address, timeout = call.arguments[:2]
    call.arguments = (address, 0, 0, 0, timeout)
    waits.BEHAVIOURS["KeWaitForSingleObject"](call)


def _wait_for_many(call: ApiCall) -> None:
    """(Count, ObjectArray, WaitType, Timeout, WaitBlockArray, Irp)."""
    count, array, kind, timeout, blocks = call.arguments[:5]
    call.arguments = (count, array, kind, 0, 0, 0, timeout, blocks)
    waits.BEHAVIOURS["KeWaitForMultipleObjects"](call)


# -- callbacks --


_FILTERED = {
    0xFF: ("AcquireForSectionSynchronization", (1, 0x4)),
    0xFE: ("ReleaseForSectionSynchronization", ()),
    0xFB: ("AcquireForCcFlush", ()),
    0xFA: ("ReleaseForCcFlush", ()),
    0xFD: ("AcquireForModifiedPageWriter", (None, None)),
    0xFC: ("ReleaseForModifiedPageWriter", (None,)),
}
"""Operations in the order of their pairs in FS_FILTER_CALLBACKS, with their parameters: numbers, or None for room."""
_DATA_SIZE = 36


def _register_filter(call: ApiCall) -> None:
    """(FilterDriverObject, Callbacks): a routine before and one after each operation."""
    callbacks = call.arguments[1]
    size = call.u32(callbacks)
    if not call.succeeds:
        call.fail()
        return
    for index, (operation, (name, _parameters)) in enumerate(_FILTERED.items()):
        at = 8 + 8 * index
        if at + 8 <= size:
            call.root(call.u32(callbacks + at), f"FsFilter Pre{name}", "fs-filter-pre", operation)
            call.root(call.u32(callbacks + at + 4), f"FsFilter Post{name}", "fs-filter-post", operation)


def _callback_data(context: Context, operation: int) -> int:
    """FS_FILTER_CALLBACK_DATA: size, operation, device, file, parameters."""
    parameters = [context.allocate(8) if value is None else value for value in _FILTERED[operation][1]]
    device, file = own_device(context), file_object(context).address
    words = struct.pack("<IBBxxII", _DATA_SIZE, operation, 0, device, file)
    address = context.allocate(_DATA_SIZE)
    context.write(address, words + struct.pack(f"<{len(parameters)}I", *parameters))
    return address


def _before(context: Context, root: Root) -> Words:
    """(Data, CompletionContext)."""
    return Words((_callback_data(context, root.context[0]), context.allocate(4)))


def _after(context: Context, root: Root) -> Words:
    """(Data, OperationStatus, CompletionContext)."""
    status = context.source.status(context.ordinal)
    return Words((_callback_data(context, root.context[0]), status, 0))


def _post_overflow(call: ApiCall) -> None:
    """(Context, Event, StackOverflowRoutine): the routine runs on another thread's stack."""
    context, event, routine = call.arguments[:3]
    call.root(routine, f"{call.name} routine", "plain", context, event)
    if event:
        call.put_u32(event + 4, 1)


# -- redirectors --


def _register_provider(out_at: int) -> Callable[[ApiCall], None]:
    """FsRtlRegisterUncProvider and its kin give a handle to the multiple UNC provider."""

    def behaviour(call: ApiCall) -> None:
        limit_irql(call, PASSIVE_LEVEL)
        if call.succeeds:
            call.put_u32(call.arguments[out_at], open_handle(call, call.allocate(PAGE // 16)))
        else:
            call.fail()

    return behaviour


# -- facts --


def _choice(*values: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = pick(call, values)

    return behaviour


def _status(call: ApiCall) -> None:
    if not call.succeeds:
        call.fail()


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


_SILENT = (
    "FsRtlAcquireFileExclusive", "FsRtlReleaseFile", "FsRtlDeregisterUncProvider", "FsRtlDismountComplete",
    "FsRtlFreeAePushLock", "FsRtlUpdateDiskCounters", "FsRtlIncrementCcFastMdlReadWait",
    "FsRtlIncrementCcFastReadNoWait", "FsRtlIncrementCcFastReadNotPossible",
    "FsRtlIncrementCcFastReadResourceMiss", "FsRtlIncrementCcFastReadWait",
)  # fmt: skip
_STATUSES = (
    "FsRtlBalanceReads", "FsRtlChangeBackingFileObject", "FsRtlLogCcFlushError", "FsRtlNotifyVolumeEvent",
    "FsRtlNotifyVolumeEventEx", "FsRtlSetDriverBacking", "FsRtlSetKernelEaFile", "FsRtlSyncVolumes",
)  # fmt: skip
_TRUE = (
    "FsRtlMdlReadComplete", "FsRtlMdlReadCompleteDev", "FsRtlMdlWriteComplete", "FsRtlMdlWriteCompleteDev",
    "FsRtlIs32BitProcess", "FsRtlAreVolumeStartupApplicationsComplete",
)  # fmt: skip
_CHOICES: Mapping[str, tuple[int, ...]] = {
    "FsRtlIsPagingFile": (0, 1),
    "FsRtlIsSystemPagingFile": (0, 1),
    "FsRtlIsDaxVolume": (0, 1),
    "FsRtlIsMobileOS": (0,),
    "FsRtlIsExtentDangling": (0, 1),
    "FsRtlIsNonEmptyDirectoryReparsePointAllowed": (0, 1),
    "FsRtlQueryMaximumVirtualDiskNestingLevel": (2,),
}

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_SILENT, _nothing),
    **dict.fromkeys(_STATUSES, _status),
    **dict.fromkeys(_TRUE, _true),
    **{name: _choice(*values) for name, values in _CHOICES.items()},
    "FsRtlIsNtstatusExpected": _is_expected,
    "FsRtlNormalizeNtstatus": _normalize,
    "FsRtlIsTotalDeviceFailure": _is_total_failure,
    "FsRtlAllocatePool": _allocate(None),
    "FsRtlAllocatePoolWithTag": _allocate(2),
    "FsRtlAllocatePoolWithQuota": _allocate(None, with_quota=True),
    "FsRtlAllocatePoolWithQuotaTag": _allocate(2, with_quota=True),
    "FsRtlAllocateResource": _allocate_resource,
    "FsRtlAllocateAePushLock": _allocate_push_lock,
    "FsRtlCopyRead": _copy_read,
    "FsRtlCopyWrite": _copy_write,
    "FsRtlMdlRead": _describe(is_written=False),
    "FsRtlMdlReadDev": _describe(is_written=False),
    "FsRtlMdlReadEx": _describe(is_written=False, with_status=True),
    "FsRtlPrepareMdlWrite": _describe(is_written=True),
    "FsRtlPrepareMdlWriteDev": _describe(is_written=True),
    "FsRtlPrepareMdlWriteEx": _describe(is_written=True, with_status=True),
    "FsRtlKernelFsControlFile": _control(2),
    "FsRtlIssueDeviceIoControl": _control(3),
    "FsRtlGetFileSize": _size_of_file,
    "FsRtlQueryCachedVdl": _valid_data,
    "FsRtlGetSectorSizeInformation": _sectors,
    "FsRtlValidateReparsePointBuffer": _validate_reparse_point,
    "FsRtlCancellableWaitForSingleObject": _wait_for_one,
    "FsRtlCancellableWaitForMultipleObjects": _wait_for_many,
    "FsRtlRegisterFileSystemFilterCallbacks": _register_filter,
    "FsRtlPostStackOverflow": _post_overflow,
    "FsRtlPostPagingFileStackOverflow": _post_overflow,
    "FsRtlRegisterUncProvider": _register_provider(0),
    "FsRtlRegisterUncProviderEx": _register_provider(0),
    "FsRtlRegisterUncProviderEx2": _register_provider(3),
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "fs-filter-pre": _before,
    "fs-filter-post": _after,
}
