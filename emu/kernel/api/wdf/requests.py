"""WDFREQUEST: what a request asks for, its parameters, its completion and cancellation.

Documented in wdfrequest.h and "Framework Request Objects" (learn.microsoft.com).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.handles import (
    WdfObject,
    add_context,
    attributes,
    create,
    delete,
    find,
    make,
    related,
)
from stackemu.emu.kernel.api.wdf.shapes import (
    Behaviour,
    choose,
    getter,
    nothing,
    refers_to,
    setter,
    status_only,
)
from stackemu.emu.kernel.api.wdf.structures import COMPLETION_PARAMS, REQUEST_PARAMETERS, REUSE_PARAMS, config, view
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.objects import IO_TYPE_IRP, current_process, file_object
from stackemu.emu.kernel.roots import Root, Words

REQUEST = "WDFREQUEST"
CREATE, CLOSE, READ, WRITE, DEVICE_CONTROL, INTERNAL_DEVICE_CONTROL = 0, 2, 3, 4, 14, 15
"""WDF_REQUEST_TYPE, which are the IRP_MJ_ codes."""
METHOD_BUFFERED, METHOD_IN_DIRECT, METHOD_OUT_DIRECT, METHOD_NEITHER = 0, 1, 2, 3
MAX_LENGTH = 0x1000
"""Bytes of the longest buffer that a request made up here comes with."""
_STATUS_CANCELLED = 0xC0000120
_USER_MODE = 1
_LENGTH_DRAWS = {"output": 0, "input": 1}
_IOCTL_DRAW = 2
"""Which of a call's draws decides what."""
_CREATE_OPTIONS = 1 << 24
"""FILE_OPEN in the disposition's byte."""
_FILE_AND_SHARE = 0x00030080
"""FILE_ATTRIBUTE_NORMAL, and shared for reading and writing."""
_STACK_SIZE = 2
"""Stack locations of an IRP made up here: the driver's and one below."""


def new_request(context: Context, kind: int, owner: WdfObject | None, *, fresh: bool = False) -> WdfObject:
    """Return a request as the I/O manager sends it, of a WDF_REQUEST_TYPE and for a device.

    Contexts of a `fresh` request are zeros; those of others are what earlier callbacks may have left there. Lengths
    and IOCTL code are chosen when they are first asked for.
    """
    made = make(context, REQUEST)
    made.has_past = not fresh
    values = made.values
    values["type"] = kind
    values["mode"] = 0 if kind == INTERNAL_DEVICE_CONTROL else _USER_MODE
    if owner is not None:
        values["device"] = owner.handle
        values["io type"] = owner.get("io type")
        add_context(context, made, attributes(context, owner.get("request attributes")), zeroed=fresh)
    if kind != INTERNAL_DEVICE_CONTROL:
        values["file object"] = new_file_object(context, owner, fresh=kind == CREATE).handle
    return made


_WITH_OUTPUT = frozenset({READ, DEVICE_CONTROL, INTERNAL_DEVICE_CONTROL})
_WITH_INPUT = frozenset({WRITE, DEVICE_CONTROL, INTERNAL_DEVICE_CONTROL})
IOCTLS = frozenset({DEVICE_CONTROL, INTERNAL_DEVICE_CONTROL})


def new_file_object(context: Context, device: WdfObject | None, *, fresh: bool) -> WdfObject:
    """Return a WDFFILEOBJECT of a device.

    One that is not `fresh` is a file that the driver let be opened before, or else has a context that holds what
    EvtDeviceFileCreate may have left there.
    """
    if device is not None and not fresh and device.get("open file"):
        return find(context, device.get("open file"), "WDFFILEOBJECT")
    made = make(context, "WDFFILEOBJECT", device.handle if device else 0)
    if device is not None:
        made.values["device"] = device.handle
        add_context(context, made, attributes(context, device.get("file attributes")), zeroed=fresh)
    made.has_past = not fresh
    return made


def method(request: WdfObject) -> int | None:
    """Return how a request's buffers are passed (METHOD_...), None where that is open."""
    if request.is_foreign or "type" not in request.values:
        return None
    if request.get("type") in IOCTLS:
        # The code that the driver sees may be another one than drawn here: nothing is refused because of it.
        passing = request.get("ioctl") & 3
        return passing if "ioctl" in request.values and passing != METHOD_NEITHER else None
    return {1: METHOD_NEITHER, 3: METHOD_OUT_DIRECT}.get(request.get("io type"), METHOD_BUFFERED)


def length(context: Context, request: WdfObject, which: str, minimum: int = 0) -> int:
    """Return the length of the `input` or `output` buffer; one that is still open is chosen, `minimum` at least."""
    name = f"{which} length"
    if name not in request.values:
        kinds = _WITH_INPUT if which == "input" else _WITH_OUTPUT
        is_there = request.values.get("type", DEVICE_CONTROL) in kinds and not request.get("is own")
        chosen = choose(context, _LENGTH_DRAWS[which], 0, MAX_LENGTH) if is_there else 0
        request.values[name] = max(chosen, min(minimum, MAX_LENGTH)) if is_there else 0
    return request.get(name)


