"""WDFUSBDEVICE, WDFUSBINTERFACE and WDFUSBPIPE: one device with one interface, a bulk pipe in and one out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.devices import memory_of
from stackemu.emu.kernel.api.wdf.handles import WdfObject, create, find, related
from stackemu.emu.kernel.api.wdf.shapes import (
    STATUS_BUFFER_TOO_SMALL,
    Behaviour,
    choose,
    creator,
    getter,
    nothing,
    status_only,
)
from stackemu.emu.kernel.api.wdf.structures import USB_CONTINUOUS_READER_CONFIG, config
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

DEVICE, INTERFACE, PIPE = "WDFUSBDEVICE", "WDFUSBINTERFACE", "WDFUSBPIPE"
_PACKET = 512
_ENDPOINTS = (0x81, 0x02)
"""bEndpointAddress of each pipe; bit 7 says that it goes in."""
_BULK = 3
"""WdfUsbPipeTypeBulk."""
_DEVICE_DESCRIPTOR = struct.pack("<BBHBBBBHHHBBBB", 18, 1, 0x0200, 0xFF, 0, 0, 64, 0x1234, 0x5678, 0x0100, 1, 2, 3, 1)
_INTERFACE_DESCRIPTOR = struct.pack("<9B", 9, 4, 0, 0, len(_ENDPOINTS), 0xFF, 0, 0, 0)
_ENDPOINT_DESCRIPTORS = b"".join(struct.pack("<BBBBHB", 7, 5, address, 2, _PACKET, 0) for address in _ENDPOINTS)
_CONFIGURATION_SIZE = 9 + len(_INTERFACE_DESCRIPTOR) + len(_ENDPOINT_DESCRIPTORS)
_CONFIGURATION = (
    struct.pack("<BBHBBBBB", 9, 2, _CONFIGURATION_SIZE, 1, 1, 0, 0x80, 50)
    + _INTERFACE_DESCRIPTOR
    + _ENDPOINT_DESCRIPTORS
)
_STRING = "Sample".encode("utf-16-le")
_SINGLE_INTERFACE = 2
"""WdfUsbTargetDeviceSelectConfigTypeSingleInterface; its answer lies at offsets 8 and 12."""
_URB_SIZE = 0x80


def _device_descriptor(call: ApiCall) -> None:
    call.write(call.arguments[2], _DEVICE_DESCRIPTOR)


def _configuration(call: ApiCall) -> None:
    """Without a buffer, or with one too small, the size that it takes and STATUS_BUFFER_TOO_SMALL."""
    buffer, size_address = call.arguments[2:4]
    if not call.succeeds:
        call.fail()
        return
    room = call.u16(size_address)
    call.put_u16(size_address, len(_CONFIGURATION))
    if not buffer or room < len(_CONFIGURATION):
        call.complete(STATUS_BUFFER_TOO_SMALL)
        return
    call.write(buffer, _CONFIGURATION)


def _information(call: ApiCall) -> None:
    """WDF_USB_DEVICE_INFORMATION: USBD and USB version, host controller's capabilities, traits."""
    if call.succeeds:
        call.write(call.arguments[2] + 4, struct.pack("<4I", 0x600, 0x200, 0, choose(call, 0, 0, 7)))
    else:
        call.fail()


