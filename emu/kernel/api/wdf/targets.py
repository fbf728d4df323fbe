"""WDFIOTARGET: requests formatted for and sent to other drivers, synchronously or with a completion routine.

What the other driver answers is the input's to say; a request that is sent asynchronously is completed before
WdfRequestSend returns, as a driver below may do it, so that the completion routine's stack is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.devices import allocate_property, query_property, wdm_device
from stackemu.emu.kernel.api.wdf.handles import WdfObject, find, framework
from stackemu.emu.kernel.api.wdf.memory import buffer
from stackemu.emu.kernel.api.wdf.queues import wdm_file
from stackemu.emu.kernel.api.wdf.requests import (
    DEVICE_CONTROL,
    INTERNAL_DEVICE_CONTROL,
    READ,
    REQUEST,
    WRITE,
    length,
    new_request,
    put_completion_params,
)
from stackemu.emu.kernel.api.wdf.shapes import Behaviour, choose, creator, nothing, parent_object, status_only
from stackemu.emu.kernel.api.wdf.structures import (
    COMPLETION_PARAMS,
    IO_TARGET_OPEN_PARAMS,
    MEMORY_DESCRIPTOR,
    SEND_OPTIONS,
    config,
    view,
)
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

TARGET = "WDFIOTARGET"
USB = 0x40
"""WdfRequestTypeUsb, beyond the IRP_MJ_ codes."""
_SYNCHRONOUS, _SEND_AND_FORGET = 2, 8
_STARTED = 1
"""WdfIoTargetStarted of WDF_IO_TARGET_STATE."""
_DESCRIPTOR_BUFFER, _DESCRIPTOR_MDL, _DESCRIPTOR_HANDLE = 1, 2, 3
_MAX_NESTED_COMPLETIONS = 1
"""A completion routine that sends its request again is not called again within itself."""
_SYNCHRONOUS_CALLS = {
    "WdfIoTargetSendReadSynchronously": (3, 6),
    "WdfIoTargetSendWriteSynchronously": (0, 6),
    "WdfIoTargetSendIoctlSynchronously": (5, 7),
    "WdfIoTargetSendInternalIoctlSynchronously": (5, 7),
    "WdfIoTargetSendInternalIoctlOthersSynchronously": (0, 8),
    "WdfUsbTargetPipeReadSynchronously": (4, 5),
    "WdfUsbTargetPipeWriteSynchronously": (0, 5),
    "WdfUsbTargetDeviceSendControlTransferSynchronously": (5, 6),
}
"""Indexes of the arguments that say where the answer and its size go; 0 for no answer."""
_FORMATS = {
    "WdfIoTargetFormatRequestForRead": (READ, 3, 0),
    "WdfIoTargetFormatRequestForWrite": (WRITE, 3, 0),
    "WdfIoTargetFormatRequestForIoctl": (DEVICE_CONTROL, 6, 3),
    "WdfIoTargetFormatRequestForInternalIoctl": (INTERNAL_DEVICE_CONTROL, 6, 3),
    "WdfIoTargetFormatRequestForInternalIoctlOthers": (INTERNAL_DEVICE_CONTROL, 4, 3),
    "WdfUsbTargetPipeFormatRequestForRead": (USB, 3, 0),
    "WdfUsbTargetPipeFormatRequestForWrite": (USB, 3, 0),
    "WdfUsbTargetPipeFormatRequestForUrb": (USB, 3, 0),
    "WdfUsbTargetPipeFormatRequestForAbort": (USB, 0, 0),
    "WdfUsbTargetPipeFormatRequestForReset": (USB, 0, 0),
    "WdfUsbTargetDeviceFormatRequestForUrb": (USB, 3, 0),
    "WdfUsbTargetDeviceFormatRequestForString": (USB, 3, 0),
    "WdfUsbTargetDeviceFormatRequestForControlTransfer": (USB, 4, 0),
    "WdfUsbTargetDeviceFormatRequestForCyclePort": (USB, 0, 0),
}
"""Type of the request, and indexes of the arguments with its memory and its IOCTL code; 0 for none."""


def _open(call: ApiCall) -> None:
    target = call.arguments[1]
    for name, address in config(call, call.arguments[2], IO_TARGET_OPEN_PARAMS).callbacks():
        call.root(address, name, name, target)
    if call.succeeds:
        find(call, target, TARGET).values["state"] = _STARTED
    else:
        call.fail()


def _state(call: ApiCall) -> None:
    target = find(call, call.arguments[1], TARGET)
    call.eax = target.values.get("state", _STARTED)


def _set_state(value: int, *, can_fail: bool = False) -> Behaviour:
    def behave(call: ApiCall) -> None:
        if can_fail and not call.succeeds:
            call.fail()
            return
        find(call, call.arguments[1], TARGET).values["state"] = value

    return behave


def _device(call: ApiCall) -> None:
    call.eax = parent_object(call, find(call, call.arguments[1], TARGET), "WDFDEVICE").handle


def _wdm(name: str) -> Behaviour:
    def behave(call: ApiCall) -> None:
        call.eax = wdm_device(call, find(call, call.arguments[1], TARGET), name)

    return behave


def _wdm_file(call: ApiCall) -> None:
    call.eax = wdm_file(call, find(call, call.arguments[1], TARGET))


def _file_handle(call: ApiCall) -> None:
    call.eax = 4 * choose(call, 0, 1, 0x1000) | 0x80000000


def _query_property(call: ApiCall) -> None:
    query_property(call, *call.arguments[2:6])


def _allocate_property(call: ApiCall) -> None:
    allocate_property(call, call.arguments[2], call.arguments[4], call.arguments[5])


# -- sending --


def _described(context: Context, address: int) -> tuple[int, int]:
    """Return address and size in bytes of the buffer that a WDF_MEMORY_DESCRIPTOR describes."""
    if not address:
        return 0, 0
    given = view(context, address, MEMORY_DESCRIPTOR)
    if given["Type"] == _DESCRIPTOR_HANDLE:
        return buffer(context, find(context, given["Buffer"], "WDFMEMORY"))
    if given["Type"] == _DESCRIPTOR_MDL:
        return context.view("MDL", given["Buffer"])["MappedSystemVa"], given["Length"]
    return given["Buffer"], given["Length"]


def answer(call: ApiCall, address: int, size: int) -> int:
    """Write the other driver's answer, bytes that only the input knows; returns their number."""
    done = min(size, MAX_COPY)
    if address and done:
        call.write(address, call.read(call.allocate(done, zeroed=False), done))
    return done


