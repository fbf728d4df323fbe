"""Tunnel caches: short and long names of files that were deleted a moment ago, for files of the same name.

Pages of FsRtlAddToTunnelCache and FsRtlFindInTunnelCache in the WDK; TUNNEL: ntifs.h. Time does not pass here, so
that entries stay until they are deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from stackemu.emu.kernel.api.characters import units, upcase
from stackemu.emu.kernel.api.pool import allocate_pool
from stackemu.emu.kernel.call import MAX_COPY, ApiCall

_TUNNEL_SIZE = 48
_MAX_ENTRIES = 256
_KEY_BY_SHORT_NAME = 1


class Entry(NamedTuple):
    """A file that was: its two names, and data of the file system's choice."""

    key: str
    short_name: bytes
    long_name: bytes
    data: bytes


@dataclass(slots=True)
class TunnelCaches:
    """Entries by the address of their TUNNEL and the number of their directory."""

    entries: dict[int, dict[int, list[Entry]]] = field(default_factory=dict)


def _directories(call: ApiCall) -> dict[int, list[Entry]]:
    return call.state(TunnelCaches).entries.setdefault(call.arguments[0], {})


def _directory(call: ApiCall) -> int:
    return call.arguments[1] | call.arguments[2] << 32


def _key(name: bytes) -> str:
    """Names are compared without case."""
    return "".join(chr(upcase(unit)) for unit in units(name))


def _initialize(call: ApiCall) -> None:
    call.write(call.arguments[0], bytes(_TUNNEL_SIZE))
    call.state(TunnelCaches).entries[call.arguments[0]] = {}


def _delete(call: ApiCall) -> None:
    call.state(TunnelCaches).entries.pop(call.arguments[0], None)


def _add(call: ApiCall) -> None:
    """(Cache, DirectoryKey, ShortName, LongName, KeyByShortName, DataLength, Data)."""
    short_at, long_at, flags, length, data = call.arguments[3:8]
    short_name, long_name = call.counted(short_at), call.counted(long_at)
    content = call.read(data, min(length, MAX_COPY)) if length else b""
    key = _key(short_name if flags & _KEY_BY_SHORT_NAME else long_name)
    entries = _directories(call).setdefault(_directory(call), [])
    entries[:] = [entry for entry in entries if entry.key != key][-_MAX_ENTRIES + 1 :]
    entries.append(Entry(key, short_name, long_name, content))


def _delete_key(call: ApiCall) -> None:
    """(Cache, DirectoryKey): the directory is gone."""
    _directories(call).pop(_directory(call), None)


def _find(flag_words: int) -> Callable[[ApiCall], None]:
    """(Cache, DirectoryKey, Name, ShortName, LongName, [Flags,] DataLength, Data): FALSE when there was no such."""

    def behaviour(call: ApiCall) -> None:
        name, short_out, long_out = call.arguments[3:6]
        length_inout, data_out = call.arguments[6 + flag_words : 8 + flag_words]
        key = _key(call.counted(name))
        entries = _directories(call).get(_directory(call), [])
        entry = next((entry for entry in entries if entry.key == key), None)
        if entry is None:
            return
        _put_name(call, short_out, entry.short_name)
        _put_name(call, long_out, entry.long_name)
        data = entry.data[: call.u32(length_inout)]
        if data:
            call.write(data_out, data)
        call.put_u32(length_inout, len(data))
        call.eax = 1

    return behaviour


def _put_name(call: ApiCall, address: int, name: bytes) -> None:
    """Fill a caller's UNICODE_STRING; one that is too short gets a buffer from pool."""
    if call.u16(address + 2) < len(name):
        call.put_u16(address + 2, len(name))
        call.put_u32(address + 4, allocate_pool(call, len(name)))
    if name:
        call.write(call.u32(address + 4), name)
    call.put_u16(address, len(name))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FsRtlInitializeTunnelCache": _initialize,
    "FsRtlDeleteTunnelCache": _delete,
    "FsRtlAddToTunnelCache": _add,
    "FsRtlAddToTunnelCacheEx": _add,
    "FsRtlDeleteKeyFromTunnelCache": _delete_key,
    "FsRtlFindInTunnelCache": _find(0),
    "FsRtlFindInTunnelCacheEx": _find(1),
}
