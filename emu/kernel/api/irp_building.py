"""Requests that a driver builds itself for the drivers below: IoBuildDeviceIoControlRequest and its kin.

Their pages in the WDK; CTL_CODE methods: "Buffer Descriptions for I/O Control Codes".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.devices import DO_BUFFERED_IO, DO_DIRECT_IO, is_device
from stackemu.emu.kernel.api.irps import new_irp, next_location
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, limit_irql
from stackemu.emu.kernel.api.mdl import lock_pages, make_mdl
from stackemu.emu.kernel.call import MAX_COPY, ApiCall
from stackemu.emu.kernel.layouts import View

METHOD_BUFFERED, METHOD_IN_DIRECT, METHOD_OUT_DIRECT, METHOD_NEITHER = range(4)
IRP_MJ_READ, IRP_MJ_WRITE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL = 3, 4, 14, 15
IRP_BUFFERED_IO, IRP_DEALLOCATE_BUFFER, IRP_INPUT_OPERATION = 0x10, 0x20, 0x40
_SPARE_LOCATIONS = 1


def _new(call: ApiCall, device: int, major: int) -> tuple[View, View] | None:
    """Return an IRP for a device with its first stack location, None when there is no memory."""
    if not call.succeeds:
        return None
    locations = call.view("DEVICE_OBJECT", device)["StackSize"] if is_device(call, device) else _SPARE_LOCATIONS
    irp = new_irp(call, max(1, min(locations, 0x7E)))
    if not irp.address:
        return None
    location = next_location(call, irp)
    location["MajorFunction"] = major
    return irp, location


def _copy_in(call: ApiCall, irp: View, source: int, size: int, room: int) -> None:
    """Give an IRP a system buffer of `room` bytes that begins with the caller's data."""
    buffer = call.allocate(room, zeroed=False)
    if source and size:
        call.write(buffer, call.read(source, min(size, MAX_COPY)))
    irp["AssociatedIrp.SystemBuffer"] = buffer
    irp["Flags"] |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER


def _describe(call: ApiCall, irp: View, address: int, size: int, *, is_written: bool) -> None:
    """Give an IRP a locked MDL for the caller's buffer."""
    mdl = make_mdl(call, address, size)
    if mdl.address:
        lock_pages(call, mdl, is_written=is_written)
        irp["MdlAddress"] = mdl.address


def _build_transfer(event_at: int | None, level: int) -> Callable[[ApiCall], None]:
    """IoBuildSynchronousFsdRequest and IoBuildAsynchronousFsdRequest: reads, writes, flushes, shutdowns."""
    block_at = 5 if event_at is None else event_at + 1

    def behaviour(call: ApiCall) -> None:
        major, device, buffer, size, offset = call.arguments[:5]
        limit_irql(call, level)
        made = _new(call, device, major & 0xFF)
        if made is None:
            return
        irp, location = made
        irp["UserIosb"] = call.arguments[block_at]
        irp["UserEvent"] = call.arguments[event_at] if event_at is not None else 0
        if major in (IRP_MJ_READ, IRP_MJ_WRITE):
            location["Parameters.Read.Length"] = size
            if offset:
                location["Parameters.Read.ByteOffset"] = call.u64(offset)
            _attach_buffer(call, irp, device, (buffer, size), is_write=major == IRP_MJ_WRITE)
        call.eax = irp.address

    return behaviour


def _attach_buffer(call: ApiCall, irp: View, device: int, place: tuple[int, int], *, is_write: bool) -> None:
    """Describe a buffer (address, size) in the way that the device's flags ask for."""
    buffer, size = place
    flags = call.view("DEVICE_OBJECT", device)["Flags"] if is_device(call, device) else 0
    if flags & DO_BUFFERED_IO:
        _copy_in(call, irp, buffer if is_write else 0, size, size)
        if not is_write:
            irp["UserBuffer"] = buffer
            irp["Flags"] |= IRP_INPUT_OPERATION
    elif flags & DO_DIRECT_IO:
        _describe(call, irp, buffer, size, is_written=not is_write)
    else:
        irp["UserBuffer"] = buffer


def _build_control(call: ApiCall) -> None:
    code, device, source, source_size, target, target_size, internal, event, block = call.arguments[:9]
    limit_irql(call, APC_LEVEL)
    made = _new(call, device, IRP_MJ_INTERNAL_DEVICE_CONTROL if internal & 0xFF else IRP_MJ_DEVICE_CONTROL)
    if made is None:
        return
    irp, location = made
    irp["UserEvent"], irp["UserIosb"] = event, block
    location["Parameters.DeviceIoControl.OutputBufferLength"] = target_size
    location["Parameters.DeviceIoControl.InputBufferLength"] = source_size
    location["Parameters.DeviceIoControl.IoControlCode"] = code
    method = code & 3
    if method == METHOD_NEITHER:
        location["Parameters.DeviceIoControl.Type3InputBuffer"] = source
        irp["UserBuffer"] = target
    elif method == METHOD_BUFFERED:
        if source_size or target_size:
            _copy_in(call, irp, source, source_size, max(source_size, target_size))
        irp["UserBuffer"] = target
        irp["Flags"] |= IRP_INPUT_OPERATION if target else 0
    else:
        if source:
            _copy_in(call, irp, source, source_size, source_size)
        if target:
            _describe(call, irp, target, target_size, is_written=method == METHOD_OUT_DIRECT)
    call.eax = irp.address


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "IoBuildAsynchronousFsdRequest": _build_transfer(None, DISPATCH_LEVEL),
    "IoBuildSynchronousFsdRequest": _build_transfer(5, APC_LEVEL),
    "IoBuildDeviceIoControlRequest": _build_control,
}
