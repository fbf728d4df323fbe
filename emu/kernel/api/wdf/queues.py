"""WDFQUEUE: I/O queues with their callbacks, requests taken from queues and handed on, callbacks in their roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.device_init import device_of
from stackemu.emu.kernel.api.wdf.handles import WdfObject, create, find, related
from stackemu.emu.kernel.api.wdf.requests import (
    CREATE,
    DEVICE_CONTROL,
    INTERNAL_DEVICE_CONTROL,
    READ,
    REQUEST,
    WRITE,
    ioctl,
    irp_of,
    length,
    new_file_object,
    new_request,
)
from stackemu.emu.kernel.api.wdf.shapes import (
    STATUS_NO_MORE_ENTRIES,
    Behaviour,
    choose,
    refers_to,
    status_only,
)
from stackemu.emu.kernel.api.wdf.structures import IO_QUEUE_CONFIG, config
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

QUEUE = "WDFQUEUE"
_MAX_WAITING = 2
"""Requests that a queue gives out beyond those that were put into it."""
_ANY_TYPE = (DEVICE_CONTROL, READ, WRITE, CREATE, INTERNAL_DEVICE_CONTROL)
_STOP_ACTIONS = (1, 2, 0x10000001, 0x10000002)
"""WdfRequestStopActionSuspend and …Purge, with and without WdfRequestStopRequestCancelable."""


def _queue_create(call: ApiCall) -> None:
    device, config_address, attributes, out = call.arguments[1:5]
    given = config(call, config_address, IO_QUEUE_CONFIG)
    if not call.succeeds:
        call.fail()
        return
    owner = find(call, device, "WDFDEVICE")
    queue = create(call, QUEUE, attributes, owner.handle)
    queue.values["device"] = owner.handle
    queue.values["is started"] = 1
    queue.values["shortest"] = int(not given["AllowZeroLengthRequests"])
    for name, address in given.callbacks():
        call.root(address, name, name, queue.handle)
    if given["DefaultQueue"]:
        owner.values["default queue"] = queue.handle
    call.put_optional(out, queue.handle)


def device_behind(context: Context, queue: WdfObject) -> WdfObject:
    """Return the device that a queue belongs to."""
    return related(context, queue, "device", "WDFDEVICE")


def _default_queue(call: ApiCall) -> None:
    """A device without a default queue answers NULL."""
    device = find(call, call.arguments[1], "WDFDEVICE")
    call.eax = (
        related(call, device, "default queue", QUEUE).handle if device.is_foreign else device.get("default queue")
    )


def _get_state(call: ApiCall) -> None:
    """The result is a set of WDF_IO_QUEUE_STATE flags: accepts and dispatches requests, is empty…"""
    queue = find(call, call.arguments[1], QUEUE)
    started = 3 if queue.get("is started") or queue.is_foreign else 1
    waiting = len(queue.items)
    call.eax = started | (0 if waiting else 4) | 8
    call.put_optional(call.arguments[2], waiting)
    call.put_optional(call.arguments[3], 0)


def _change_state(value: int, *, tells: bool, name: str = "EvtIoQueueState") -> Behaviour:
    """Return a behaviour for starting and stopping; `tells` calls the driver's callback when that is done."""

    def behave(call: ApiCall) -> None:
        queue = find(call, call.arguments[1], QUEUE)
        queue.values["is started"] = value
        callback, argument = call.arguments[2:4]
        if tells and callback:
            call.root(callback, name, name, queue.handle, argument)
            call.invoke(callback, queue.handle, argument)

    return behave


def _retrieve_next(call: ApiCall) -> None:
    """Takes the oldest request that was put into the queue, or one that waited there; none is no error."""
    queue = find(call, call.arguments[1], QUEUE)
    out = call.arguments[2] if call.name == "WdfIoQueueRetrieveNextRequest" else call.arguments[3]
    if queue.items:
        call.put_u32(out, queue.items.pop(0))
        return
    if not _has_waiting(call, queue):
        call.complete(STATUS_NO_MORE_ENTRIES)
        return
    call.put_u32(out, _waiting(call, queue).handle)


def _has_waiting(call: ApiCall, queue: WdfObject) -> bool:
    """Return whether the input says that one more request waits; a driver that asks for all comes to an end."""
    queue.values["asked"] = queue.get("asked") + 1
    return call.succeeds and queue.get("asked") <= _MAX_WAITING


def _waiting(context: Context, queue: WdfObject) -> WdfObject:
    """Return a request that waited in a queue: what the driver left there in an earlier call."""
    request = new_request(context, DEVICE_CONTROL, device_behind(context, queue))
    request.values["queue"] = queue.handle
    return request


