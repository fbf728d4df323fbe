"""RtlQueryRegistryValues: tables of values to query, stored where the driver says or handed to its routines.

Pages of RtlQueryRegistryValues and QUERY_REGISTRY_ROUTINE in the WDK; RTL_QUERY_REGISTRY_TABLE and its flags: wdm.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.pool import allocate_pool
from stackemu.emu.kernel.api.registry import (
    STATUS_OBJECT_NAME_NOT_FOUND,
    Key,
    Value,
    existing_key,
)
from stackemu.emu.kernel.api.registry_contents import (
    REG_DWORD,
    REG_EXPAND_SZ,
    REG_MULTI_SZ,
    REG_NONE,
    REG_SZ,
    all_values,
    delete_value,
    find_value,
    given_data,
    suggests_text,
    wide,
)
from stackemu.emu.kernel.api.registry_paths import named_key, terminated_name
from stackemu.emu.kernel.api.registry_values import STATUS_BUFFER_TOO_SMALL
from stackemu.emu.kernel.api.strings import STATUS_NO_MEMORY, Counted
from stackemu.emu.kernel.call import ApiCall, Context

STATUS_OBJECT_TYPE_MISMATCH = 0xC0000024
_SUBKEY, _TOPKEY, _REQUIRED, _NOVALUE, _NOEXPAND, _DIRECT, _DELETE, _TYPECHECK = (
    0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40, 0x100,
)  # fmt: skip
"""RTL_QUERY_REGISTRY_*."""
_TABLE_ENTRY = struct.Struct("<7I")
_MAX_ENTRIES, _MAX_STRINGS = 128, 256
_STRINGS = (REG_SZ, REG_EXPAND_SZ, REG_MULTI_SZ)
_KERNEL_SPACE = 0x80000000
_VARIABLES: Mapping[str, str] = {"systemroot": "C:\\Windows", "windir": "C:\\Windows", "systemdrive": "C:"}


# -- tables --


@dataclass(frozen=True, slots=True)
class _Entry:
    """RTL_QUERY_REGISTRY_TABLE, with its place in the table."""

    index: int
    routine: int
    flags: int
    name_at: int
    context: int
    default: int
    default_data: int
    default_length: int

    @property
    def is_last(self) -> bool:
        """Whether this is what ends a table."""
        return not self.routine and not self.flags & (_SUBKEY | _DIRECT)

    @property
    def default_kind(self) -> int:
        """The type of the default value; above it lies the type that is checked for."""
        return self.default & 0xFFFFFF if self.flags & _TYPECHECK else self.default

    @property
    def wanted_kind(self) -> int | None:
        """The type that the value must have, or else the one that its default has."""
        return (self.default >> 24 if self.flags & _TYPECHECK else 0) or self.default_kind or None


def _entries(call: ApiCall, table: int) -> Iterator[_Entry]:
    for index in range(_MAX_ENTRIES):
        entry = _Entry(index, *_TABLE_ENTRY.unpack(call.read(table + _TABLE_ENTRY.size * index, _TABLE_ENTRY.size)))
        if entry.is_last:
            return
        yield entry


def _query_table(call: ApiCall) -> None:
    """(RelativeTo, Path, QueryTable, Context, Environment)."""
    if not call.succeeds and pick(call, (True, False), 7):  # else the key exists, and none of its values
        limit_irql(call, PASSIVE_LEVEL)
        call.fail()
        return
    top = current = named_key(call)
    if top is None or current is None:
        return
    for entry in _entries(call, call.arguments[2]):
        if entry.flags & (_TOPKEY | _SUBKEY):
            current = top
        if _is_wrong(entry):
            call.complete(STATUS_INVALID_PARAMETER)
        elif entry.flags & _SUBKEY:
            found = existing_key(call, f"{top.path}\\{terminated_name(call, entry.name_at)}")
            current = found or top
            if found is not None and entry.routine:
                call.complete(_query_all(call, entry, current))
        else:
            call.complete(_query_entry(call, entry, current))
        if call.eax & 0x80000000:
            return
    call.complete(0)


def _is_wrong(entry: _Entry) -> bool:
    if entry.flags & _SUBKEY and not entry.name_at:
        return True
    return bool(entry.flags & _DIRECT and (not entry.name_at or entry.flags & _SUBKEY or entry.routine))


def _query_entry(call: ApiCall, entry: _Entry, key: Key) -> int:
    if entry.name_at:
        return _query_one(call, entry, key, terminated_name(call, entry.name_at))
    if entry.flags & _NOVALUE:
        return call.invoke(entry.routine, 0, REG_NONE, 0, 0, call.arguments[3], entry.context)
    return _query_all(call, entry, key)


def _query_all(call: ApiCall, entry: _Entry, key: Key) -> int:
    """An entry without a name is called for every value of the key."""
    values = all_values(call, key)
    if not values and entry.flags & _REQUIRED:
        return STATUS_OBJECT_NAME_NOT_FOUND
    for value in values:
        status = _hand_over(call, entry, value)
        if status & 0x80000000:
            return status
        if entry.flags & _DELETE:
            delete_value(call, key, value.name)
    return 0


def _query_one(call: ApiCall, entry: _Entry, key: Key, name: str) -> int:
    value = _found(call, entry, key, name)
    if value is not None:
        status = _hand_over(call, entry, value)
        if entry.flags & _DELETE and not status & 0x80000000:
            delete_value(call, key, name)
        return status
    if entry.flags & _REQUIRED:
        return STATUS_OBJECT_NAME_NOT_FOUND
    if entry.default_kind == REG_NONE:
        return 0
    return _hand_over(call, entry, _default(call, entry, name))


def _found(call: ApiCall, entry: _Entry, key: Key, name: str) -> Value | None:
    """Return the value, of a type that fits the entry; which of those that nobody wrote exist is the input's."""
    is_there = call.succeeds and not call.draw(1) >> entry.index % 32 & 1
    if not is_there and name.lower() not in key.values:
        return None
    kind, room = entry.wanted_kind, None
    if entry.flags & _DIRECT:
        target = Counted.at(call, entry.context)
        kind = kind or _direct_kind(target, name)
        room = target.maximum if kind in _STRINGS and target.buffer else None
    return find_value(call, key, name, room, kind, draw=2 + entry.index % 5)


