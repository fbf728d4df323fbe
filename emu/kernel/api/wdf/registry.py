"""WDFKEY: registry keys and their values; a value that the driver never assigned is the input's to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.devices import memory_of
from stackemu.emu.kernel.api.wdf.handles import create, find
from stackemu.emu.kernel.api.wdf.shapes import Behaviour, choose, status_only
from stackemu.emu.kernel.call import ApiCall

KEY = "WDFKEY"
_STATUS_OBJECT_NAME_NOT_FOUND = 0xC0000034
_STATUS_BUFFER_OVERFLOW = 0x80000005
_REG_SZ, _REG_DWORD = 1, 4
_CREATED_NEW, _OPENED_EXISTING = 1, 2
_TEXT = "Sample".encode("utf-16-le")


def _open(attributes: int, out: int) -> Behaviour:
    """Return a behaviour that opens a key; a key that does not exist is STATUS_OBJECT_NAME_NOT_FOUND."""

    def behave(call: ApiCall) -> None:
        if not call.succeeds:
            call.complete(_STATUS_OBJECT_NAME_NOT_FOUND)
            return
        call.put_u32(call.arguments[out], create(call, KEY, call.arguments[attributes]).handle)

    return behave


def _create(call: ApiCall) -> None:
    disposition, attributes, out = call.arguments[5:8]
    if not call.succeeds:
        call.fail()
        return
    call.put_optional(disposition, choose(call, 0, _CREATED_NEW, _OPENED_EXISTING))
    call.put_u32(out, create(call, KEY, attributes).handle)


def _handle(call: ApiCall) -> None:
    """WdfRegistryWdmGetHandle answers with a kernel handle."""
    call.eax = 0x80000000 | 4 * choose(call, 0, 1, 0x1000)


def _close(call: ApiCall) -> None:
    find(call, call.arguments[1], KEY).is_deleted = True


def _name(call: ApiCall) -> str:
    return "value " + call.unicode(call.arguments[2]).lower()


def _query_number(call: ApiCall) -> None:
    key, name = find(call, call.arguments[1], KEY), _name(call)
    if name not in key.values and not call.succeeds:
        call.complete(_STATUS_OBJECT_NAME_NOT_FOUND)
        return
    call.put_u32(call.arguments[3], key.values.get(name, call.draw(1)))


def _assign_number(call: ApiCall) -> None:
    if call.succeeds:
        find(call, call.arguments[1], KEY).values[_name(call)] = call.arguments[3]
    else:
        call.fail()


def _value(call: ApiCall) -> tuple[int, bytes]:
    """Return type and data of a value: a number where one was assigned, else a number or a terminated string."""
    key, name = find(call, call.arguments[1], KEY), _name(call)
    if name in key.values or call.draw(1) & 1:
        return _REG_DWORD, key.values.get(name, call.draw(2)).to_bytes(4, "little")
    return _REG_SZ, _TEXT + b"\0\0"


def _query_value(call: ApiCall) -> None:
    size, buffer, needed, kind_out = call.arguments[3:7]
    if not call.succeeds:
        call.complete(_STATUS_OBJECT_NAME_NOT_FOUND)
        return
    kind, data = _value(call)
    call.put_optional(needed, len(data))
    call.put_optional(kind_out, kind)
    if not buffer or size < len(data):
        call.complete(_STATUS_BUFFER_OVERFLOW)
        return
    call.write(buffer, data)


def _query_memory(call: ApiCall) -> None:
    _, attributes, out, kind_out = call.arguments[3:7]
    if not call.succeeds:
        call.complete(_STATUS_OBJECT_NAME_NOT_FOUND)
        return
    kind, data = _value(call)
    call.put_u32(out, memory_of(call, data, attributes).handle)
    call.put_optional(kind_out, kind)


def _query_unicode(call: ApiCall) -> None:
    """Fills the driver's own UNICODE_STRING; too small a buffer is STATUS_BUFFER_OVERFLOW with the size it takes."""
    size_out, value = call.arguments[3:5]
    if not call.succeeds:
        call.complete(_STATUS_OBJECT_NAME_NOT_FOUND)
        return
    if size_out:
        call.put_u16(size_out, len(_TEXT) + 2)
    if not value:
        return
    string = call.view("UNICODE_STRING", value)
    if string["MaximumLength"] < len(_TEXT) + 2:
        call.complete(_STATUS_BUFFER_OVERFLOW)
        return
    call.write(string["Buffer"], _TEXT + b"\0\0")
    string["Length"] = len(_TEXT)


def _query_string(call: ApiCall) -> None:
    if call.succeeds:
        find(call, call.arguments[3], "WDFSTRING").text = _TEXT
    else:
        call.complete(_STATUS_OBJECT_NAME_NOT_FOUND)


def _query_strings(call: ApiCall) -> None:
    """WdfRegistryQueryMultiString adds a WDFSTRING for each string to a collection."""
    if not call.succeeds:
        call.complete(_STATUS_OBJECT_NAME_NOT_FOUND)
        return
    attributes, collection = call.arguments[3:5]
    owner = find(call, collection, "WDFCOLLECTION")
    for _ in range(choose(call, 1, 1, 3)):
        made = create(call, "WDFSTRING", attributes, owner.handle)
        made.text = _TEXT
        owner.items.append(made.handle)


_ASSIGNMENTS = (
    "WdfRegistryAssignValue",
    "WdfRegistryAssignMemory",
    "WdfRegistryAssignMultiString",
    "WdfRegistryAssignUnicodeString",
    "WdfRegistryAssignString",
    "WdfRegistryRemoveKey",
    "WdfRegistryRemoveValue",
)

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_ASSIGNMENTS, status_only),
    "WdfDriverOpenParametersRegistryKey": _open(3, 4),
    "WdfDriverOpenPersistentStateRegistryKey": _open(3, 4),
    "WdfDeviceOpenRegistryKey": _open(4, 5),
    "WdfFdoInitOpenRegistryKey": _open(4, 5),
    "WdfDeviceOpenDevicemapKey": _open(4, 5),
    "WdfRegistryOpenKey": _open(4, 5),
    "WdfRegistryCreateKey": _create,
    "WdfRegistryClose": _close,
    "WdfRegistryWdmGetHandle": _handle,
    "WdfRegistryQueryULong": _query_number,
    "WdfRegistryAssignULong": _assign_number,
    "WdfRegistryQueryValue": _query_value,
    "WdfRegistryQueryMemory": _query_memory,
    "WdfRegistryQueryUnicodeString": _query_unicode,
    "WdfRegistryQueryString": _query_string,
    "WdfRegistryQueryMultiString": _query_strings,
}
