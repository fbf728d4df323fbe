"""What is answered about registry keys and their values by information class; values set and deleted.

Pages of ZwQueryValueKey, ZwEnumerateValueKey, ZwQueryKey and ZwSetValueKey in the WDK; the structures of
KEY_INFORMATION_CLASS and KEY_VALUE_INFORMATION_CLASS: wdm.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.registry import STATUS_OBJECT_NAME_NOT_FOUND, Key, Value, open_key, usable_key
from stackemu.emu.kernel.api.registry_contents import (
    REG_NONE,
    all_subkeys,
    all_values,
    delete_value,
    find_value,
    given_data,
    wide,
    write_value,
)
from stackemu.emu.kernel.call import ApiCall, Context

STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL, STATUS_NO_MORE_ENTRIES = 0x80000005, 0xC0000023, 0x8000001A
_MAX_ENTRIES = 256
"""Values that one call of NtQueryMultipleValueKey is answered about."""
_WRITTEN = 0x01D6_8A2B_3C4D_5E6F
"""LastWriteTime of every key, in units of 100 ns since 1601: 14 September 2020."""
_NONE = 0xFFFFFFFF

T = TypeVar("T")


# -- information classes --


@dataclass(frozen=True, slots=True)
class _Answer:
    """A structure, and how many bytes of it are no answer at all when the buffer is smaller."""

    least: int
    data: bytes


def _aligned(data: bytes, unit: int) -> bytes:
    return data.ljust(-(-len(data) // unit) * unit, b"\0")


def _value_basic(value: Value) -> _Answer:
    name = wide(value.name)
    return _Answer(12, struct.pack("<III", 0, value.kind, len(name)) + name)


def _value_full(unit: int) -> Callable[[Value], _Answer]:
    def structure(value: Value) -> _Answer:
        name = wide(value.name)
        offset = len(_aligned(bytes(20) + name, unit))
        head = struct.pack("<IIIII", 0, value.kind, offset, len(value.data), len(name))
        return _Answer(20, _aligned(head + name, unit) + value.data)

    return structure


def _value_partial(value: Value) -> _Answer:
    return _Answer(12, struct.pack("<III", 0, value.kind, len(value.data)) + value.data)


def _value_partial_aligned(value: Value) -> _Answer:
    return _Answer(8, struct.pack("<II", value.kind, len(value.data)) + value.data)


_OF_VALUE: Mapping[int, Callable[[Value], _Answer]] = {
    0: _value_basic,
    1: _value_full(4),
    2: _value_partial,
    3: _value_full(8),
    4: _value_partial_aligned,
}
"""KEY_VALUE_INFORMATION_CLASS, KeyValueBasicInformation to KeyValuePartialInformationAlign64."""


def _key_basic(_context: Context, key: Key) -> _Answer:
    name = wide(key.name)
    return _Answer(16, struct.pack("<QII", _WRITTEN, 0, len(name)) + name)


def _key_node(_context: Context, key: Key) -> _Answer:
    name, class_name = wide(key.name), wide(key.class_name)
    offset = len(_aligned(bytes(24) + name, 4)) if class_name else _NONE
    data = struct.pack("<QIIII", _WRITTEN, 0, offset, len(class_name), len(name)) + name
    return _Answer(24, _aligned(data, 4) + class_name if class_name else data)


def _counts(context: Context, key: Key) -> tuple[int, int, int, int, int, int]:
    """Subkeys, the longest of their names and of their classes, values, the longest name and the largest data."""
    below, values = all_subkeys(context, key), all_values(context, key)
    return (
        len(below),
        max((len(wide(one.name)) for one in below), default=0),
        max((len(wide(one.class_name)) for one in below), default=0),
        len(values),
        max((len(wide(one.name)) for one in values), default=0),
        max((len(one.data) for one in values), default=0),
    )


def _key_full(context: Context, key: Key) -> _Answer:
    class_name = wide(key.class_name)
    head = struct.pack("<QIII", _WRITTEN, 0, 44 if class_name else _NONE, len(class_name))
    return _Answer(44, head + struct.pack("<IIIIII", *_counts(context, key)) + class_name)


def _key_name(_context: Context, key: Key) -> _Answer:
    path = wide(key.path)
    return _Answer(4, struct.pack("<I", len(path)) + path)


def _flags(count: int) -> Callable[[Context, Key], _Answer]:
    """Return a class of `count` words of flags, none of which is set."""
    return lambda _context, _key: _Answer(4 * count, bytes(4 * count))


_OF_SUBKEY: Mapping[int, Callable[[Context, Key], _Answer]] = {0: _key_basic, 1: _key_node, 2: _key_full}
_OF_KEY: Mapping[int, Callable[[Context, Key], _Answer]] = {
    **_OF_SUBKEY,
    3: _key_name,
    5: _flags(3),
    6: _flags(1),
    7: _flags(1),
    8: _flags(1),
}
"""KEY_INFORMATION_CLASS: basic, node, full, name, flags, virtualization, handle tags, trust."""


def _deliver(call: ApiCall, answer: _Answer, buffer: int, length: int, needed: int) -> None:
    """Fill the caller's buffer as far as it goes, and say how many bytes it takes."""
    call.put_u32(needed, len(answer.data))
    if length < answer.least:
        call.complete(STATUS_BUFFER_TOO_SMALL)
        return
    call.write(buffer, answer.data[:length])
    if length < len(answer.data):
        call.complete(STATUS_BUFFER_OVERFLOW)


