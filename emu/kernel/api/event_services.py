"""System services on events, and waits by handle: ZwCreateEvent, ZwSetEvent, ZwWaitForSingleObject (their pages)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.handle_services import give_handle, is_refused
from stackemu.emu.kernel.api.irql import APC_LEVEL, PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.object_types import make_event, object_of_type, remember_type, type_of
from stackemu.emu.kernel.api.waits import MAXIMUM_WAIT_OBJECTS, finish_wait
from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.kernel.handles import Handles, object_of
from stackemu.emu.kernel.objects import IO_TYPE_FILE

STATUS_OBJECT_TYPE_MISMATCH = 0xC0000024
STATUS_INVALID_PARAMETER_1 = 0xC00000EF
STATUS_OBJECT_NAME_EXISTS = 0x40000000
_MAXIMUM_KIND = 1
_STATUS_INVALID_PARAMETER_4 = 0xC00000F2
_WAIT_ALL = 0
_EVENT = "ExEventObjectType"


@dataclass(slots=True)
class NamedEvents:
    """Events by their names in lower case."""

    events: dict[str, int] = field(default_factory=dict)


def _name(call: ApiCall, attributes: int) -> str:
    address = call.view("OBJECT_ATTRIBUTES", attributes)["ObjectName"] if attributes else 0
    return call.unicode(address).lower()


def _create(call: ApiCall) -> None:
    """(EventHandle, DesiredAccess, ObjectAttributes, EventType, InitialState)."""
    out, _access, attributes, kind, state = call.arguments[:5]
    limit_irql(call, PASSIVE_LEVEL)
    if kind > _MAXIMUM_KIND:
        call.complete(_STATUS_INVALID_PARAMETER_4)
        return
    name = _name(call, attributes)
    if not call.succeeds:
        call.fail()
        return
    named = call.state(NamedEvents).events
    known = named.get(name)
    address = known if known is not None else make_event(call, kind, int(state & 0xFF != 0))
    if name:
        named[name] = address
    give_handle(call, out, attributes, address)
    call.complete(STATUS_OBJECT_NAME_EXISTS if known is not None else 0)


def _open(call: ApiCall) -> None:
    """An event that the driver did not make is somebody else's."""
    out, _access, attributes = call.arguments[:3]
    limit_irql(call, PASSIVE_LEVEL)
    name = _name(call, attributes)
    if not call.succeeds:
        call.fail()
        return
    address = call.state(NamedEvents).events.setdefault(name, 0) or make_event(call, 0, 0)
    call.state(NamedEvents).events[name] = address
    give_handle(call, out, attributes, address)


def _event(call: ApiCall) -> int:
    """Return the event that the first argument is a handle to, 0 when the call is complete."""
    handle = call.arguments[0]
    if is_refused(call, handle):
        return 0
    address = object_of(call, handle)
    if address is None:
        address = call.state(Handles).objects[handle] = object_of_type(call, _EVENT)
    if type_of(call, address) not in (_EVENT, None):
        call.complete(STATUS_OBJECT_TYPE_MISMATCH)
        return 0
    return remember_type(call, address, _EVENT)


def _change(state: int) -> Callable[[ApiCall], None]:
    """ZwSetEvent, ZwResetEvent and ZwPulseEvent store the state before where that is wanted."""

    def behaviour(call: ApiCall) -> None:
        limit_irql(call, PASSIVE_LEVEL)
        address = _event(call)
        if address:
            event = call.view("KEVENT", address)
            call.put_optional(call.arguments[1], event["Header.SignalState"])
            event["Header.SignalState"] = state

    return behaviour


def _clear(call: ApiCall) -> None:
    address = _event(call)
    if address:
        call.view("KEVENT", address)["Header.SignalState"] = 0


# -- waits --


def _wait_for_one(call: ApiCall) -> None:
    """(Handle, Alertable, Timeout)."""
    handle, alertable, timeout = call.arguments[:3]
    limit_irql(call, APC_LEVEL)
    if not is_refused(call, handle):
        finish_wait(call, [_waited_for(call, handle)], wants_all=True, alertable=alertable, timeout=timeout)


def _wait_for_many(call: ApiCall) -> None:
    """(Count, Handles, WaitType, Alertable, Timeout)."""
    count, array, kind, alertable, timeout = call.arguments[:5]
    limit_irql(call, APC_LEVEL)
    if not 0 < count <= MAXIMUM_WAIT_OBJECTS:
        call.complete(STATUS_INVALID_PARAMETER_1)
        return
    handles: Sequence[int] = [call.u32(array + 4 * index) for index in range(count)]
    if any(is_refused(call, handle) for handle in handles):
        return
    objects = [_waited_for(call, handle) for handle in handles]
    finish_wait(call, objects, wants_all=kind == _WAIT_ALL, alertable=alertable, timeout=timeout)


def _waited_for(call: ApiCall, handle: int) -> int:
    """Return the dispatcher object of what a handle stands for: of a file its event, of a process itself."""
    address = object_of(call, handle)
    if address is None:
        address = call.state(Handles).objects[handle] = object_of_type(call, _EVENT)
    if type_of(call, address) == "IoFileObjectType" and call.u16(address) == IO_TYPE_FILE:
        return call.view("FILE_OBJECT", address).at("Event")
    return address


_SERVICES: Mapping[str, Callable[[ApiCall], None]] = {
    "CreateEvent": _create,
    "OpenEvent": _open,
    "SetEvent": _change(1),
    "ResetEvent": _change(0),
    "PulseEvent": _change(0),
    "ClearEvent": _clear,
    "WaitForSingleObject": _wait_for_one,
    "WaitForMultipleObjects": _wait_for_many,
}

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    prefix + name: behaviour for name, behaviour in _SERVICES.items() for prefix in ("Zw", "Nt")
}
