"""Names of files: FLT_FILE_NAME_INFORMATION as the Filter Manager makes, parses, shares and frees it.

Pages of FltGetFileNameInformation, FltParseFileNameInformation, FltGetDestinationFileNameInformation,
FltGetTunneledName and FLT_FILE_NAME_INFORMATION in the WDK. All strings of a structure share one buffer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.characters import from_units, units
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.fltmgr.information import FILE_PATH
from stackemu.emu.kernel.api.fltmgr.objects import volume_of
from stackemu.emu.kernel.api.fltmgr.operations import POST_OPERATION
from stackemu.emu.kernel.api.fltmgr.parameters import CREATE
from stackemu.emu.kernel.api.fltmgr.volumes import share_of, volume_name
from stackemu.emu.kernel.api.irql import APC_LEVEL, PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.objects import IO_TYPE_FILE

NORMALIZED, OPENED, SHORT = 1, 2, 3
"""FLT_FILE_NAME_: formats, in the lowest byte of the options."""
_FORMAT_MASK, _METHOD_MASK, _CACHE_ONLY = 0xFF, 0xF00, 0x200
STATUS_FLT_INVALID_NAME_REQUEST, STATUS_FLT_NAME_CACHE_MISS = 0xC01C0005, 0xC01C0018
_PARSED_ALL = 15
"""FLTFL_FILE_NAME_PARSED_FINAL_COMPONENT, EXTENSION, STREAM and PARENT_DIR."""
_MAX_NAME = 0x7F00
"""Characters of a path at most, so that a UNICODE_STRING holds it with its volume in front."""
_DOS_VOLUME = re.compile(r"\\(?:\?\?|DosDevices)\\[^\\]*", re.IGNORECASE)
_STREAM, _STREAM_TYPE, _ROOT = ":stream1", ":$DATA", "\\"
_OTHER_NAME = "Long tunneled name.txt"
_PARTS = ("Extension", "Stream", "FinalComponent")
_VARIANT_KEY = 6


@dataclass(slots=True)
class Names:
    """References to name information by address, and what is gone."""

    live: dict[int, int] = field(default_factory=dict)
    freed: dict[int, None] = field(default_factory=dict)


class Span(NamedTuple):
    """Part of a string, in characters."""

    start: int
    length: int


# -- taking names apart --


def parse(name: str, start: int) -> dict[str, Span]:
    """Return the parts of a name whose volume and share end at `start`, by their fields; a part may be empty.

    The extension is what follows the last dot; the stream begins with its colon; the final component has the stream
    too; the parent directory ends with a backslash.
    """
    final = max(name.rfind("\\") + 1, start)
    colon = name.find(":", final)
    end = colon if colon >= 0 else len(name)
    dot = name.rfind(".", final, end)
    extension = dot + 1 if dot >= 0 else end
    return {
        "Extension": Span(extension, end - extension),
        "Stream": Span(end, len(name) - end),
        "FinalComponent": Span(final, len(name) - final),
        "ParentDir": Span(start, final - start),
    }


def _text(context: Context, address: int) -> str:
    """Return a UNICODE_STRING with a character for each 16-bit unit, so that places in it are places in memory."""
    return "".join(map(chr, units(context.counted(address))))


def _put_part(context: Context, place: int, buffer: int, part: Span) -> None:
    """Make `place` a UNICODE_STRING over part of a buffer; an empty one has no buffer."""
    size = 2 * part.length
    context.put_u16(place, size)
    context.put_u16(place + 2, size)
    context.put_u32(place + 4, buffer + 2 * part.start if size else 0)


def _parse_information(call: ApiCall) -> None:
    info = call.view("FLT_FILE_NAME_INFORMATION", call.arguments[0])
    limit_irql(call, APC_LEVEL)
    if info["NamesParsed"] == _PARSED_ALL:
        return
    if not call.succeeds:
        call.fail()
        return
    name = _text(call, info.at("Name"))
    start = 0 if info["Format"] == SHORT else (info["Volume.Length"] + info["Share.Length"]) // 2
    for part, span in parse(name, min(start, len(name))).items():
        _put_part(call, info.at(part), info["Name.Buffer"], span)
    info["NamesParsed"] = _PARSED_ALL


def _parse_string(call: ApiCall) -> None:
    """FltParseFileName(FileName, Extension, Stream, FinalComponent): all but the first may be null."""
    address, *places = call.arguments[:4]
    limit_irql(call, APC_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    parts = parse(_text(call, address), 0)
    buffer = call.view("UNICODE_STRING", address)["Buffer"]
    for place, part in zip(places, _PARTS, strict=True):
        if place:
            _put_part(call, place, buffer, parts[part])


# -- making --


def path_of(context: Context, file: int) -> str:
    """Return the path that a file object was opened with; of memory that nobody made one, a usual path."""
    view = context.view("FILE_OBJECT", file)
    if not file or (view["Type"], view["Size"]) != (IO_TYPE_FILE, view.layout.size):
        return FILE_PATH
    name = _text(context, view.at("FileName"))
    if name.startswith("\\"):
        return name
    parent = FILE_PATH[: FILE_PATH.rfind("\\") + 1] if view["RelatedFileObject"] else "\\"
    return parent + name


def _short(path: str) -> str:
    """Return the 8.3 name of a path's last component."""
    name = path[path.rfind("\\") + 1 :].partition(":")[0]
    base, dot, extension = name.replace(" ", "").rpartition(".")
    if not dot:
        base, extension = extension, ""
    if " " not in name and len(base) <= 8 and len(extension) <= 3:
        return name
    return f"{base[:6]}~1.{extension[:3]}".rstrip(".").upper()