def _send_synchronously(call: ApiCall) -> None:
    output, done_out = _SYNCHRONOUS_CALLS[call.name]
    if not call.succeeds:
        call.fail()
        return
    address, size = _described(call, call.arguments[output]) if output else (0, 0)
    done = answer(call, address, size)
    call.put_optional(call.arguments[done_out], done)


def _format(call: ApiCall) -> None:
    kind, memory, code = _FORMATS[call.name]
    if not call.succeeds:
        call.fail()
        return
    request = find(call, call.arguments[2], REQUEST)
    request.values["type"] = kind
    request.values["memory"] = call.arguments[memory] if memory else 0
    request.values["ioctl"] = call.arguments[code] if code else 0


def _set_completion_routine(call: ApiCall) -> None:
    handle, routine, context_word = call.arguments[1:4]
    request = find(call, handle, REQUEST)
    request.values["completion routine"] = routine
    request.values["completion context"] = context_word
    call.root(routine, "CompletionRoutine", "EvtRequestCompletionRoutine", request.get("device"), context_word)


def _send(call: ApiCall) -> None:
    """WdfRequestSend answers whether the request went to the target; WdfRequestGetStatus says why it did not."""
    handle, target, options = call.arguments[1:4]
    request = find(call, handle, REQUEST)
    flags = config(call, options, SEND_OPTIONS)["Flags"] if options else 0
    if not call.succeeds:
        request.values["status"] = call.failure()
        return
    call.eax = 1
    request.values["status"] = 0
    request.values["target"] = target
    routine = request.values.pop("completion routine", 0)
    if flags & _SEND_AND_FORGET:
        request.values["is completed"] = 1
    else:
        _receive(call, request)
        if routine and not flags & _SYNCHRONOUS:
            _call_completion(call, request, routine)


