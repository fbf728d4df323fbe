"""The cache manager: file data copied, mapped, pinned and described, and the callbacks that it asks file systems.

Cc pages of the WDK; CACHE_MANAGER_CALLBACKS, PUBLIC_BCB and CACHE_UNINITIALIZE_EVENT: ntifs.h. A caller that cannot
wait is answered FALSE when the data is not in memory; one that can wait gets an exception when the data cannot be
read. What a file holds is the input's to say.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.inputs import PAGE, STATUS_INSUFFICIENT_RESOURCES
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.files import MAX_TRANSFER, fill
from stackemu.emu.kernel.api.irql import APC_LEVEL, limit_irql
from stackemu.emu.kernel.api.mdl import lock_pages, make_mdl
from stackemu.emu.kernel.api.pool import MAX_ZEROED
from stackemu.emu.kernel.call import ApiCall, Context, Raised
from stackemu.emu.kernel.objects import file_object
from stackemu.emu.kernel.roots import Root, Words

_CALLBACKS = ("AcquireForLazyWrite", "ReleaseFromLazyWrite", "AcquireForReadAhead", "ReleaseFromReadAhead")
"""CACHE_MANAGER_CALLBACKS: those that acquire are also told whether they may wait."""
_WAIT = 1
"""MAP_WAIT and PIN_WAIT."""
_MAX_VIEW = 0x40000
"""Bytes that are mapped at once at most: VACB_MAPPING_GRANULARITY."""
_BCB = struct.Struct("<HHIQ")
_BCB_TYPE, _BCB_ROOM = 0x2FD, 0x80
"""CACHE_NTC_BCB; room for what the cache manager keeps behind the PUBLIC_BCB."""
_UNINITIALIZE_SIGNAL = 8
"""SignalState of the event in a CACHE_UNINITIALIZE_EVENT."""
_CACHE_MAP_ROOM = 0x100


@dataclass(slots=True)
class Bcb:
    """Data that is mapped or pinned: whose, from where, how often it was asked to stay."""

    file: int
    offset: int
    length: int
    buffer: int
    count: int = 1


@dataclass(slots=True)
class CachedFiles:
    """Files with a cache map by their SECTION_OBJECT_POINTERS; BCBs by address, and those that are gone."""

    files: dict[int, int] = field(default_factory=dict)
    bcbs: dict[int, Bcb] = field(default_factory=dict)
    unpinned: dict[int, None] = field(default_factory=dict)
    views: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """Address and bytes of the data that was mapped of a file from an offset on."""


def _is_absent(call: ApiCall, waits: int) -> bool:
    """Return whether the data is not there and the caller does not wait for it; raises when it can't be read."""
    limit_irql(call, APC_LEVEL)
    if call.succeeds:
        return False
    if waits:
        raise Raised(call.failure())
    return True


def _put_status(call: ApiCall, block: int, information: int, status: int = 0) -> None:
    if block:
        call.write(block, struct.pack("<II", status, information))


# -- cache maps --


def _initialize(call: ApiCall) -> None:
    """(FileObject, FileSizes, PinAccess, Callbacks, LazyWriteContext, ...)."""
    address, sizes, _pins, callbacks, context = call.arguments[:5]
    limit_irql(call, APC_LEVEL)
    file = call.view("FILE_OBJECT", address)
    call.read(sizes, 24)
    routines = struct.unpack("<4I", call.read(callbacks, 16))
    for name, routine in zip(_CALLBACKS, routines, strict=True):
        call.root(routine, f"cache manager {name}", "cc-callback", context, int(name.startswith("Acquire")))
    if not call.succeeds:
        raise Raised(STATUS_INSUFFICIENT_RESOURCES)
    pointers = file["SectionObjectPointer"]
    if not file["PrivateCacheMap"]:
        file["PrivateCacheMap"] = call.allocate(_CACHE_MAP_ROOM)
    if pointers:
        section = call.view("SECTION_OBJECT_POINTERS", pointers)
        section["SharedCacheMap"] = section["SharedCacheMap"] or call.allocate(_CACHE_MAP_ROOM)
        call.state(CachedFiles).files[pointers] = address