def _variant(context: Context, path: str, kind: int) -> str:
    """Return the path as the input has it: of the file, of one of its streams, of the volume's root."""
    stream = _STREAM + (_STREAM_TYPE if kind == OPENED else "")
    return pick(context, (path, path if ":" in path else path + stream, _ROOT), _VARIANT_KEY)


def make_information(context: Context, instance: int, path: str, kind: int) -> int:
    """Return new FLT_FILE_NAME_INFORMATION that nothing is parsed of yet, with a reference for the caller."""
    path = path[:_MAX_NAME]
    volume = volume_of(context, instance)
    volume_length, share_length = (
        (0, 0) if kind == SHORT else (len(volume_name(context, volume)), len(share_of(context, volume)))
    )
    text = _short(path) if kind == SHORT else volume_name(context, volume) + share_of(context, volume) + path
    data = from_units([*map(ord, text)])
    info = context.new("FLT_FILE_NAME_INFORMATION", len(data))
    buffer = info.address + info.layout.size
    context.write(buffer, data)
    info["Size"], info["Format"] = info.layout.size, kind
    _put_part(context, info.at("Name"), buffer, Span(0, len(text)))
    _put_part(context, info.at("Volume"), buffer, Span(0, volume_length))
    _put_part(context, info.at("Share"), buffer, Span(volume_length, share_length))
    context.state(Names).live[info.address] = 1
    return info.address


def _answer(call: ApiCall, instance: int, path: str, options: int, out: int) -> None:
    """Give the driver the name that its options ask for; a failure leaves the out-parameter alone."""
    kind = options & _FORMAT_MASK
    limit_irql(call, APC_LEVEL)
    if kind not in (NORMALIZED, OPENED, SHORT):
        call.complete(STATUS_INVALID_PARAMETER)
    elif call.succeeds:
        call.put_u32(out, make_information(call, instance, path, kind))
    elif options & _METHOD_MASK == _CACHE_ONLY:
        call.complete(STATUS_FLT_NAME_CACHE_MISS)
    else:
        call.fail()