def _find_request(call: ApiCall) -> None:
    queue, out = find(call, call.arguments[1], QUEUE), call.arguments[5]
    if _has_waiting(call, queue):
        call.put_u32(out, _waiting(call, queue).handle)
    else:
        call.complete(STATUS_NO_MORE_ENTRIES)


def _retrieve_found(call: ApiCall) -> None:
    found, out = call.arguments[2:4]
    if call.succeeds:
        call.put_u32(out, found)
    else:
        call.complete(0xC0000225)  # STATUS_NOT_FOUND: it was cancelled meanwhile


def _forward(call: ApiCall) -> None:
    request = find(call, call.arguments[1], REQUEST)
    queue = find(call, call.arguments[2], QUEUE)
    if not call.succeeds:
        call.fail()
        return
    if request.get("is completed"):
        call.note(f"{call.name}: request {request.handle:#x} was completed before")
    request.values["queue"] = queue.handle
    queue.items.append(request.handle)


def _requeue(call: ApiCall) -> None:
    request = find(call, call.arguments[1], REQUEST)
    if call.succeeds:
        related(call, request, "queue", QUEUE).items.insert(0, request.handle)
    else:
        call.fail()


def _enqueue(call: ApiCall) -> None:
    """WdfDeviceEnqueueRequest gives a request that the driver saw in its caller's context to the framework."""
    if not call.succeeds:
        call.fail()


def _ready_notify(call: ApiCall) -> None:
    if call.succeeds:
        queue, callback, argument = call.arguments[1:4]
        call.root(callback, "EvtIoQueueState", "EvtIoQueueState", queue, argument)
    else:
        call.fail()


# -- roles --


def _request_for(context: Context, queue: WdfObject, kind: int) -> WdfObject:
    request = new_request(context, kind, device_behind(context, queue))
    request.values["queue"] = queue.handle
    return request


def _io(kind: int, *sizes: str) -> Callable[[Context, Root], Words]:
    """Return a builder of (Queue, Request, lengths…, IOCTL code) for a request of one type.

    Reads and writes of no bytes end in the framework, unless the queue's AllowZeroLengthRequests lets them through.
    """

    def build(context: Context, root: Root) -> Words:
        queue = find(context, root.context[0], QUEUE)
        request = _request_for(context, queue, kind)
        shortest = queue.get("shortest") if kind in (READ, WRITE) else 0
        lengths = (length(context, request, which, shortest) for which in sizes)
        code = (ioctl(context, request),) if len(sizes) > 1 else ()
        return Words((queue.handle, request.handle, *lengths, *code))

    return build


def _io_any(context: Context, root: Root) -> Words:
    """EvtIoDefault, EvtIoResume and EvtIoCanceledOnQueue are given requests of any type."""
    queue = find(context, root.context[0], QUEUE)
    kind = _ANY_TYPE[choose(context, 4, 0, len(_ANY_TYPE) - 1)]
    return Words((queue.handle, _request_for(context, queue, kind).handle))


def _io_stop(context: Context, root: Root) -> Words:
    action = _STOP_ACTIONS[choose(context, 5, 0, len(_STOP_ACTIONS) - 1)]
    return Words((*_io_any(context, root).stack, action))


def _queue_state(context: Context, root: Root) -> Words:
    return Words((find(context, root.context[0], QUEUE).handle, root.context[1]))


def _file_create(context: Context, root: Root) -> Words:
    device = device_of(context, root.context[0])
    request = new_request(context, CREATE, device, fresh=True)
    return Words((device.handle, request.handle, request.get("file object")))


def _file_end(context: Context, root: Root) -> Words:
    device = device_of(context, root.context[0])
    return Words((new_file_object(context, device, fresh=False).handle,))


def _in_caller_context(context: Context, root: Root) -> Words:
    device = device_of(context, root.context[0])
    kind = _ANY_TYPE[choose(context, 4, 0, len(_ANY_TYPE) - 1)]
    return Words((device.handle, new_request(context, kind, device, fresh=True).handle))


def _preprocess(context: Context, root: Root) -> Words:
    """EvtDeviceWdmIrpPreprocess: (Device, Irp) for the major function that it was registered for."""
    init, major, minor = root.context
    device = device_of(context, init)
    request = new_request(context, major, device)
    irp = irp_of(context, request)
    location = context.view("IO_STACK_LOCATION", context.view("IRP", irp)["Tail.Overlay.CurrentStackLocation"])
    location["MinorFunction"] = minor
    return Words((device.handle, irp))