def ioctl(context: Context, request: WdfObject) -> int:
    """Return the IOCTL code of a request, 0 for one of another type."""
    if request.values.setdefault("type", DEVICE_CONTROL) not in IOCTLS:
        return 0
    if "ioctl" not in request.values:
        request.values["ioctl"] = 0 if request.get("is own") else context.draw(_IOCTL_DRAW)
    return request.get("ioctl")


def irp_of(context: Context, request: WdfObject) -> int:
    """Return the address of the IRP behind a request."""
    if request.get("irp"):
        return request.get("irp")
    irp = context.new("IRP", _STACK_SIZE * 36)
    request.values["irp"] = irp.address
    irp["Type"] = IO_TYPE_IRP
    irp["Size"] = irp.layout.size + _STACK_SIZE * 36
    irp["StackCount"] = irp["CurrentLocation"] = _STACK_SIZE
    irp["RequestorMode"] = request.get("mode")
    location = context.view("IO_STACK_LOCATION", irp.address + irp.layout.size + (_STACK_SIZE - 1) * 36)
    irp["Tail.Overlay.CurrentStackLocation"] = location.address
    irp["Tail.Overlay.Thread"] = current_process(context)
    irp["AssociatedIrp.SystemBuffer"] = request.get("input buffer")
    location["MajorFunction"] = request.get("type")
    location["FileObject"] = file_object(context).address
    for index, value in enumerate(_stack_parameters(context, request)):
        context.put_u32(location.at("Parameters") + 4 * index, value)
    return irp.address


def _stack_parameters(context: Context, request: WdfObject) -> tuple[int, ...]:
    output, given = length(context, request, "output"), length(context, request, "input")
    if request.get("type") in IOCTLS:
        return (output, given, ioctl(context, request), request.get("user input"))
    return (output or given, 0, 0, 0)


def _get_parameters(call: ApiCall) -> None:
    """WdfRequestGetParameters fills WDF_REQUEST_PARAMETERS: type, minor code and a union of parameters."""
    request = find(call, call.arguments[1], REQUEST)
    code = ioctl(call, request)
    filled = view(call, call.arguments[2], REQUEST_PARAMETERS)
    filled["MinorFunction"] = request.get("minor")
    filled["Type"] = request.get("type")
    output, given = length(call, request, "output"), length(call, request, "input")
    words = {
        READ: (output, 0, 0, 0),
        WRITE: (given, 0, 0, 0),
        CREATE: (
            call.new("IO_SECURITY_CONTEXT").address if request.get("type") == CREATE else 0,
            1 << 24,
            0x00030080,
        ),
        DEVICE_CONTROL: (output, given, code, request.get("user input")),
        INTERNAL_DEVICE_CONTROL: (output, given, code, request.get("user input")),
    }.get(request.get("type"), ())
    for index, word in enumerate(words):
        filled[f"Parameter{index + 1}"] = word


def finish(call: ApiCall, request: WdfObject, status: int) -> None:
    """Complete a request: it is gone afterwards. A file whose creation succeeds stays open."""
    if request.get("is completed"):
        call.note(f"{call.name}: request {request.handle:#x} was completed before")
        return
    if request.get("cancel routine"):
        call.note(f"{call.name}: request {request.handle:#x} is still cancelable")
    request.values["is completed"] = 1
    request.values["status"] = status
    if request.get("type") == CREATE and status < 0x80000000 and request.get("device"):
        find(call, request.get("device"), "WDFDEVICE").values["open file"] = request.get("file object")
    delete(call, request)


def _complete(call: ApiCall) -> None:
    finish(call, find(call, call.arguments[1], REQUEST), call.arguments[2])


def _complete_with_information(call: ApiCall) -> None:
    request = find(call, call.arguments[1], REQUEST)
    request.values["information"] = call.arguments[3]
    finish(call, request, call.arguments[2])


def _request_create(call: ApiCall) -> None:
    """A request that the driver makes has no IRP of the I/O manager and no buffers yet."""
    attributes_address, target, out = call.arguments[1:4]
    if not call.succeeds:
        call.fail()
        return
    made = create(call, REQUEST, attributes_address)
    made.values.update({"target": target, "is own": 1})
    call.put_optional(out, made.handle)


def _create_from_irp(call: ApiCall) -> None:
    attributes_address, irp, _, out = call.arguments[1:5]
    if not call.succeeds:
        call.fail()
        return
    made = create(call, REQUEST, attributes_address)
    made.values.update({"irp": irp, "is own": 1})
    call.put_optional(out, made.handle)


def _reuse(call: ApiCall) -> None:
    """A reused request has no completion routine and the status that WDF_REQUEST_REUSE_PARAMS says."""
    if not call.succeeds:
        call.fail()
        return
    request = find(call, call.arguments[1], REQUEST)
    given = config(call, call.arguments[2], REUSE_PARAMS)
    for name in ("completion routine", "completion context", "is completed"):
        request.values.pop(name, None)
    request.values["status"] = given["Status"]
    request.is_deleted = False
    if given["Flags"] & 1:  # WDF_REQUEST_REUSE_SET_NEW_IRP
        request.values["irp"] = given["NewIrp"]


