"""Which type each object is of, as the variables that drivers name types by (`*IoFileObjectType`) say.

Objects of the I/O manager say it themselves, processes and threads by being known; of others it is remembered. A
handle that nobody here has made stands for an object of the type that the driver asks for, well-formed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.dispatcher import ObjectType, initialize_header
from stackemu.emu.kernel.api.threads import Threads, process_object, thread_object
from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.layouts import layout
from stackemu.emu.kernel.objects import IO_TYPE_DEVICE, IO_TYPE_DRIVER, IO_TYPE_FILE, current_process, file_object
from stackemu.emu.kernel.variable_contents import OBJECT_TYPES
from stackemu.emu.kernel.variables import initial_pointer
from stackemu.emu.processor import CURRENT_THREAD

_IO_TYPES = {
    IO_TYPE_DEVICE: ("DEVICE_OBJECT", "IoDeviceObjectType"),
    IO_TYPE_DRIVER: ("DRIVER_OBJECT", "IoDriverObjectType"),
    IO_TYPE_FILE: ("FILE_OBJECT", "IoFileObjectType"),
}
"""Structure and type by the number that such an object begins with."""
_OPAQUE_SIZE = 0x400
_OTHER_PROCESS, _OTHER_THREAD = 0x9C0, 0x9C4


@dataclass(slots=True)
class TypedObjects:
    """Objects whose type cannot be seen: the variable that points to it, by address."""

    types: dict[int, str] = field(default_factory=dict)


def remember_type(context: Context, address: int, variable: str) -> int:
    """Remember an object's type; returns its address."""
    context.state(TypedObjects).types[address] = variable
    return address


def type_of(context: Context, address: int) -> str | None:
    """Return the variable that points to an object's type, None when it is not known."""
    known = context.state(TypedObjects).types.get(address)
    if known is not None:
        return known
    threads = context.state(Threads)
    if address == current_process(context) or address in threads.processes.values():
        return "PsProcessType"
    if address == CURRENT_THREAD or address in threads.threads.values():
        return "PsThreadType"
    structure, variable = _IO_TYPES.get(context.u16(address), ("", None))
    return variable if variable and context.u16(address + 2) >= layout(structure).size else None


def variable_of_type(pointer: int) -> str | None:
    """Return the variable that points to the OBJECT_TYPE at an address, None for any other address."""
    return next((name for name in OBJECT_TYPES if initial_pointer(name) == pointer), None)


def object_of_type(context: Context, variable: str | None) -> int:
    """Return an object of a type that somebody else has made; memory that nobody typed for a type not known."""
    make = _MAKERS.get(variable or "")
    if make is not None:
        return make(context)
    address = context.allocate(_OPAQUE_SIZE, zeroed=False)
    return remember_type(context, address, variable) if variable else address


def make_event(context: Context, kind: int, state: int) -> int:
    """Return a new event: a notification event for kind 0, a synchronization event for 1."""
    address = context.new("KEVENT").address
    initialize_header(context, "KEVENT", address, ObjectType(kind & 1), state)
    return remember_type(context, address, "ExEventObjectType")


def _semaphore(context: Context) -> int:
    address = context.new("KSEMAPHORE").address
    initialize_header(context, "KSEMAPHORE", address, ObjectType.SEMAPHORE, 1)["Limit"] = 1
    return remember_type(context, address, "ExSemaphoreObjectType")


_MAKERS: Mapping[str, Callable[[Context], int]] = {
    "IoFileObjectType": lambda context: file_object(context).address,
    "PsProcessType": lambda context: process_object(context, _OTHER_PROCESS),
    "PsThreadType": lambda context: thread_object(context, _OTHER_THREAD),
    "ExEventObjectType": lambda context: make_event(context, 0, 0),
    "ExSemaphoreObjectType": _semaphore,
}
