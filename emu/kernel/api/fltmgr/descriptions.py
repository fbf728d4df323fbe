"""Filters, instances and volumes described: structures of the information classes, with strings behind them.

FILTER_INFORMATION_CLASS, INSTANCE_INFORMATION_CLASS and FILTER_VOLUME_INFORMATION_CLASS: fltUserStructures.h and
"Filter Manager Structures" in the WDK.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import below
from stackemu.emu.kernel.api.fltmgr.objects import instance_object, volume_of
from stackemu.emu.kernel.api.fltmgr.volumes import STATUS_BUFFER_TOO_SMALL, is_remote, volume_name
from stackemu.emu.kernel.api.irql import APC_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall, Context

STATUS_NO_MORE_ENTRIES = 0x8000001A
_FULL, _AGGREGATE_BASIC, _AGGREGATE_STANDARD = range(3)
"""FILTER_INFORMATION_CLASS."""
_BASIC, _PARTIAL, _FULL_INSTANCE, _AGGREGATE_INSTANCE = range(4)
"""INSTANCE_INFORMATION_CLASS."""
_VOLUME_BASIC, _VOLUME_STANDARD = range(2)
"""FILTER_VOLUME_INFORMATION_CLASS."""
_MINIFILTER = 1
"""FLTFL_AGGREGATE_INFO_IS_MINIFILTER, FLTFL_IASI_IS_MINIFILTER."""
_NTFS, _LANMAN = 2, 6
_ALTITUDE, _INSTANCE_SUFFIX = "385100", " Instance"
_ENTRIES = 3
"""How many entries an enumeration has at most."""

Maker = Callable[[Context, int, int], bytes | None]
"""What makes a structure of an information class for an instance or volume, None for an unknown class."""


def _with_strings(head: bytes, *strings: str) -> bytes:
    """Return a structure whose head is followed by pairs of USHORT, length and offset, and by the strings."""
    texts = [text.encode("utf-16-le") for text in strings]
    at = len(head) + 4 * len(texts)
    pairs = b""
    for text in texts:
        pairs += struct.pack("<HH", len(text), at)
        at += len(text)
    return head + pairs + b"".join(texts)


def _filter(context: Context, _filter: int, kind: int) -> bytes | None:
    name = context.kernel.image.module
    if kind == _FULL:
        text = name.encode("utf-16-le")
        return struct.pack("<IIIH", 0, 0, 1, len(text)) + text
    if kind == _AGGREGATE_BASIC:
        return _with_strings(struct.pack("<IIII", 0, _MINIFILTER, 0, 1), name, _ALTITUDE)
    if kind == _AGGREGATE_STANDARD:
        return _with_strings(struct.pack("<IIIII", 0, _MINIFILTER, 0, 0, 1), name, _ALTITUDE)
    return None


def _instance(context: Context, instance: int, kind: int) -> bytes | None:
    name = context.kernel.image.module
    volume = volume_of(context, instance)
    own, on = name + _INSTANCE_SUFFIX, volume_name(context, volume)
    if kind == _BASIC:
        return _with_strings(bytes(4), own)
    if kind == _PARTIAL:
        return _with_strings(bytes(4), own, _ALTITUDE)
    if kind == _FULL_INSTANCE:
        return _with_strings(bytes(4), own, _ALTITUDE, on, name)
    if kind == _AGGREGATE_INSTANCE:
        system = _LANMAN if is_remote(context, volume) else _NTFS
        return _aggregate_instance(system, own, _ALTITUDE, on, name)
    return None


def _aggregate_instance(system: int, *strings: str) -> bytes:
    """INSTANCE_AGGREGATE_STANDARD_INFORMATION: SupportedFeatures lie between the pairs and the strings."""
    head = struct.pack("<IIIII", 0, _MINIFILTER, 0, 0, system)
    texts = [text.encode("utf-16-le") for text in strings]
    at = len(head) + 4 * len(texts) + 4
    for text in texts:
        head += struct.pack("<HH", len(text), at)
        at += len(text)
    return head + bytes(4) + b"".join(texts)


def _volume(context: Context, volume: int, kind: int) -> bytes | None:
    text = volume_name(context, volume).encode("utf-16-le")
    if kind == _VOLUME_BASIC:
        return struct.pack("<H", len(text)) + text
    if kind == _VOLUME_STANDARD:
        system = _LANMAN if is_remote(context, volume) else _NTFS
        return struct.pack("<IIIIH", 0, 0, 0, system, len(text)) + text
    return None


def _deliver(call: ApiCall, data: bytes | None, buffer: int, size: int, length_out: int) -> None:
    """Give the driver a structure, or tell how large a buffer it takes."""
    if data is None:
        call.complete(STATUS_INVALID_PARAMETER)
        return
    call.put_u32(length_out, len(data))
    if size < len(data):
        call.complete(STATUS_BUFFER_TOO_SMALL)
    else:
        call.write(buffer, data)


def _describe(make: Maker) -> Callable[[ApiCall], None]:
    """(Object, InformationClass, Buffer, BufferSize, BytesReturned)."""

    def behaviour(call: ApiCall) -> None:
        target, kind, buffer, size, length_out = call.arguments[:5]
        limit_irql(call, APC_LEVEL)
        if call.succeeds:
            _deliver(call, make(call, target, kind), buffer, size, length_out)
        else:
            call.fail()

    return behaviour


def _enumerate(index_at: int, make: Maker) -> Callable[[ApiCall], None]:
    """(..., Index, InformationClass, Buffer, BufferSize, BytesReturned): indices end somewhere."""

    def behaviour(call: ApiCall) -> None:
        index, kind, buffer, size, length_out = call.arguments[index_at : index_at + 5]
        limit_irql(call, APC_LEVEL)
        if not call.succeeds or index > below(call, _ENTRIES):
            call.complete(STATUS_NO_MORE_ENTRIES)
            return
        instance = instance_object(call)
        target = volume_of(call, instance) if make is _volume else instance
        _deliver(call, make(call, target, kind), buffer, size, length_out)

    return behaviour


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltGetFilterInformation": _describe(_filter),
    "FltGetInstanceInformation": _describe(_instance),
    "FltGetVolumeInformation": _describe(_volume),
    "FltEnumerateFilterInformation": _enumerate(0, _filter),
    "FltEnumerateVolumeInformation": _enumerate(1, _volume),
    "FltEnumerateInstanceInformationByFilter": _enumerate(1, _instance),
    "FltEnumerateInstanceInformationByVolume": _enumerate(1, _instance),
    "FltEnumerateInstanceInformationByVolumeName": _enumerate(1, _instance),
    "FltEnumerateInstanceInformationByDeviceObject": _enumerate(1, _instance),
}