def _direct_kind(target: Counted, name: str) -> int:
    """Return the type that the caller's buffer is meant for: a string where it is a UNICODE_STRING, else a number."""
    if not target.buffer:
        is_string = not target.length and not target.maximum and suggests_text(name)
    else:
        is_string = target.buffer >= _KERNEL_SPACE and target.length <= target.maximum >= 2 and not target.maximum % 2
    return REG_SZ if is_string else REG_DWORD


def _default(call: ApiCall, entry: _Entry, name: str) -> Value:
    """Return the default that an entry gives; strings may leave their length to their terminator."""
    address, length, kind = entry.default_data, entry.default_length, entry.default_kind
    if not address:
        return Value(name, kind, b"")
    if length or kind not in _STRINGS:
        return Value(name, kind, given_data(call, address, length))
    if kind != REG_MULTI_SZ:
        return Value(name, kind, call.terminated(address, 2) + b"\0\0")
    data = b""
    for _ in range(_MAX_STRINGS):
        text = call.terminated(address + len(data), 2)
        data += text + b"\0\0"
        if not text:
            break
    return Value(name, kind, data)


# -- what the driver gets --


def _hand_over(call: ApiCall, entry: _Entry, value: Value) -> int:
    """Store a value or call the driver's routine with it: for every string of a list, with variables expanded."""
    expected = entry.default >> 24
    if entry.flags & _DIRECT:
        if entry.flags & _TYPECHECK and expected and expected != value.kind:
            return STATUS_OBJECT_TYPE_MISMATCH
        return _store(call, entry, _expanded(value) if not entry.flags & _NOEXPAND else value)
    if entry.flags & _NOEXPAND:
        return _report(call, entry, value)
    if value.kind != REG_MULTI_SZ:
        return _report(call, entry, _expanded(value))
    for text in _split(value.data):
        status = _report(call, entry, Value(value.name, REG_SZ, text))
        if status & 0x80000000:
            return status
    return 0


def _split(data: bytes) -> Iterator[bytes]:
    """Yield the strings of a REG_MULTI_SZ, each with its terminator."""
    for text in data.decode("utf-16-le", "replace").split("\0")[:_MAX_STRINGS]:
        if not text:
            return
        yield wide(text + "\0")


def _expanded(value: Value) -> Value:
    """Return a REG_EXPAND_SZ as the REG_SZ that it stands for."""
    if value.kind != REG_EXPAND_SZ:
        return value
    text = value.data.decode("utf-16-le", "replace")
    text = re.sub("%([^%]*)%", lambda found: _VARIABLES.get(found[1].lower(), found[0]), text)
    return Value(value.name, REG_SZ, wide(text))


def _report(call: ApiCall, entry: _Entry, value: Value) -> int:
    """Call (ValueName, ValueType, ValueData, ValueLength, Context, EntryContext)."""
    name, data = _copy(call, wide(value.name + "\0")), _copy(call, value.data)
    return call.invoke(entry.routine, name, value.kind, data, len(value.data), call.arguments[3], entry.context)


def _copy(context: Context, data: bytes) -> int:
    address = context.allocate(len(data), zeroed=False)
    if data:
        context.write(address, data)
    return address


def _store(call: ApiCall, entry: _Entry, value: Value) -> int:
    """Put a value where EntryContext points: strings into a UNICODE_STRING, up to four bytes as they are."""
    data, target = value.data, entry.context
    if value.kind in _STRINGS:
        return _store_string(call, target, data)
    if len(data) <= 4:
        if data:
            call.write(target, data)
        return 0
    size = struct.unpack("<i", call.read(target, 4))[0]
    # a negative size asks for the data alone, a positive one for its length and type before it
    head = b"" if size < 0 else struct.pack("<II", len(data), value.kind)
    if len(head) + len(data) > abs(size):
        return STATUS_BUFFER_TOO_SMALL
    call.write(target, head + data)
    return 0


def _store_string(call: ApiCall, target: int, data: bytes) -> int:
    string, data = Counted.at(call, target), data[:0xFFFE]
    buffer, maximum = string.buffer, string.maximum
    if not buffer:
        buffer, maximum = allocate_pool(call, len(data)), len(data)
        if not buffer:
            return STATUS_NO_MEMORY
    elif len(data) > maximum:
        return STATUS_BUFFER_TOO_SMALL
    if data:
        call.write(buffer, data)
    Counted(max(0, len(data) - 2), maximum, buffer).put(call, target)
    return 0


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlQueryRegistryValues": _query_table,
    "RtlQueryRegistryValuesEx": _query_table,
}