def _uninitialize(call: ApiCall) -> None:
    """(FileObject, TruncateSize, UninitializeEvent): TRUE when that closed the cache map."""
    address, _size, event = call.arguments[:3]
    limit_irql(call, APC_LEVEL)
    file = call.view("FILE_OBJECT", address)
    was_cached = bool(file["PrivateCacheMap"])
    file["PrivateCacheMap"] = 0
    pointers = file["SectionObjectPointer"]
    if pointers and call.state(CachedFiles).files.pop(pointers, None) is not None:
        call.view("SECTION_OBJECT_POINTERS", pointers)["SharedCacheMap"] = 0
    if event:
        call.put_u32(event + _UNINITIALIZE_SIGNAL, 1)
    call.eax = int(was_cached and call.succeeds)


def _callback(_context: Context, root: Root) -> Words:
    """(Context, Wait), or (Context) for those that release."""
    argument, acquires = root.context
    return Words((argument, 1) if acquires else (argument,))


def _file_of_section(call: ApiCall) -> None:
    """NULL for a file that is not cached."""
    pointers = call.arguments[0]
    known = call.state(CachedFiles).files.get(pointers)
    call.eax = known if known is not None else pick(call, (file_object(call).address, 0))


def _set_sizes(call: ApiCall) -> None:
    """(FileObject, FileSizes); CcSetFileSizesEx says whether it could."""
    call.read(call.arguments[1], 24)
    limit_irql(call, APC_LEVEL)
    if call.name.endswith("Ex") and not call.succeeds:
        call.fail()


# -- copying --


def _copy_read(call: ApiCall) -> None:
    """(FileObject, FileOffset, Length, Wait, Buffer, IoStatus, ...)."""
    _file, offset, length, waits, buffer, block = call.arguments[:6]
    call.u64(offset)
    if not _is_absent(call, waits & 0xFF):
        fill(call, buffer, length)
        _put_status(call, block, length)
        call.eax = 1


def _fast_copy_read(call: ApiCall) -> None:
    """(FileObject, FileOffset as a number, Length, PageCount, Buffer, IoStatus): always waits."""
    _file, _offset, length, _pages, buffer, block = call.arguments[:6]
    if not _is_absent(call, waits=1):
        fill(call, buffer, length)
        _put_status(call, block, length)


def _copy_write(call: ApiCall) -> None:
    """(FileObject, FileOffset, Length, Wait, Buffer, ...)."""
    _file, offset, length, waits, buffer = call.arguments[:5]
    call.u64(offset)
    if not _is_absent(call, waits & 0xFF):
        _read_source(call, buffer, length)
        call.eax = 1


def _fast_copy_write(call: ApiCall) -> None:
    _file, _offset, length, buffer = call.arguments[:4]
    if not _is_absent(call, waits=1):
        _read_source(call, buffer, length)


def _read_source(call: ApiCall, buffer: int, length: int) -> None:
    if length:
        call.read(buffer, min(length, MAX_TRANSFER))


def _zero(call: ApiCall) -> None:
    """(FileObject, StartOffset, EndOffset, Wait)."""
    _file, start, end, waits = call.arguments[:4]
    call.u64(start)
    call.u64(end)
    call.eax = int(not _is_absent(call, waits & 0xFF))


# -- mapping and pinning --


def _view(call: ApiCall, file: int, offset: int, length: int) -> int:
    """Return where a file's data lies: at the same address as long as no more of it is asked for."""
    views = call.state(CachedFiles).views
    address, known = views.get((file, offset), (0, 0))
    if not address or known < length:
        room = call.allocate(length + 2 * PAGE, zeroed=False)
        address = ((room + PAGE - 1) & -PAGE) + offset % PAGE if room else 0
        views[file, offset] = (address, length)
    return address


def _new_bcb(call: ApiCall, file: int, offset_at: int, length: int) -> tuple[int, Bcb]:
    """Return a BCB for data of a file, with its address; raises when so much cannot be mapped."""
    offset = call.u64(offset_at)
    buffer = _view(call, file, offset, length) if length <= _MAX_VIEW else 0
    address = call.allocate(_BCB_ROOM) if buffer else 0
    if not address:
        raise Raised(STATUS_INSUFFICIENT_RESOURCES)
    call.write(address, _BCB.pack(_BCB_TYPE, _BCB.size, length, offset))
    cached = call.state(CachedFiles)
    cached.bcbs[address] = Bcb(file, offset, length, buffer)
    cached.unpinned.pop(address, None)
    return address, cached.bcbs[address]


