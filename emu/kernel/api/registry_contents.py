"""What keys of the registry hold: the values that the driver wrote, and those that it finds there.

A value that the driver did not write exists as the input says, with a type and a size of the input's choice, those
first that its name and the caller's buffer suggest; from then on it stays as it is. Types: wdm.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping

from stackemu.emu.inputs import STATUS_INSUFFICIENT_RESOURCES
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.registry import STATUS_OBJECT_NAME_NOT_FOUND, Key, Value, add_key, subkeys
from stackemu.emu.kernel.call import ApiCall, Context

REG_NONE, REG_SZ, REG_EXPAND_SZ, REG_BINARY, REG_DWORD, REG_MULTI_SZ, REG_QWORD = 0, 1, 2, 3, 4, 7, 11
_MAX_DATA = 0x10000
"""Bytes of the largest value that is kept."""
_MAX_VALUES = 256
_MAX_FILLED = 0x400
"""Bytes of the largest buffer that a string fills."""
_SMALL_ROOM = 12
"""Room in bytes that suggests a number."""

_TEXT_NAMES = re.compile(r"name|path|dir(ectory)?$|string|folder|root|^group$|^altitude$|^defaultinstance$", re.I)
_NUMBER_NAMES = re.compile(
    r"^start$|^type$|^errorcontrol$|^tag$|flags?$|level$|timeout$|count$|size$|^enable|^disable", re.I
)
_KNOWN_TEXTS: Mapping[str, str] = {
    "imagepath": "\\SystemRoot\\System32\\drivers\\sample.sys",
    "group": "FSFilter Activity Monitor",
    "altitude": "370030",
    "defaultinstance": "Sample Instance",
    "systemroot": "C:\\Windows",
    "currentversion": "6.1",
    "currentbuildnumber": "7601",
}
"""Values of service keys, of minifilters' instances and of the system, with a text as installations write it."""
_TEXTS = ("Sample", "\\Device\\HarddiskVolume1\\Directory\\File.txt", "", "1", "Sample value; " * 40)
_LISTS = ("First\0Second\0", "Only\0", "", "notepad.exe\0C:\\Windows\\System32\\*.dll\0\\Device\\Sample\0")


def suggests_text(name: str) -> bool:
    """Return whether values of this name are usually strings."""
    return name.lower() in _KNOWN_TEXTS or bool(_TEXT_NAMES.search(name))


def find_value(
    call: ApiCall, key: Key, name: str, room: int | None, kind: int | None = None, *, draw: int = 1
) -> Value | None:
    """Return a value of a key, None when the driver knows that there is none.

    `room` is how many bytes of data the caller can take, None when it only asks how many there are; `kind` is the
    type that it wants. A value made up here draws two numbers of the call from `draw` on.
    """
    lower = name.lower()
    known = key.values.get(lower)
    if known is not None or key.is_new or lower in key.absent:
        return known
    if kind is None:
        kind = pick(call, _likely_kinds(name, room), draw)
    value = Value(name, kind, _MAKERS.get(kind, _binary)(call, name, room, draw + 1))
    if len(key.values) < _MAX_VALUES:
        key.values[lower] = value
    return value


def _likely_kinds(name: str, room: int | None) -> tuple[int, ...]:
    """Return the types that a value may have, the likeliest first."""
    is_small = room is not None and room <= _SMALL_ROOM
    if suggests_text(name):
        first: tuple[int, ...] = (REG_SZ, REG_EXPAND_SZ, REG_MULTI_SZ)
    elif is_small or _NUMBER_NAMES.search(name):
        first = (REG_DWORD,)
    else:
        first = (REG_SZ, REG_DWORD, REG_MULTI_SZ)
    others = (REG_DWORD, REG_BINARY, REG_SZ, REG_MULTI_SZ, REG_QWORD, REG_EXPAND_SZ)
    return first + tuple(kind for kind in others if kind not in first)


def wide(text: str) -> bytes:
    """Return a text in UTF-16."""
    return text.encode("utf-16-le", "surrogatepass")


