"""Arguments by their types: objects of the kernel as the kernel makes them, structures of the driver's own filled in.

A pointer to a structure that the debug information describes gets memory of its size, in which what leads further is
typed as well: strings are strings, list heads are lists, pointers point to more such structures. Numbers and
everything else stay what the input says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from stackemu.emu.kernel import objects
from stackemu.emu.kernel.api.devices import own_device
from stackemu.emu.kernel.api.irp_roles import make_request
from stackemu.emu.kernel.api.mdl import make_mdl
from stackemu.emu.kernel.call import Context
from stackemu.emu.processor import CURRENT_THREAD
from stackemu.emu.symbols.structure import Structure

MAX_DEPTH = 3
"""How far pointers are followed from an argument."""
MAX_MEMBERS = 256
"""Members of one structure that are filled in."""
_BUFFER_SIZE = 0x200
_SAMPLE_TEXT = "\\Device\\HarddiskVolume1\\Directory\\File.txt"
_IRP_MJ_CREATE = 0
_POINTER = re.compile(r"^(?:const |volatile |__unaligned )*(.+?)(?: const| volatile)?\*(?: const| volatile)*$")


def argument(context: Context, kind: str, structures: Mapping[str, Structure], depth: int = 0) -> int | None:
    """Return a word for an argument or a member of type `kind`, None for what is no pointer to anything known."""
    match = _POINTER.match(kind)
    if match is None or depth > MAX_DEPTH:
        return None
    pointee = match.group(1).removesuffix(" const").removesuffix(" volatile").strip()
    make = SHAPES.get(pointee)
    if make is not None:
        return make(context)
    structure = structures.get(pointee)
    if structure is None:
        return None
    return _filled(context, structure, structures, depth)


def _filled(context: Context, structure: Structure, structures: Mapping[str, Structure], depth: int) -> int:
    """Return new memory for a structure, with the members typed that are pointers, strings or lists."""
    address = context.allocate(max(structure.size, 1), zeroed=False)
    for member in structure.members[:MAX_MEMBERS]:
        place = address + member.offset
        embedded = EMBEDDED.get(member.type)
        if embedded is not None:
            embedded(context, place)
            continue
        value = argument(context, member.type, structures, depth + 1)
        if value is not None:
            context.put_u32(place, value)
    return address


def _string(context: Context, place: int) -> None:
    context.put_counted(place, _SAMPLE_TEXT.encode("utf-16-le"))


def _ansi_string(context: Context, place: int) -> None:
    context.put_counted(place, _SAMPLE_TEXT.encode("ascii"))


def _empty_list(context: Context, place: int) -> None:
    context.put_u32(place, place)
    context.put_u32(place + 4, place)


def _new(fill: Callable[[Context, int], None]) -> Callable[[Context], int]:
    def make(context: Context) -> int:
        place = context.allocate(8)
        fill(context, place)
        return place

    return make


def _mdl(context: Context) -> int:
    return make_mdl(context, context.allocate(_BUFFER_SIZE, zeroed=False), _BUFFER_SIZE).address


def _irp(context: Context) -> int:
    return make_request(context, own_device(context), _IRP_MJ_CREATE).address


EMBEDDED: Mapping[str, Callable[[Context, int], None]] = {
    "_UNICODE_STRING": _string,
    "_STRING": _ansi_string,
    "_LIST_ENTRY": _empty_list,
}
"""What fills a structure that lies inside another."""

SHAPES: Mapping[str, Callable[[Context], int]] = {
    "_UNICODE_STRING": _new(_string),
    "_STRING": _new(_ansi_string),
    "_LIST_ENTRY": _new(_empty_list),
    "_DRIVER_OBJECT": lambda context: objects.driver_object(context).address,
    "_DEVICE_OBJECT": own_device,
    "_IRP": _irp,
    "_IO_STACK_LOCATION": lambda context: context.view("IRP", _irp(context))["Tail.Overlay.CurrentStackLocation"],
    "_FILE_OBJECT": lambda context: objects.file_object(context).address,
    "_EPROCESS": objects.current_process,
    "_KPROCESS": objects.current_process,
    "_ETHREAD": lambda _context: CURRENT_THREAD,
    "_KTHREAD": lambda _context: CURRENT_THREAD,
    "_MDL": _mdl,
}
"""What makes an object of the kernel, by its tag."""