def _map(call: ApiCall) -> None:
    """CcMapData and CcPinRead: (FileObject, FileOffset, Length, Flags, Bcb, Buffer)."""
    file, offset, length, flags, bcb_out, buffer_out = call.arguments[:6]
    if _is_absent(call, flags & _WAIT):
        return
    address, bcb = _new_bcb(call, file, offset, length)
    call.put_u32(bcb_out, address)
    call.put_u32(buffer_out, bcb.buffer)
    call.eax = 1


def _prepare_pin_write(call: ApiCall) -> None:
    """(FileObject, FileOffset, Length, Zero, Flags, Bcb, Buffer)."""
    file, offset, length, zeroes, flags, bcb_out, buffer_out = call.arguments[:7]
    if _is_absent(call, flags & _WAIT):
        return
    address, bcb = _new_bcb(call, file, offset, length)
    if zeroes & 0xFF and length:
        call.write(bcb.buffer, bytes(min(length, MAX_ZEROED)))
    call.put_u32(bcb_out, address)
    call.put_u32(buffer_out, bcb.buffer)
    call.eax = 1


def _pin_mapped(call: ApiCall) -> None:
    """CcPinMappedData(FileObject, FileOffset, Length, Flags, Bcb): the BCB may become another one."""
    file, offset, length, flags, bcb_inout = call.arguments[:5]
    if _is_absent(call, flags & _WAIT):
        return
    if call.u32(bcb_inout) not in call.state(CachedFiles).bcbs:
        call.put_u32(bcb_inout, _new_bcb(call, file, offset, length)[0])
    call.eax = 1


def _keep(call: ApiCall) -> None:
    """CcRepinBcb and CcRemapBcb: once more to be unpinned."""
    bcb = call.state(CachedFiles).bcbs.get(call.arguments[0])
    if bcb is not None:
        bcb.count += 1
    call.eax = call.arguments[0]


def _unpin(call: ApiCall) -> None:
    """Release data; data that was released before is noted."""
    cached, address = call.state(CachedFiles), call.arguments[0]
    limit_irql(call, APC_LEVEL)
    bcb = cached.bcbs.get(address)
    if bcb is None:
        if address in cached.unpinned:
            call.note(f"{call.name}: the BCB {address:#010x} was unpinned before")
        return
    bcb.count -= 1
    if not bcb.count:
        del cached.bcbs[address]
        cached.unpinned[address] = None


def _unpin_repinned(call: ApiCall) -> None:
    """(Bcb, WriteThrough, IoStatus)."""
    _unpin(call)
    _put_status(call, call.arguments[2], 0, call.source.status(call.ordinal))


def _file_of_bcb(call: ApiCall) -> None:
    bcb = call.state(CachedFiles).bcbs.get(call.arguments[0])
    call.eax = bcb.file if bcb is not None else file_object(call).address


# -- MDLs --


def describe(call: ApiCall, places: tuple[int, int, int, int, int], *, is_written: bool) -> None:
    """Give out an MDL for data of a file: (FileObject, FileOffset, Length, MdlChain, IoStatus).

    Raises:
        Raised: there is no memory for so much.
    """
    file, offset, length, chain_out, block = places
    if length:
        address = _view(call, file, call.u64(offset), length) if length <= _MAX_VIEW else 0
        mdl = make_mdl(call, address, length) if address else None
        if mdl is None or not mdl.address:
            raise Raised(STATUS_INSUFFICIENT_RESOURCES)
        lock_pages(call, mdl, is_written=is_written)
        call.put_u32(chain_out, mdl.address)
    _put_status(call, block, length)


def _mdl(*, is_written: bool) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        _is_absent(call, waits=1)
        file, offset, length, chain_out, block = call.arguments[:5]
        describe(call, (file, offset, length, chain_out, block), is_written=is_written)

    return behaviour


# -- flushing and purging --


def _flush(call: ApiCall) -> None:
    """(SectionObjectPointer, FileOffset, Length, IoStatus, ...)."""
    limit_irql(call, APC_LEVEL)
    _put_status(call, call.arguments[3], 0, call.source.status(call.ordinal))


