"""Names of the object manager: directories and symbolic links, opened, made and read.

Pages of ZwOpenSymbolicLinkObject, ZwQuerySymbolicLinkObject, ZwCreateDirectoryObject in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.devices import Devices
from stackemu.emu.kernel.api.handle_services import give_handle, is_refused
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.handles import object_of

STATUS_BUFFER_TOO_SMALL = 0xC0000023
STATUS_NO_MORE_ENTRIES = 0x8000001A
_TARGET = "\\Device\\HarddiskVolume1"
"""Where links lead that somebody else has made."""
_OBJECT_SIZE = 0x40
_ENTRIES = (("ConDrv", "Device"), ("HarddiskVolume1", "Device"), ("Null", "Device"))
"""Names and types of what a directory holds."""
_UNICODE_STRING_SIZE = 8


@dataclass(slots=True)
class Names:
    """Directories and links by their objects: where a link leads, in which name a directory was opened."""

    targets: dict[int, str] = field(default_factory=dict)


def _new(call: ApiCall, target: str) -> int:
    address = call.allocate(_OBJECT_SIZE)
    call.state(Names).targets[address] = target
    return address


def _known_target(context: Context, name: str) -> str:
    """Return where a link leads: the driver's own ones to where it made them."""
    return context.state(Devices).links.get(name.lower(), _TARGET)


def _give(find: Callable[[ApiCall, str], str]) -> Callable[[ApiCall], None]:
    """(Handle, DesiredAccess, ObjectAttributes...): a handle for an object of a name."""

    def behaviour(call: ApiCall) -> None:
        out, _access, attributes = call.arguments[:3]
        limit_irql(call, PASSIVE_LEVEL)
        name = call.unicode(call.view("OBJECT_ATTRIBUTES", attributes)["ObjectName"]) if attributes else ""
        if not call.succeeds:
            call.fail()
            return
        give_handle(call, out, attributes, _new(call, find(call, name)))

    return behaviour


def _made_target(call: ApiCall, _name: str) -> str:
    """ZwCreateSymbolicLinkObject is given the target as its fourth argument."""
    return call.unicode(call.arguments[3])


def _no_target(_call: ApiCall, _name: str) -> str:
    return ""


def _query_link(call: ApiCall) -> None:
    """(LinkHandle, LinkTarget, *ReturnedLength): the target, without a terminator, into the string's buffer."""
    handle, string, returned = call.arguments[:3]
    limit_irql(call, PASSIVE_LEVEL)
    if is_refused(call, handle):
        return
    if not call.succeeds:
        call.fail()
        return
    text = call.state(Names).targets.get(object_of(call, handle) or 0, _TARGET).encode("utf-16-le")
    call.put_optional(returned, len(text))
    room = call.u16(string + 2)
    if room < len(text):
        call.complete(STATUS_BUFFER_TOO_SMALL)
        return
    call.write(call.u32(string + 4), text)
    call.put_u16(string, len(text))


def _query_directory(call: ApiCall) -> None:
    """(Handle, Buffer, Length, ReturnSingleEntry, RestartScan, *Context, *ReturnLength).

    OBJECT_DIRECTORY_INFORMATION: two UNICODE_STRINGs, name and type name; an empty one behind the last; the texts.
    """
    handle, buffer, length, single, restart, position_inout, returned = call.arguments[:7]
    limit_irql(call, PASSIVE_LEVEL)
    if is_refused(call, handle):
        return
    if not call.succeeds:
        call.fail()
        return
    first = 0 if restart & 0xFF else call.u32(position_inout)
    entries = _ENTRIES[first:][: 1 if single & 0xFF else None]
    if not entries:
        call.complete(STATUS_NO_MORE_ENTRIES)
        return
    texts, heads = b"", b""
    start = buffer + 2 * _UNICODE_STRING_SIZE * (len(entries) + 1)
    for entry in entries:
        for text in entry:
            data = text.encode("utf-16-le")
            heads += len(data).to_bytes(2, "little") + (len(data) + 2).to_bytes(2, "little")
            heads += (start + len(texts)).to_bytes(4, "little")
            texts += data + b"\0\0"
    data = heads + bytes(2 * _UNICODE_STRING_SIZE) + texts
    call.put_optional(returned, len(data))
    if length < len(data):
        call.complete(STATUS_BUFFER_TOO_SMALL)
        return
    call.write(buffer, data)
    call.put_u32(position_inout, first + len(entries))


_SERVICES: Mapping[str, Callable[[ApiCall], None]] = {
    "OpenSymbolicLinkObject": _give(_known_target),
    "CreateSymbolicLinkObject": _give(_made_target),
    "QuerySymbolicLinkObject": _query_link,
    "OpenDirectoryObject": _give(_no_target),
    "CreateDirectoryObject": _give(_no_target),
    "QueryDirectoryObject": _query_directory,
}

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    prefix + name: behaviour for name, behaviour in _SERVICES.items() for prefix in ("Zw", "Nt")
}