def _wdm_irp(call: ApiCall) -> None:
    call.eax = irp_of(call, find(call, call.arguments[1], REQUEST))


def _mark_cancelable(can_fail: bool) -> Behaviour:
    """WdfRequestMarkCancelableEx fails for a request that is cancelled already; the older function cannot."""

    def behave(call: ApiCall) -> None:
        request = find(call, call.arguments[1], REQUEST)
        if can_fail and not call.succeeds:
            call.complete(_STATUS_CANCELLED)
            return
        request.values["cancel routine"] = call.arguments[2]
        owners = request.get("device"), request.get("queue")
        call.root(call.arguments[2], "EvtRequestCancel", "EvtRequestCancel", *owners)

    return behave


def _unmark_cancelable(call: ApiCall) -> None:
    """Fails with STATUS_CANCELLED when the cancel callback has run or is about to."""
    find(call, call.arguments[1], REQUEST).values.pop("cancel routine", None)
    if not call.succeeds:
        call.complete(_STATUS_CANCELLED)


def _is_canceled(call: ApiCall) -> None:
    call.eax = choose(call, 0, 0, 1)


def _requestor_mode(call: ApiCall) -> None:
    request = find(call, call.arguments[1], REQUEST)
    call.eax = choose(call, 0, 0, 1) if request.is_foreign else request.get("mode")


def _completion_params(call: ApiCall) -> None:
    request = find(call, call.arguments[1], REQUEST)
    put_completion_params(call, request, call.arguments[2])


def put_completion_params(context: Context, request: WdfObject, address: int) -> None:
    """Fill WDF_REQUEST_COMPLETION_PARAMS at `address` with how a sent request ended."""
    filled = view(context, address, COMPLETION_PARAMS)
    memory = related(context, request, "memory", "WDFMEMORY") if request.get("memory") else None
    done = request.get("information")
    filled["Size"] = COMPLETION_PARAMS.size
    filled["Type"] = request.get("type")
    filled["Status"] = request.get("status")
    filled["Information"] = done
    filled["IoControlCode"] = ioctl(context, request)
    if request.get("type") in IOCTLS:
        filled["InputBuffer"] = request.get("input memory")
        filled["OutputBuffer"] = memory.handle if memory else 0
        filled["OutputLength"] = done
    elif memory:  # Read and Write: Buffer, Length, Offset
        filled["IoControlCode"] = memory.handle
        filled["InputBuffer"] = done


def _process_id(call: ApiCall) -> None:
    call.eax = 4 * choose(call, 0, 1, 0x4000)


def _constant(value: int) -> Behaviour:
    def behave(call: ApiCall) -> None:
        call.eax = value

    return behave


def _change_target(call: ApiCall) -> None:
    if call.succeeds:
        find(call, call.arguments[1], REQUEST).values["target"] = call.arguments[2]
    else:
        call.fail()


def _cancel_role(context: Context, root: Root) -> Words:
    """EvtRequestCancel is given a request that the driver took from a queue, marked cancelable and holds on to."""
    device, queue = root.context
    request = new_request(context, DEVICE_CONTROL, find(context, device, "WDFDEVICE") if device else None)
    if queue:
        request.values["queue"] = queue
    return Words((request.handle,))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "WdfRequestCreate": _request_create,
    "WdfRequestCreateFromIrp": _create_from_irp,
    "WdfRequestReuse": _reuse,
    "WdfRequestChangeTarget": _change_target,
    "WdfRequestGetParameters": _get_parameters,
    "WdfRequestGetCompletionParams": _completion_params,
    "WdfRequestComplete": _complete,
    "WdfRequestCompleteWithPriorityBoost": _complete,
    "WdfRequestCompleteWithInformation": _complete_with_information,
    "WdfRequestGetStatus": getter(REQUEST, "status"),
    "WdfRequestSetInformation": setter(REQUEST, "information"),
    "WdfRequestGetInformation": getter(REQUEST, "information"),
    "WdfRequestGetFileObject": refers_to(REQUEST, "file object", "WDFFILEOBJECT"),
    "WdfRequestGetIoQueue": refers_to(REQUEST, "queue", "WDFQUEUE"),
    "WdfRequestGetRequestorMode": _requestor_mode,
    "WdfRequestGetRequestorProcessId": _process_id,
    "WdfFileObjectGetInitiatorProcessId": _process_id,
    "WdfRequestIsFrom32BitProcess": _constant(1),
    "WdfRequestIsReserved": _constant(0),
    "WdfRequestIsCanceled": _is_canceled,
    "WdfRequestMarkCancelable": _mark_cancelable(can_fail=False),
    "WdfRequestMarkCancelableEx": _mark_cancelable(can_fail=True),
    "WdfRequestUnmarkCancelable": _unmark_cancelable,
    "WdfRequestWdmGetIrp": _wdm_irp,
    "WdfRequestAllocateTimer": status_only,
    "WdfRequestStopAcknowledge": nothing,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"EvtRequestCancel": _cancel_role}