def _succeeds(call: ApiCall) -> None:
    """TRUE as the input says."""
    limit_irql(call, APC_LEVEL)
    call.eax = int(call.succeeds)


def _status(call: ApiCall) -> None:
    if not call.succeeds:
        call.fail()


def _choice(*values: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = pick(call, values)

    return behaviour


def _defer_write(call: ApiCall) -> None:
    """(FileObject, PostRoutine, Context1, Context2, ...): called when the cache can take the write."""
    _file, routine, first, second = call.arguments[:4]
    call.root(routine, "CcDeferWrite post routine", "plain", first, second)


def _log_handle(call: ApiCall) -> None:
    """(FileObject, LogHandle, FlushToLsnRoutine)."""
    _file, handle, routine = call.arguments[:3]
    call.root(routine, "CcSetLogHandleForFile flush to LSN", "plain", handle, 0x1000, 0)


def _dirty_pages(call: ApiCall) -> None:
    """(LogHandle, DirtyPageRoutine, Context1, Context2): the routine is called for every range; returns an LSN."""
    _handle, routine, first, second = call.arguments[:4]
    for _ in range(pick(call, (1, 0))):
        numbers = call.allocate(24)
        call.write(numbers, struct.pack("<QQQ", 0x2000, 0x100, 0x200))
        file = file_object(call).address
        call.invoke(routine, file, numbers, PAGE, numbers + 8, numbers + 16, first, second)
    call.eax, call.edx = 0x100, 0


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


_SILENT = (
    "CcMdlReadComplete", "CcMdlWriteAbort", "CcMdlWriteComplete", "CcScheduleReadAhead", "CcScheduleReadAheadEx",
    "CcSetAdditionalCacheAttributes", "CcSetAdditionalCacheAttributesEx", "CcSetBcbOwnerPointer",
    "CcSetDirtyPageThreshold", "CcSetDirtyPinnedData", "CcSetParallelFlushFile", "CcSetReadAheadGranularity",
)  # fmt: skip

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_SILENT, _nothing),
    "CcInitializeCacheMap": _initialize,
    "CcInitializeCacheMapEx": _initialize,
    "CcUninitializeCacheMap": _uninitialize,
    "CcGetFileObjectFromSectionPtrs": _file_of_section,
    "CcGetFileObjectFromSectionPtrsRef": _file_of_section,
    "CcSetFileSizes": _set_sizes,
    "CcSetFileSizesEx": _set_sizes,
    "CcCopyRead": _copy_read,
    "CcCopyReadEx": _copy_read,
    "CcAsyncCopyRead": _copy_read,
    "CcFastCopyRead": _fast_copy_read,
    "CcCopyWrite": _copy_write,
    "CcCopyWriteEx": _copy_write,
    "CcFastCopyWrite": _fast_copy_write,
    "CcZeroData": _zero,
    "CcMapData": _map,
    "CcPinRead": _map,
    "CcPreparePinWrite": _prepare_pin_write,
    "CcPinMappedData": _pin_mapped,
    "CcRepinBcb": _keep,
    "CcRemapBcb": _keep,
    "CcUnpinData": _unpin,
    "CcUnpinDataForThread": _unpin,
    "CcUnpinRepinnedBcb": _unpin_repinned,
    "CcGetFileObjectFromBcb": _file_of_bcb,
    "CcMdlRead": _mdl(is_written=False),
    "CcPrepareMdlWrite": _mdl(is_written=True),
    "CcFlushCache": _flush,
    "CcCoherencyFlushAndPurgeCache": _flush,
    "CcPurgeCacheSection": _succeeds,
    "CcCanIWrite": _succeeds,
    "CcCopyWriteWontFlush": _succeeds,
    "CcIsThereDirtyData": _choice(0, 1),
    "CcIsThereDirtyDataEx": _choice(0, 1),
    "CcIsCacheManagerCallbackNeeded": _choice(0, 1),
    "CcWaitForCurrentLazyWriterActivity": _status,
    "CcDeferWrite": _defer_write,
    "CcSetLogHandleForFile": _log_handle,
    "CcGetDirtyPages": _dirty_pages,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"cc-callback": _callback}