def _fitting(texts: tuple[bytes, ...], room: int | None) -> list[bytes]:
    """Return the texts, those first that fit; one of them fills the room."""
    if room is None:
        return list(texts)
    full = [wide("S" * (room // 2 - 1) + "\0")] if 2 <= room <= _MAX_FILLED else []
    return sorted((texts[0], *full, *texts[1:]), key=lambda text: len(text) > room)


def _text(context: Context, name: str, room: int | None, draw: int) -> bytes:
    known = _KNOWN_TEXTS.get(name.lower())
    texts = _TEXTS if known is None else (known, *_TEXTS)
    return pick(context, _fitting(tuple(wide(text + "\0") for text in texts), room), draw)


def _list(context: Context, _name: str, room: int | None, draw: int) -> bytes:
    lists = sorted((wide(text + "\0") for text in _LISTS), key=lambda data: room is not None and len(data) > room)
    return pick(context, lists, draw)


def _number(context: Context, _name: str, _room: int | None, draw: int) -> bytes:
    return struct.pack("<I", context.draw(draw))


def _wide_number(context: Context, _name: str, _room: int | None, draw: int) -> bytes:
    return struct.pack("<Q", context.draw(draw))


def _binary(context: Context, _name: str, room: int | None, draw: int) -> bytes:
    """As many bytes as there is room for, or a few more; 16 where nobody knows."""
    size = 16 if room is None else min(max(room, 0), 0x100)
    word = context.draw(draw)
    return (struct.pack("<I", word) * (size // 4 + 1))[: size + 4 * (word & 1)]


_MAKERS: Mapping[int, Callable[[Context, str, int | None, int], bytes]] = {
    REG_NONE: lambda *_arguments: b"",
    REG_SZ: _text,
    REG_EXPAND_SZ: _text,
    REG_MULTI_SZ: _list,
    REG_DWORD: _number,
    REG_QWORD: _wide_number,
}


def all_values(context: Context, key: Key) -> list[Value]:
    """Return the values of a key; the first time some that somebody else wrote are among them."""
    if not key.is_new and "values" not in key.listed:
        key.listed["values"] = None
        kinds = (REG_SZ, REG_DWORD, REG_MULTI_SZ, REG_BINARY)
        for number in range(pick(context, (2, 1, 0, 4), 4)):
            name, kind = f"Value{number}", kinds[number]
            if name.lower() not in key.absent:
                made = Value(name, kind, _MAKERS.get(kind, _binary)(context, name, None, 5))
                key.values.setdefault(name.lower(), made)
    return list(key.values.values())


def all_subkeys(context: Context, key: Key) -> list[Key]:
    """Return the keys below a key; the first time some that somebody else made are among them."""
    if not key.is_new and "keys" not in key.listed:
        key.listed["keys"] = None
        known = {one.name.lower() for one in subkeys(context, key)}
        for number in range(pick(context, (2, 1, 0, 3), 6)):
            if f"subkey{number}" not in known:
                made = add_key(context, f"{key.path}\\Subkey{number}")
                made.listed["keys"] = None  # a driver that walks the tree comes to an end
    return list(subkeys(context, key))


# -- what the driver writes --


def write_value(call: ApiCall, key: Key, name: str, kind: int, data: bytes) -> None:
    """Set a value of a key as the driver asks, or fail where the registry is full."""
    lower = name.lower()
    if len(data) > _MAX_DATA or (lower not in key.values and len(key.values) >= _MAX_VALUES):
        call.complete(STATUS_INSUFFICIENT_RESOURCES)
        return
    key.values[lower] = Value(name, kind, data)
    key.absent.pop(lower, None)


def given_data(call: ApiCall, address: int, size: int) -> bytes:
    """Return the data that the driver wants written: one byte too many of more than is kept."""
    return call.read(address, min(size, _MAX_DATA + 1)) if size else b""


def delete_value(call: ApiCall, key: Key, name: str) -> None:
    """Remove a value; one that the driver knows not to be there is STATUS_OBJECT_NAME_NOT_FOUND."""
    lower = name.lower()
    if key.values.pop(lower, None) is None and (key.is_new or lower in key.absent):
        call.complete(STATUS_OBJECT_NAME_NOT_FOUND)
        return
    if len(key.absent) < _MAX_VALUES:
        key.absent[lower] = None