def _receive(call: ApiCall, request: WdfObject) -> None:
    """Let the target answer into the memory that the request was formatted with."""
    memory = request.get("memory")
    if memory and request.get("type") != WRITE:
        request.values["information"] = answer(call, *buffer(call, find(call, memory, "WDFMEMORY")))


def _call_completion(call: ApiCall, request: WdfObject, routine: int) -> None:
    state = framework(call)
    if state.completing >= _MAX_NESTED_COMPLETIONS:
        return
    state.completing += 1
    params = _completion_params(call, request)
    call.invoke(routine, request.handle, request.get("target"), params, request.get("completion context"))
    state.completing -= 1


def _completion_params(context: Context, request: WdfObject) -> int:
    params = context.allocate(COMPLETION_PARAMS.size)
    put_completion_params(context, request, params)
    return params


def _cancel_sent(call: ApiCall) -> None:
    call.eax = int(call.succeeds)


def _completion_role(context: Context, root: Root) -> Words:
    """(Request, Target, Params, Context) of a request that the driver below has completed."""
    device, context_word = root.context
    request = new_request(context, DEVICE_CONTROL, find(context, device, "WDFDEVICE") if device else None)
    request.values["status"] = 0 if context.succeeds else context.failure()
    request.values["information"] = length(context, request, "output")
    target = parent_object(context, request, TARGET)
    return Words((request.handle, target.handle, _completion_params(context, request), context_word))


def _target_role(context: Context, root: Root) -> Words:
    return Words((find(context, root.context[0], TARGET).handle,))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_SYNCHRONOUS_CALLS, _send_synchronously),
    **dict.fromkeys(_FORMATS, _format),
    "WdfIoTargetCreate": creator(TARGET, attributes=2, result=3, parent=1),
    "WdfIoTargetOpen": _open,
    "WdfIoTargetClose": _set_state(4),
    "WdfIoTargetCloseForQueryRemove": _set_state(3),
    "WdfIoTargetStart": _set_state(_STARTED, can_fail=True),
    "WdfIoTargetStop": _set_state(2),
    "WdfIoTargetPurge": _set_state(6),
    "WdfIoTargetGetState": _state,
    "WdfIoTargetGetDevice": _device,
    "WdfIoTargetSelfAssignDefaultIoQueue": status_only,
    "WdfIoTargetWdmGetTargetDeviceObject": _wdm("target device"),
    "WdfIoTargetWdmGetTargetPhysicalDevice": _wdm("physical device"),
    "WdfIoTargetWdmGetTargetFileObject": _wdm_file,
    "WdfIoTargetWdmGetTargetFileHandle": _file_handle,
    "WdfIoTargetQueryTargetProperty": _query_property,
    "WdfIoTargetAllocAndQueryTargetProperty": _allocate_property,
    "WdfRequestSetCompletionRoutine": _set_completion_routine,
    "WdfRequestSend": _send,
    "WdfRequestCancelSentRequest": _cancel_sent,
    "WdfRequestFormatRequestUsingCurrentType": nothing,
    "WdfRequestWdmFormatUsingStackLocation": nothing,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "EvtRequestCompletionRoutine": _completion_role,
    "EvtIoTargetQueryRemove": _target_role,
    "EvtIoTargetRemoveCanceled": _target_role,
    "EvtIoTargetRemoveComplete": _target_role,
}
