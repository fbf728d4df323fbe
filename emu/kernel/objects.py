"""Objects that exist before a driver does anything: its driver object, the current process and thread, a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.roots import Root, Words

MAJOR_FUNCTIONS = 28
"""IRP_MJ_MAXIMUM_FUNCTION + 1 (wdm.h)."""
IO_TYPE_DEVICE, IO_TYPE_DRIVER, IO_TYPE_FILE, IO_TYPE_IRP = 3, 4, 5, 6
_REGISTRY_ROOT = "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\"
_HARDWARE_DATABASE = "\\REGISTRY\\MACHINE\\HARDWARE\\DESCRIPTION\\SYSTEM"
_ADVANCED_HEADER, _SUPPORTS_FILTER_CONTEXTS = 0x40, 0x02
"""FSRTL_FLAG_ADVANCED_HEADER and FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS (ntifs.h)."""
_OPAQUE_SIZE = 0x400
"""Room, in bytes, for objects whose insides are no driver's business."""


@dataclass(slots=True)
class Objects:
    """Addresses of the objects made so far; 0 for one that nobody has asked for."""

    driver: int = 0
    registry_path: int = 0
    process: int = 0
    file: int = 0
    devices: list[int] = field(default_factory=list)
    """Device objects of this driver, in the order of their making."""


def driver_object(context: Context) -> View:
    """Return the driver's own DRIVER_OBJECT."""
    objects = context.state(Objects)
    if objects.driver:
        return context.view("DRIVER_OBJECT", objects.driver)
    image = context.kernel.image
    driver = context.new("DRIVER_OBJECT")
    objects.driver = driver.address
    extension = context.new("DRIVER_EXTENSION")
    driver["Type"] = IO_TYPE_DRIVER
    driver["Size"] = driver.layout.size
    driver["DriverStart"] = image.base
    driver["DriverSize"] = image.size
    driver["DriverSection"] = context.allocate(_OPAQUE_SIZE)
    driver["DriverExtension"] = extension.address
    driver["DriverInit"] = image.base + (image.entry or 0)
    extension["DriverObject"] = driver.address
    context.put_counted(driver.at("DriverName"), f"\\Driver\\{image.module}".encode("utf-16-le"))
    context.put_counted(extension.at("ServiceKeyName"), image.module.encode("utf-16-le"))
    database = context.new("UNICODE_STRING")
    context.put_counted(database.address, _HARDWARE_DATABASE.encode("utf-16-le"))
    driver["HardwareDatabase"] = database.address
    return driver


def registry_path(context: Context) -> int:
    """Return the address of the UNICODE_STRING that DriverEntry is given."""
    objects = context.state(Objects)
    if not objects.registry_path:
        objects.registry_path = context.new("UNICODE_STRING").address
        text = _REGISTRY_ROOT + context.kernel.image.module
        context.put_counted(objects.registry_path, text.encode("utf-16-le"))
    return objects.registry_path


def current_process(context: Context) -> int:
    """Return the address of the current EPROCESS, an opaque object."""
    objects = context.state(Objects)
    if not objects.process:
        objects.process = context.allocate(_OPAQUE_SIZE)
    return objects.process


def file_object(context: Context) -> View:
    """Return an open FILE_OBJECT, the same in all calls of one run."""
    objects = context.state(Objects)
    if objects.file:
        return context.view("FILE_OBJECT", objects.file)
    file = context.new("FILE_OBJECT")
    objects.file = file.address
    file["Type"] = IO_TYPE_FILE
    file["Size"] = file.layout.size
    file["SectionObjectPointer"] = context.new("SECTION_OBJECT_POINTERS").address
    file["FsContext"] = stream_header(context)
    file["FsContext2"] = context.allocate(_OPAQUE_SIZE)
    file["ReadAccess"] = file["WriteAccess"] = 1
    context.put_counted(file.at("FileName"), "\\Directory\\File.txt".encode("utf-16-le"))
    return file


def stream_header(context: Context) -> int:
    """Return what a file system keeps of a stream: it begins with a header that filters hang their contexts on."""
    header = context.new("FSRTL_ADVANCED_FCB_HEADER", _OPAQUE_SIZE)
    header["NodeByteSize"] = header.layout.size
    header["Flags"], header["Flags2"] = _ADVANCED_HEADER, _SUPPORTS_FILTER_CONTEXTS
    header["FilterContexts.Flink"] = header["FilterContexts.Blink"] = header.at("FilterContexts")
    return header.address


def _driver_entry(context: Context, _root: Root) -> Words:
    return Words((driver_object(context).address, registry_path(context)))


def _driver_unload(context: Context, _root: Root) -> Words:
    return Words((driver_object(context).address,))


ROLES = {"driver-entry": _driver_entry, "driver-unload": _driver_unload}
