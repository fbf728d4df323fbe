"""Contexts that file system filters hang on streams, files and file objects (the legacy way, without FltMgr).

Pages of FsRtlInsertPerStreamContext, FsRtlLookupPerStreamContext, FsRtlInsertPerFileContext and
FsRtlTeardownPerStreamContexts in the WDK; FSRTL_PER_STREAM_CONTEXT and its kin: ntifs.h. The contexts lie in lists
where the driver can see them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.layouts import layout

_OWNER, _INSTANCE, _FREE = 8, 12, 16
"""Offsets of OwnerId, InstanceId and FreeCallback, behind Links; a context of a file object has no FreeCallback."""
_HEADER = layout("FSRTL_ADVANCED_FCB_HEADER")
_SUPPORTS_CONTEXTS = 0x02
"""FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS."""
_MAX_CONTEXTS = 256
"""Contexts that are looked at in one list: its links may be anything."""
STATUS_INVALID_DEVICE_REQUEST = 0xC0000010


@dataclass(slots=True)
class FileObjectContexts:
    """Heads of the lists of file objects, which keep them in an extension of their own."""

    heads: dict[int, int] = field(default_factory=dict)


_Head = Callable[[ApiCall, bool], int]
"""Returns the address of the list that the first argument leads to, 0 for none; it may be asked to make one."""


def _new_list(context: Context) -> int:
    head = context.allocate(8)
    context.put_u32(head, head)
    context.put_u32(head + 4, head)
    return head


def _stream_head(call: ApiCall, _makes: bool) -> int:
    """The first argument is the header of a stream, whose file system says whether it takes contexts."""
    header = call.arguments[0]
    if not header or not call.u8(header + _HEADER.offset("Flags2")) & _SUPPORTS_CONTEXTS:
        return 0
    return header + _HEADER.offset("FilterContexts")


def _file_head(call: ApiCall, makes: bool) -> int:
    """The first argument is the address of a pointer, which is null while there was no context."""
    place = call.arguments[0]
    if not place:
        return 0
    head = call.u32(place)
    if not head and makes:
        head = _new_list(call)
        call.put_u32(place, head)
    return head


def _file_object_head(call: ApiCall, makes: bool) -> int:
    heads = call.state(FileObjectContexts).heads
    file = call.arguments[0]
    if file and file not in heads and makes:
        heads[file] = _new_list(call)
    return heads.get(file, 0)


def _entries(call: ApiCall, head: int) -> Iterator[int]:
    """Yield the contexts of a list, the newest first."""
    entry = call.u32(head)
    for _ in range(_MAX_CONTEXTS):
        if not entry or entry == head:
            return
        following = call.u32(entry)
        yield entry
        entry = following


def _insert(head_of: _Head) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        entry = call.arguments[1]
        head = head_of(call, True)
        if not head:
            call.complete(STATUS_INVALID_DEVICE_REQUEST)
            return
        if not call.succeeds:
            call.fail()
            return
        first = call.u32(head)
        call.put_u32(entry, first)
        call.put_u32(entry + 4, head)
        call.put_u32(first + 4, entry)
        call.put_u32(head, entry)

    return behaviour


def _find(call: ApiCall, head: int) -> int:
    """Return the first context of an owner, and of one of its instances unless that is null; 0 for none.

    Without an owner the first of all is meant.
    """
    owner, instance = call.arguments[1:3]
    for entry in _entries(call, head):
        is_owners = not owner or call.u32(entry + _OWNER) == owner
        if is_owners and (not owner or not instance or call.u32(entry + _INSTANCE) == instance):
            return entry
    return 0


def _unlink(call: ApiCall, entry: int) -> None:
    following, before = call.u32(entry), call.u32(entry + 4)
    call.put_u32(before, following)
    call.put_u32(following + 4, before)


def _lookup(head_of: _Head, *, removes: bool = False) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        head = head_of(call, False)
        call.eax = _find(call, head) if head else 0
        if removes and call.eax:
            _unlink(call, call.eax)

    return behaviour


def _tear_down(head_of: _Head) -> Callable[[ApiCall], None]:
    """The file system is done with the stream: each context is taken out and freed by its owner."""

    def behaviour(call: ApiCall) -> None:
        head = head_of(call, False)
        if not head:
            return
        image = call.kernel.image
        for entry in _entries(call, head):
            _unlink(call, entry)
            routine = call.u32(entry + _FREE)
            if image.is_code(routine - image.base):
                call.invoke(routine, entry)

    return behaviour


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FsRtlInsertPerStreamContext": _insert(_stream_head),
    "FsRtlLookupPerStreamContextInternal": _lookup(_stream_head),
    "FsRtlRemovePerStreamContext": _lookup(_stream_head, removes=True),
    "FsRtlTeardownPerStreamContexts": _tear_down(_stream_head),
    "FsRtlInsertPerFileContext": _insert(_file_head),
    "FsRtlLookupPerFileContext": _lookup(_file_head),
    "FsRtlRemovePerFileContext": _lookup(_file_head, removes=True),
    "FsRtlTeardownPerFileContexts": _tear_down(_file_head),
    "FsRtlInsertPerFileObjectContext": _insert(_file_object_head),
    "FsRtlLookupPerFileObjectContext": _lookup(_file_object_head),
    "FsRtlRemovePerFileObjectContext": _lookup(_file_object_head, removes=True),
}
