"""WDFMEMORY, WDFLOOKASIDE, WDFCOLLECTION and WDFSTRING: buffers, lists and strings as objects."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.handles import WdfObject, create, find, make
from stackemu.emu.kernel.api.wdf.shapes import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_BUFFER_SIZE,
    Behaviour,
    choose,
    creator,
)
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context

_STATUS_INVALID_PARAMETER = 0xC000000D
_FOREIGN_SIZE = 0x400
"""Bytes of a memory object or count of a lookaside buffer that nobody knows the size of, at most."""
_MAX_ITEMS = 0x10000


def buffer(context: Context, memory: WdfObject) -> tuple[int, int]:
    """Return address and size in bytes of a WDFMEMORY's buffer, made up where nobody knows it."""
    if memory.is_foreign and not memory.get("buffer"):
        memory.values["size"] = choose(context, 0, 0, _FOREIGN_SIZE)
        memory.values["buffer"] = context.allocate(memory.get("size"), zeroed=False)
    return memory.get("buffer"), memory.get("size")


def _memory_create(call: ApiCall) -> None:
    """WdfMemoryCreate: the buffer comes from pool, uninitialised; both the handle and its address are answered."""
    attributes, _, _, size, out, buffer_out = call.arguments[1:7]
    if size == 0:
        call.complete(_STATUS_INVALID_PARAMETER)
        return
    if not call.succeeds:
        call.fail()
        return
    made = create(call, "WDFMEMORY", attributes)
    made.values["buffer"] = call.allocate(min(size, MAX_COPY), zeroed=False)
    made.values["size"] = size
    call.put_u32(out, made.handle)
    call.put_optional(buffer_out, made.get("buffer"))


def _memory_create_preallocated(call: ApiCall) -> None:
    attributes, address, size, out = call.arguments[1:5]
    if not call.succeeds:
        call.fail()
        return
    made = create(call, "WDFMEMORY", attributes)
    made.values.update({"buffer": address, "size": size})
    call.put_u32(out, made.handle)


def _get_buffer(call: ApiCall) -> None:
    call.eax, size = buffer(call, find(call, call.arguments[1], "WDFMEMORY"))
    call.put_optional(call.arguments[2], size)


def _assign_buffer(call: ApiCall) -> None:
    """Only preallocated memory can be given another buffer; the input says whether that works."""
    handle, address, size = call.arguments[1:4]
    if call.succeeds:
        find(call, handle, "WDFMEMORY").values.update({"buffer": address, "size": size})
    else:
        call.fail()


def _copy(*, to_buffer: bool) -> Behaviour:
    """WdfMemoryCopyToBuffer and …FromBuffer check offset and length against the memory's size."""

    def behave(call: ApiCall) -> None:
        handle, offset, other, count = call.arguments[1:5]
        address, size = buffer(call, find(call, handle, "WDFMEMORY"))
        if count == 0:
            call.complete(_STATUS_INVALID_PARAMETER)
        elif offset + count > size:
            call.complete(STATUS_BUFFER_TOO_SMALL if to_buffer else STATUS_INVALID_BUFFER_SIZE)
        else:
            count = min(count, MAX_COPY)
            source, target = (address + offset, other) if to_buffer else (other, address + offset)
            call.write(target, call.read(source, count))

    return behave


def _lookaside_create(call: ApiCall) -> None:
    attributes, size, _, memory_attributes, _, out = call.arguments[1:7]
    if not call.succeeds:
        call.fail()
        return
    made = create(call, "WDFLOOKASIDE", attributes)
    made.values.update({"size": size, "memory attributes": memory_attributes})
    call.put_u32(out, made.handle)


def _memory_from_lookaside(call: ApiCall) -> None:
    """The memory has the list's size; its attributes were those of the list's creation."""
    if not call.succeeds:
        call.fail()
        return
    lookaside = find(call, call.arguments[1], "WDFLOOKASIDE")
    size = lookaside.get("size") or choose(call, 0, 1, _FOREIGN_SIZE)
    made = make(call, "WDFMEMORY", lookaside.handle)
    made.values.update({"size": size, "buffer": call.allocate(min(size, MAX_COPY), zeroed=False)})
    call.put_u32(call.arguments[2], made.handle)


# -- collections --


def _collection(call: ApiCall) -> WdfObject:
    collection = find(call, call.arguments[1], "WDFCOLLECTION")
    if collection.is_foreign and "count" not in collection.values:
        collection.values["count"] = choose(call, 0, 0, 3)
        for _ in range(collection.get("count")):
            item = make(call, "WDFOBJECT")
            item.is_foreign = True
            collection.items.append(item.handle)
    return collection


def _collection_add(call: ApiCall) -> None:
    collection = _collection(call)
    if call.succeeds and len(collection.items) < _MAX_ITEMS:
        collection.items.append(call.arguments[2])
    else:
        call.fail()


def _collection_count(call: ApiCall) -> None:
    call.eax = len(_collection(call).items)


def _collection_remove(call: ApiCall) -> None:
    items = _collection(call).items
    if call.arguments[2] in items:
        items.remove(call.arguments[2])


def _collection_remove_item(call: ApiCall) -> None:
    items = _collection(call).items
    if call.arguments[2] < len(items):
        del items[call.arguments[2]]


def _collection_item(index: int | None) -> Behaviour:
    """Return a behaviour that answers with an item, NULL when there is none; the index is argument 2 if None."""

    def behave(call: ApiCall) -> None:
        items = _collection(call).items
        at = call.arguments[2] if index is None else index
        call.eax = items[at] if -len(items) <= at < len(items) else 0

    return behave


# -- strings --


def _string_create(call: ApiCall) -> None:
    source, attributes, out = call.arguments[1:4]
    if not call.succeeds:
        call.fail()
        return
    made = create(call, "WDFSTRING", attributes)
    made.text = call.counted(source)
    call.put_u32(out, made.handle)


def _get_unicode_string(call: ApiCall) -> None:
    """The UNICODE_STRING points to the object's own, terminated copy."""
    string = find(call, call.arguments[1], "WDFSTRING")
    address = call.allocate(len(string.text) + 2)
    call.write(address, string.text + b"\0\0")
    call.write(call.arguments[2], struct.pack("<HHI", len(string.text), len(string.text) + 2, address))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "WdfMemoryCreate": _memory_create,
    "WdfMemoryCreatePreallocated": _memory_create_preallocated,
    "WdfMemoryGetBuffer": _get_buffer,
    "WdfMemoryAssignBuffer": _assign_buffer,
    "WdfMemoryCopyToBuffer": _copy(to_buffer=True),
    "WdfMemoryCopyFromBuffer": _copy(to_buffer=False),
    "WdfLookasideListCreate": _lookaside_create,
    "WdfMemoryCreateFromLookaside": _memory_from_lookaside,
    "WdfCollectionCreate": creator("WDFCOLLECTION", attributes=1, result=2),
    "WdfCollectionGetCount": _collection_count,
    "WdfCollectionAdd": _collection_add,
    "WdfCollectionRemove": _collection_remove,
    "WdfCollectionRemoveItem": _collection_remove_item,
    "WdfCollectionGetItem": _collection_item(None),
    "WdfCollectionGetFirstItem": _collection_item(0),
    "WdfCollectionGetLastItem": _collection_item(-1),
    "WdfStringCreate": _string_create,
    "WdfStringGetUnicodeString": _get_unicode_string,
}