def _query_string(call: ApiCall) -> None:
    text_out, count_address = call.arguments[4:6]
    if not call.succeeds:
        call.fail()
        return
    room = 2 * call.u16(count_address) if text_out else 0
    call.put_u16(count_address, len(_STRING) // 2)
    if room:
        call.write(text_out, _STRING[:room])


def _allocate_string(call: ApiCall) -> None:
    attributes, out, count_out = call.arguments[2:5]
    if not call.succeeds:
        call.fail()
        return
    call.put_u32(out, memory_of(call, _STRING, attributes).handle)
    if count_out:
        call.put_u16(count_out, len(_STRING) // 2)


def _select_config(call: ApiCall) -> None:
    handle, attributes, params = call.arguments[1:4]
    if not call.succeeds:
        call.fail()
        return
    interface = _interface(call, find(call, handle, DEVICE))
    interface.items.clear()
    for address in _ENDPOINTS:
        _add_pipe(call, interface, address, attributes)
    if params and call.u32(params + 4) == _SINGLE_INTERFACE:
        call.put_u8(params + 8, len(interface.items))
        call.put_u32(params + 12, interface.handle)


def _interface(context: Context, device: WdfObject) -> WdfObject:
    return related(context, device, "interface", INTERFACE)


def _add_pipe(context: Context, interface: WdfObject, address: int, attributes: int) -> None:
    pipe = create(context, PIPE, attributes, interface.handle)
    pipe.values["endpoint"] = address
    interface.items.append(pipe.handle)


def _pipes(context: Context, handle: int) -> list[int]:
    """Return the pipes of an interface; one that nobody selected a configuration for here has them all the same."""
    interface = find(context, handle, INTERFACE)
    if not interface.items and interface.is_foreign:
        for address in _ENDPOINTS:
            _add_pipe(context, interface, address, 0)
    return interface.items


def _get_interface(call: ApiCall) -> None:
    """NULL for an index that is too large."""
    if call.arguments[2] & 0xFF == 0:
        call.eax = _interface(call, find(call, call.arguments[1], DEVICE)).handle


def _pipe_count(call: ApiCall) -> None:
    call.eax = len(_pipes(call, call.arguments[1]))


def _get_pipe(call: ApiCall) -> None:
    handle, index, info = call.arguments[1:4]
    pipes = _pipes(call, handle)
    if index & 0xFF < len(pipes):
        call.eax = pipes[index & 0xFF]
        _put_pipe(call, find(call, call.eax, PIPE), info)


def _endpoint(context: Context, pipe: WdfObject) -> int:
    if "endpoint" not in pipe.values:
        pipe.values["endpoint"] = _ENDPOINTS[choose(context, 0, 0, len(_ENDPOINTS) - 1)]
    return pipe.get("endpoint")


def _put_pipe(context: Context, pipe: WdfObject, info: int) -> None:
    """WDF_USB_PIPE_INFORMATION: packet size, endpoint, interval, setting, type and largest transfer."""
    if info:
        data = struct.pack("<IBBBxII", _PACKET, _endpoint(context, pipe), 0, 0, _BULK, 0x10000)
        context.write(info + 4, data)


def _pipe_information(call: ApiCall) -> None:
    _put_pipe(call, find(call, call.arguments[1], PIPE), call.arguments[2])


def _goes(direction: int) -> Behaviour:
    def behave(call: ApiCall) -> None:
        call.eax = int(_endpoint(call, find(call, call.arguments[1], PIPE)) >> 7 == direction)

    return behave


def _constant(value: int) -> Behaviour:
    def behave(call: ApiCall) -> None:
        call.eax = value

    return behave


def _continuous_reader(call: ApiCall) -> None:
    pipe, config_address = call.arguments[1:3]
    given = config(call, config_address, USB_CONTINUOUS_READER_CONFIG)
    if not call.succeeds:
        call.fail()
        return
    word = given["EvtUsbTargetPipeReadCompleteContext"]
    name = "EvtUsbTargetPipeReadComplete"
    call.root(given[name], name, name, pipe, word, given["TransferLength"], given["HeaderLength"])
    name = "EvtUsbTargetPipeReadersFailed"
    call.root(given[name], name, name, pipe)


def _interface_descriptor(call: ApiCall) -> None:
    call.write(call.arguments[3], _INTERFACE_DESCRIPTOR)


def _endpoint_information(call: ApiCall) -> None:
    pipes = _pipes(call, call.arguments[1])
    if pipes:
        _put_pipe(call, find(call, pipes[call.arguments[3] % len(pipes)], PIPE), call.arguments[4])


def _create_urb(count: int) -> Behaviour:
    """A URB in a WDFMEMORY of its own; `count` is the index of the number of packets, 0 for none."""

    def behave(call: ApiCall) -> None:
        attributes, out, urb_out = call.arguments[2], call.arguments[3 + bool(count)], call.arguments[4 + bool(count)]
        if not call.succeeds:
            call.fail()
            return
        packets = min(call.arguments[count], MAX_COPY // 12) if count else 0
        memory = memory_of(call, bytes(_URB_SIZE + 12 * packets), attributes)
        call.put_u32(out, memory.handle)
        call.put_optional(urb_out, memory.get("buffer"))

    return behave


def _frame_number(call: ApiCall) -> None:
    if call.succeeds:
        call.put_u32(call.arguments[2], call.draw())
    else:
        call.fail()


def _read_complete(context: Context, root: Root) -> Words:
    """(Pipe, Buffer, NumBytesTransferred, Context): the buffer is a WDFMEMORY."""
    pipe, word, transfer, header = root.context
    size = min(max(transfer, 1) + header, MAX_COPY)
    memory = memory_of(context, b"", 0)
    memory.values.update({"buffer": context.allocate(size, zeroed=False), "size": size})
    return Words((find(context, pipe, PIPE).handle, memory.handle, choose(context, 0, 0, transfer), word))


def _readers_failed(context: Context, root: Root) -> Words:
    return Words((find(context, root.context[0], PIPE).handle, context.failure(), 0xC0000004))


_STATUS_ONLY = (
    "WdfUsbInterfaceSelectSetting",
    "WdfUsbTargetDeviceCyclePortSynchronously",
    "WdfUsbTargetDeviceIsConnectedSynchronous",
    "WdfUsbTargetDeviceQueryUsbCapability",
    "WdfUsbTargetDeviceResetPortSynchronously",
    "WdfUsbTargetDeviceSendUrbSynchronously",
    "WdfUsbTargetPipeAbortSynchronously",
    "WdfUsbTargetPipeResetSynchronously",
    "WdfUsbTargetPipeSendUrbSynchronously",
)

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_STATUS_ONLY, status_only),
    "WdfUsbTargetDeviceCreate": creator(DEVICE, attributes=2, result=3, parent=1),
    "WdfUsbTargetDeviceCreateWithParameters": creator(DEVICE, attributes=3, result=4, parent=1),
    "WdfUsbTargetDeviceGetDeviceDescriptor": _device_descriptor,
    "WdfUsbTargetDeviceRetrieveConfigDescriptor": _configuration,
    "WdfUsbTargetDeviceRetrieveInformation": _information,
    "WdfUsbTargetDeviceRetrieveCurrentFrameNumber": _frame_number,
    "WdfUsbTargetDeviceQueryString": _query_string,
    "WdfUsbTargetDeviceAllocAndQueryString": _allocate_string,
    "WdfUsbTargetDeviceGetNumInterfaces": _constant(1),
    "WdfUsbTargetDeviceGetInterface": _get_interface,
    "WdfUsbTargetDeviceSelectConfig": _select_config,
    "WdfUsbTargetDeviceWdmGetConfigurationHandle": getter(DEVICE, "configuration"),
    "WdfUsbTargetDeviceCreateUrb": _create_urb(0),
    "WdfUsbTargetDeviceCreateIsochUrb": _create_urb(3),
    "WdfUsbInterfaceGetInterfaceNumber": _constant(0),
    "WdfUsbInterfaceGetNumEndpoints": _constant(len(_ENDPOINTS)),
    "WdfUsbInterfaceGetNumSettings": _constant(1),
    "WdfUsbInterfaceGetConfiguredSettingIndex": _constant(0),
    "WdfUsbInterfaceGetNumConfiguredPipes": _pipe_count,
    "WdfUsbInterfaceGetConfiguredPipe": _get_pipe,
    "WdfUsbInterfaceGetDescriptor": _interface_descriptor,
    "WdfUsbInterfaceGetEndpointInformation": _endpoint_information,
    "WdfUsbTargetPipeGetInformation": _pipe_information,
    "WdfUsbTargetPipeIsInEndpoint": _goes(1),
    "WdfUsbTargetPipeIsOutEndpoint": _goes(0),
    "WdfUsbTargetPipeGetType": _constant(_BULK),
    "WdfUsbTargetPipeSetNoMaximumPacketSizeCheck": nothing,
    "WdfUsbTargetPipeConfigContinuousReader": _continuous_reader,
    "WdfUsbTargetPipeWdmGetPipeHandle": getter(PIPE, "endpoint"),
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "EvtUsbTargetPipeReadComplete": _read_complete,
    "EvtUsbTargetPipeReadersFailed": _readers_failed,
}
