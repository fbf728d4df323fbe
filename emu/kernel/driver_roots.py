"""Roots that a driver announces by filling tables: its driver object and what hangs on it."""

from __future__ import annotations

from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.layouts import layout
from stackemu.emu.kernel.objects import MAJOR_FUNCTIONS, Objects

MAJOR_FUNCTION_NAMES = (
    "CREATE",
    "CREATE_NAMED_PIPE",
    "CLOSE",
    "READ",
    "WRITE",
    "QUERY_INFORMATION",
    "SET_INFORMATION",
    "QUERY_EA",
    "SET_EA",
    "FLUSH_BUFFERS",
    "QUERY_VOLUME_INFORMATION",
    "SET_VOLUME_INFORMATION",
    "DIRECTORY_CONTROL",
    "FILE_SYSTEM_CONTROL",
    "DEVICE_CONTROL",
    "INTERNAL_DEVICE_CONTROL",
    "SHUTDOWN",
    "LOCK_CONTROL",
    "CLEANUP",
    "CREATE_MAILSLOT",
    "QUERY_SECURITY",
    "SET_SECURITY",
    "POWER",
    "SYSTEM_CONTROL",
    "DEVICE_CHANGE",
    "QUERY_QUOTA",
    "SET_QUOTA",
    "PNP",
)
"""Names of the major functions by number, without IRP_MJ_ (wdm.h)."""


def driver_object_roots(context: Context) -> None:
    """Register what the DRIVER_OBJECT points to: dispatch routines, fast I/O, AddDevice, StartIo, DriverUnload."""
    objects = context.state(Objects)
    if not objects.driver:
        return
    driver = context.view("DRIVER_OBJECT", objects.driver)
    device = objects.devices[0] if objects.devices else 0
    table = driver.at("MajorFunction")
    for number in range(MAJOR_FUNCTIONS):
        role = f"IRP_MJ_{MAJOR_FUNCTION_NAMES[number]}"
        context.root(context.u32(table + 4 * number), role, "irp", device, number)
    context.root(driver["DriverUnload"], "DriverUnload", "driver-unload")
    context.root(driver["DriverStartIo"], "StartIo", "start-io", device)
    context.root(context.view("DRIVER_EXTENSION", driver["DriverExtension"])["AddDevice"], "AddDevice", "add-device")
    fast_io = driver["FastIoDispatch"]
    if fast_io:
        size = context.u32(fast_io)
        for field, (offset, _) in layout("FAST_IO_DISPATCH").fields.items():
            if 4 <= offset < size:
                context.root(context.u32(fast_io + offset), field, "fast-io", offset)