def _dispatch(context: Context, root: Root) -> Words:
    """(Device, MajorFunction, MinorFunction, Code, DriverContext, Irp, DispatchContext)."""
    handle, major, word = root.context
    device = find(context, handle, "WDFDEVICE")
    request = new_request(context, major, device, fresh=True)
    return Words((device.handle, major, 0, ioctl(context, request), word, irp_of(context, request), context.draw(4)))


def _configure_dispatch(call: ApiCall) -> None:
    device, _, major, callback, word = call.arguments[1:6]
    if call.succeeds:
        call.root(callback, "EvtDeviceWdmIrpDispatch", "EvtDeviceWdmIrpDispatch", device, major & 0xFF, word)
    else:
        call.fail()


def _file_name(call: ApiCall) -> None:
    """WdfFileObjectGetFileName answers with a UNICODE_STRING that the framework owns."""
    file = find(call, call.arguments[1], "WDFFILEOBJECT")
    call.eax = call.view("FILE_OBJECT", wdm_file(call, file)).at("FileName")


def wdm_file(context: Context, file: WdfObject) -> int:
    """Return the address of the FILE_OBJECT behind a file object."""
    if not file.get("wdm file"):
        made = context.new("FILE_OBJECT")
        made["Type"] = 5
        made["Size"] = made.layout.size
        made["ReadAccess"] = made["WriteAccess"] = 1
        context.put_counted(made.at("FileName"), "\\Sample".encode("utf-16-le"))
        file.values["wdm file"] = made.address
    return file.get("wdm file")


def _wdm_file(call: ApiCall) -> None:
    call.eax = wdm_file(call, find(call, call.arguments[1], "WDFFILEOBJECT"))


def _file_flags(call: ApiCall) -> None:
    call.eax = call.view("FILE_OBJECT", wdm_file(call, find(call, call.arguments[1], "WDFFILEOBJECT")))["Flags"]


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "WdfIoQueueCreate": _queue_create,
    "WdfDeviceGetDefaultQueue": _default_queue,
    "WdfDeviceConfigureRequestDispatching": status_only,
    "WdfDeviceConfigureWdmIrpDispatchCallback": _configure_dispatch,
    "WdfDeviceEnqueueRequest": _enqueue,
    "WdfIoQueueGetDevice": refers_to(QUEUE, "device", "WDFDEVICE"),
    "WdfIoQueueGetState": _get_state,
    "WdfIoQueueStart": _change_state(1, tells=False),
    "WdfIoQueueStop": _change_state(0, tells=True),
    "WdfIoQueueStopSynchronously": _change_state(0, tells=False),
    "WdfIoQueueDrain": _change_state(0, tells=True),
    "WdfIoQueueDrainSynchronously": _change_state(0, tells=False),
    "WdfIoQueuePurge": _change_state(0, tells=True),
    "WdfIoQueuePurgeSynchronously": _change_state(0, tells=False),
    "WdfIoQueueStopAndPurge": _change_state(0, tells=True),
    "WdfIoQueueStopAndPurgeSynchronously": _change_state(0, tells=False),
    "WdfIoQueueReadyNotify": _ready_notify,
    "WdfIoQueueRetrieveNextRequest": _retrieve_next,
    "WdfIoQueueRetrieveRequestByFileObject": _retrieve_next,
    "WdfIoQueueFindRequest": _find_request,
    "WdfIoQueueRetrieveFoundRequest": _retrieve_found,
    "WdfIoQueueAssignForwardProgressPolicy": status_only,
    "WdfRequestForwardToIoQueue": _forward,
    "WdfRequestForwardToParentDeviceIoQueue": _forward,
    "WdfRequestRequeue": _requeue,
    "WdfFileObjectGetFileName": _file_name,
    "WdfFileObjectGetFlags": _file_flags,
    "WdfFileObjectGetDevice": refers_to("WDFFILEOBJECT", "device", "WDFDEVICE"),
    "WdfFileObjectWdmGetFileObject": _wdm_file,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "EvtIoDefault": _io_any,
    "EvtIoRead": _io(READ, "output"),
    "EvtIoWrite": _io(WRITE, "input"),
    "EvtIoDeviceControl": _io(DEVICE_CONTROL, "output", "input"),
    "EvtIoInternalDeviceControl": _io(INTERNAL_DEVICE_CONTROL, "output", "input"),
    "EvtIoStop": _io_stop,
    "EvtIoResume": _io_any,
    "EvtIoCanceledOnQueue": _io_any,
    "EvtIoQueueState": _queue_state,
    "EvtDeviceFileCreate": _file_create,
    "EvtFileClose": _file_end,
    "EvtFileCleanup": _file_end,
    "EvtIoInCallerContext": _in_caller_context,
    "EvtDeviceWdmIrpDispatch": _dispatch,
    "EvtDeviceWdmIrpPreprocess": _preprocess,
}
