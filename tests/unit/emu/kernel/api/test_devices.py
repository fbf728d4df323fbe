"""Devices and MDLs: what drivers find in the objects that the I/O manager makes for them."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.call import Raised
from stackemu.emu.kernel.objects import Objects, driver_object

DRIVER_ROUTINE = 0xA5DE1100
LOCKED, MAPPED, NONPAGED = 2, 1, 4


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


def _view(kernel: Any, structure: str, address: int) -> Any:
    return kernel.context().view(structure, address)


def _device(kernel: Any, name: str = "", extension: int = 0x40, **options: Any) -> int:
    out, driver = kernel.text(b"\xcc" * 4), driver_object(kernel.context()).address
    kernel.call("IoCreateDevice", driver, extension, kernel.unicode(name), 0x22, 0x100, 0, out, **options)
    return _u32(kernel, out)


def test_a_device_has_a_zeroed_extension_and_heads_its_drivers_list(kernel: Any) -> None:
    first, second = _device(kernel), _device(kernel, "\\Device\\Second", 0x20)
    device = _view(kernel, "DEVICE_OBJECT", second)
    assert (device["Type"], device["Size"], device["StackSize"], device["DeviceType"]) == (3, 184 + 0x20, 1, 0x22)
    assert device["Flags"] == 0xC0  # DO_DEVICE_INITIALIZING, DO_DEVICE_HAS_NAME
    assert kernel.host.read(device["DeviceExtension"], 0x20) == bytes(0x20)
    assert (driver_object(kernel.context())["DeviceObject"], device["NextDevice"]) == (second, first)
    assert kernel.context().state(Objects).devices == [first, second]
    assert _device(kernel, source=kernel.FAILURE) == 0


def test_a_deleted_device_leaves_the_list_and_is_not_deleted_twice(kernel: Any) -> None:
    first, second, third = (_device(kernel) for _ in range(3))
    kernel.call("IoDeleteDevice", second)
    assert _view(kernel, "DEVICE_OBJECT", third)["NextDevice"] == first
    kernel.call("IoDeleteDevice", second)
    assert [note.split(":")[0] for note in kernel.state.records.notes] == ["IoDeleteDevice"]


def test_attached_devices_are_stacked_and_every_one_needs_a_stack_location_more(kernel: Any) -> None:
    bottom, middle, top = (_device(kernel) for _ in range(3))
    assert kernel.call("IoAttachDeviceToDeviceStack", middle, bottom) == bottom
    assert kernel.call("IoAttachDeviceToDeviceStack", top, bottom) == middle
    assert _view(kernel, "DEVICE_OBJECT", top)["StackSize"] == 3
    assert kernel.call("IoGetAttachedDevice", bottom) == top
    assert kernel.call("IoGetLowerDeviceObject", top) == middle
    kernel.call("IoDetachDevice", middle)
    assert kernel.call("IoGetAttachedDevice", bottom) == middle
    assert kernel.call("IoAttachDeviceToDeviceStack", top, bottom, source=kernel.FAILURE) == 0


def test_a_device_is_found_by_its_name_and_by_its_link(kernel: Any) -> None:
    device = _device(kernel, "\\Device\\Sample")
    kernel.call("IoCreateSymbolicLink", kernel.unicode("\\??\\Sample"), kernel.unicode("\\Device\\Sample"))
    out = kernel.text(bytes(8))
    for name in ("\\device\\SAMPLE", "\\??\\Sample"):
        assert kernel.call("IoGetDeviceObjectPointer", kernel.unicode(name), 0, out, out + 4) == 0
        assert _u32(kernel, out + 4) == device


def test_a_list_of_devices_that_does_not_fit_says_how_many_there_are(kernel: Any) -> None:
    devices = [_device(kernel) for _ in range(3)]
    out, driver = kernel.text(bytes(16)), driver_object(kernel.context()).address
    assert kernel.call("IoEnumerateDeviceObjectList", driver, out, 8, out + 12) == 0xC0000023
    assert _u32(kernel, out + 12) == 3
    assert kernel.call("IoEnumerateDeviceObjectList", driver, out, 12, out + 12) == 0
    assert struct.unpack("<III", kernel.host.read(out, 12)) == tuple(devices)


def test_an_io_timer_is_called_with_its_device(kernel: Any) -> None:
    device = _device(kernel)
    assert kernel.call("IoInitializeTimer", device, DRIVER_ROUTINE, 0x99) == 0
    assert kernel.arguments(kernel.roots[0]).stack == (device, 0x99)


# -- MDLs --


def test_an_mdl_describes_its_buffer_by_page_and_offset(kernel: Any) -> None:
    mdl = _view(kernel, "MDL", kernel.call("IoAllocateMdl", 0x85123F80, 0x100, 0, 0, 0))
    assert (mdl["StartVa"], mdl["ByteOffset"], mdl["ByteCount"]) == (0x85123000, 0xF80, 0x100)
    assert mdl["Size"] == 28 + 2 * 4  # two pages
    kernel.call("MmBuildMdlForNonPagedPool", mdl.address)
    assert (mdl["MdlFlags"], mdl["MappedSystemVa"]) == (NONPAGED, 0x85123F80)
    frames = struct.unpack("<II", kernel.host.read(mdl.address + 28, 8))
    assert frames == tuple(kernel.call("MmGetPhysicalAddress", page) >> 12 for page in (0x85123000, 0x85124000))


def test_an_mdl_made_for_an_irp_is_linked_to_it(kernel: Any) -> None:
    irp = kernel.call("IoAllocateIrp", 1, 0)
    first = kernel.call("IoAllocateMdl", 0x85120000, 4, 0, 0, irp)
    second = kernel.call("IoAllocateMdl", 0x85121000, 4, 1, 0, irp)
    assert _view(kernel, "IRP", irp)["MdlAddress"] == first
    assert _view(kernel, "MDL", first)["Next"] == second


def test_a_locked_user_buffer_is_mapped_at_a_kernel_address_with_its_content(kernel: Any) -> None:
    kernel.host.write(0x00300010, b"user data")
    mdl = _view(kernel, "MDL", kernel.call("IoAllocateMdl", 0x00300010, 9, 0, 0, 0))
    kernel.call("MmProbeAndLockPages", mdl.address, 1, 1)
    assert mdl["MdlFlags"] & LOCKED
    address = kernel.call("MmMapLockedPagesSpecifyCache", mdl.address, 0, 1, 0, 0, 0)
    assert address > 0x80000000
    assert (address & 0xFFF, kernel.host.read(address, 9)) == (0x010, b"user data")
    kernel.call("IoFreeMdl", mdl.address)
    assert "locked" in next(iter(kernel.state.records.notes))


@pytest.mark.parametrize(("address", "size"), [(0x85120000, 4), (0x7FFEFFFF, 2), (0xFFFFFFF0, 0x20)])
def test_a_buffer_that_is_not_user_modes_is_not_locked_on_its_behalf(kernel: Any, address: int, size: int) -> None:
    mdl = kernel.call("IoAllocateMdl", address, size, 0, 0, 0)
    with pytest.raises(Raised) as raised:
        kernel.call("MmProbeAndLockPages", mdl, 1, 0)
    assert raised.value.status == 0xC0000005


def test_a_partial_mdl_takes_over_the_mapping(kernel: Any) -> None:
    source = kernel.call("IoAllocateMdl", 0x85120100, 0x400, 0, 0, 0)
    kernel.call("MmBuildMdlForNonPagedPool", source)
    target = kernel.call("IoAllocateMdl", 0x85120200, 0x100, 0, 0, 0)
    kernel.call("IoBuildPartialMdl", source, target, 0x85120200, 0)
    part = _view(kernel, "MDL", target)
    assert (part["ByteCount"], part["MappedSystemVa"]) == (0x300, 0x85120200)