def _of_operation(call: ApiCall) -> None:
    """FltGetFileNameInformation(CallbackData, NameOptions, FileNameInformation): no short name before a create."""
    address, options, out = call.arguments[:3]
    data = call.view("FLT_CALLBACK_DATA", address)
    block = call.view("FLT_IO_PARAMETER_BLOCK", data["Iopb"])
    is_unopened = block["MajorFunction"] == CREATE and not data["Flags"] & POST_OPERATION
    if options & _FORMAT_MASK == SHORT and is_unopened:
        call.complete(STATUS_FLT_INVALID_NAME_REQUEST)
        return
    path = _variant(call, _path(call, block["TargetFileObject"]), options & _FORMAT_MASK)
    _answer(call, block["TargetInstance"], path, options, out)


def _path(call: ApiCall, file: int) -> str:
    return path_of(call, file) if file else FILE_PATH


def _of_file(call: ApiCall) -> None:
    """FltGetFileNameInformationUnsafe(FileObject, Instance, NameOptions, FileNameInformation)."""
    file, instance, options, out = call.arguments[:4]
    limit_irql(call, PASSIVE_LEVEL)
    _answer(call, instance, _variant(call, _path(call, file), options & _FORMAT_MASK), options, out)


def _of_destination(call: ApiCall) -> None:
    """(Instance, FileObject, RootDirectory, FileName, FileNameLength, NameOptions, ...): of a rename or hard link.

    A name without a path stays in the file's own directory.
    """
    instance, file, _root, address, length, options, out = call.arguments[:7]
    limit_irql(call, PASSIVE_LEVEL)
    size = length & 0xFFFE
    name = "".join(map(chr, units(call.read(address, size)))) if size else ""
    dos = _DOS_VOLUME.match(name)
    if dos:
        name = name[dos.end() :]
    if not name.startswith("\\"):
        path = _path(call, file)
        name = path[: path.rfind("\\") + 1] + name
    _answer(call, instance, name, options, out)


def _tunneled(call: ApiCall) -> None:
    """(CallbackData, FileNameInformation, RetTunneledFileNameInformation): NULL when the name stays valid."""
    data, info, out = call.arguments[:3]
    limit_irql(call, APC_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    block = call.view("FLT_IO_PARAMETER_BLOCK", call.view("FLT_CALLBACK_DATA", data)["Iopb"])
    known = call.view("FLT_FILE_NAME_INFORMATION", info)
    path = FILE_PATH[: FILE_PATH.rfind("\\") + 1] + _OTHER_NAME
    is_tunneled = known["Format"] == NORMALIZED and pick(call, (False, True))
    found = make_information(call, block["TargetInstance"], path, NORMALIZED) if is_tunneled else 0
    call.put_u32(out, found)


# -- sharing --


def _reference(call: ApiCall) -> None:
    live = call.state(Names).live
    if call.arguments[0] in live:
        live[call.arguments[0]] += 1


def _release(call: ApiCall) -> None:
    address, names = call.arguments[0], call.state(Names)
    limit_irql(call, APC_LEVEL)
    if address not in names.live:
        if address in names.freed:
            call.note(f"{call.name}: {address:#010x} is released more often than referenced")
        return
    names.live[address] -= 1
    if not names.live[address]:
        del names.live[address]
        names.freed[address] = None


def _purge(call: ApiCall) -> None:
    """FltPurgeFileNameInformationCache: names that the driver has stay valid."""
    limit_irql(call, APC_LEVEL)
    if not call.succeeds:
        call.fail()


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltGetFileNameInformation": _of_operation,
    "FltGetFileNameInformationUnsafe": _of_file,
    "FltGetDestinationFileNameInformation": _of_destination,
    "FltGetTunneledName": _tunneled,
    "FltParseFileNameInformation": _parse_information,
    "FltParseFileName": _parse_string,
    "FltReferenceFileNameInformation": _reference,
    "FltReleaseFileNameInformation": _release,
    "FltPurgeFileNameInformationCache": _purge,
}