def _refuse(call: ApiCall, length: int, needed: int) -> None:
    """Fail as the input says; a buffer that is said to be too small is told a larger size."""
    call.fail()
    if call.eax == STATUS_BUFFER_TOO_SMALL:
        call.put_u32(needed, length + 16)


# -- the driver's calls --

_Found: TypeAlias = "_Answer | int"
"""What a query found, or the NTSTATUS that says why there is nothing."""


def _query(
    class_at: int, classes: Mapping[int, T], find: Callable[[ApiCall, Key, T], _Found]
) -> Callable[[ApiCall], None]:
    """Return the behaviour of (KeyHandle, ..., InformationClass, Information, Length, ResultLength)."""

    def behaviour(call: ApiCall) -> None:
        which, buffer, length, needed = call.arguments[class_at : class_at + 4]
        key = open_key(call, call.arguments[0])
        if key is None:
            return
        if which not in classes:
            call.complete(STATUS_INVALID_PARAMETER)
            return
        if not call.succeeds:
            _refuse(call, length, needed)
            return
        found = find(call, key, classes[which])
        if isinstance(found, int):
            call.complete(found)
        else:
            _deliver(call, found, buffer, length, needed)

    return behaviour


def _value(call: ApiCall, key: Key, structure: Callable[[Value], _Answer]) -> _Found:
    name, length = call.unicode(call.arguments[1]), call.arguments[4]
    around = len(structure(Value(name, REG_NONE, b"")).data)
    value = find_value(call, key, name, length - around if length > around else None)
    return STATUS_OBJECT_NAME_NOT_FOUND if value is None else structure(value)


def _indexed_value(call: ApiCall, key: Key, structure: Callable[[Value], _Answer]) -> _Found:
    index, values = call.arguments[1], all_values(call, key)
    return structure(values[index]) if index < len(values) else STATUS_NO_MORE_ENTRIES


def _indexed_subkey(call: ApiCall, key: Key, structure: Callable[[Context, Key], _Answer]) -> _Found:
    index, below = call.arguments[1], all_subkeys(call, key)
    return structure(call, below[index]) if index < len(below) else STATUS_NO_MORE_ENTRIES


def _key(call: ApiCall, key: Key, structure: Callable[[Context, Key], _Answer]) -> _Found:
    return structure(call, key)


def _query_values(call: ApiCall) -> None:
    """NtQueryMultipleValueKey(KeyHandle, ValueEntries, EntryCount, ValueBuffer, BufferLength, Required).

    A KEY_VALUE_ENTRY is ValueName, DataLength, DataOffset, Type.
    """
    _handle, entries, count, buffer, length_at, required = call.arguments[:6]
    key = usable_key(call)
    if key is None:
        return
    length, data, status = call.u32(length_at), b"", 0
    for index in range(min(count, _MAX_ENTRIES)):
        entry = entries + 16 * index
        value = find_value(call, key, call.unicode(call.u32(entry)), None)
        if value is None:
            call.complete(STATUS_OBJECT_NAME_NOT_FOUND)
            return
        data = _aligned(data, 4)
        call.write(entry + 4, struct.pack("<III", len(value.data), len(data), value.kind))
        if len(data) + len(value.data) > length:
            status = STATUS_BUFFER_OVERFLOW
        elif not status:
            call.write(buffer + len(data), value.data)
        data += value.data
    call.put_u32(length_at, len(data))
    call.put_optional(required, len(data))
    call.complete(status)


def _set_value(call: ApiCall) -> None:
    """(KeyHandle, ValueName, TitleIndex, Type, Data, DataSize)."""
    _handle, name_at, _title, kind, address, size = call.arguments[:6]
    name, data = call.unicode(name_at), given_data(call, address, size)
    key = usable_key(call)
    if key is not None:
        write_value(call, key, name, kind, data)


def _delete_value(call: ApiCall) -> None:
    name = call.unicode(call.arguments[1])
    key = usable_key(call)
    if key is not None:
        delete_value(call, key, name)


_SERVICES: Mapping[str, Callable[[ApiCall], None]] = {
    "QueryKey": _query(1, _OF_KEY, _key),
    "QueryValueKey": _query(2, _OF_VALUE, _value),
    "QueryMultipleValueKey": _query_values,
    "EnumerateKey": _query(2, _OF_SUBKEY, _indexed_subkey),
    "EnumerateValueKey": _query(2, _OF_VALUE, _indexed_value),
    "SetValueKey": _set_value,
    "DeleteValueKey": _delete_value,
}

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    prefix + name: behaviour for name, behaviour in _SERVICES.items() for prefix in ("Zw", "Nt")
}
