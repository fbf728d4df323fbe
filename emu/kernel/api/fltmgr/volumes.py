"""Volumes: their names, what mounts them, and what a minifilter asks about them.

Pages of FltGetVolumeName, FltGetVolumeGuidName, FltGetVolumeProperties, FltGetDiskDeviceObject and
FltGetFileSystemType in the WDK. Most volumes are on disks of this machine, some on another machine's share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.devices import foreign_device
from stackemu.emu.kernel.api.fltmgr.objects import Filters, hand_out
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.open_files import new_file
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.handles import open_handle
from stackemu.emu.kernel.layouts import layout

STATUS_BUFFER_TOO_SMALL, STATUS_BUFFER_OVERFLOW = 0xC0000023, 0x80000005
STATUS_FLT_NO_DEVICE_OBJECT = 0xC01C0019
_LOCAL, _REMOTE, _SHARE = "\\Device\\HarddiskVolume", "\\Device\\LanmanRedirector", "\\Server\\Share"
_NAME_KEY = 5
_GUID_NAME = "\\??\\Volume{5c12a7f3-0000-0000-0000-10000000000%x}"
_NTFS, _FAT, _LANMAN = 2, 3, 6
"""FLT_FSTYPE_."""
_DISK_FILE_SYSTEM, _NETWORK_FILE_SYSTEM = 8, 0x14
"""FILE_DEVICE_."""
_SYSTEM_NAMES = {
    False: ("\\FileSystem\\Ntfs", "\\Ntfs"),
    True: ("\\FileSystem\\MRxSmb", "\\Device\\LanmanRedirector"),
}
"""Names of the driver and of the device that mount volumes, by whether those are remote."""
_REMOTE_DEVICE = 0x10
"""FILE_REMOTE_DEVICE."""
_SECTOR_SIZES = (512, 4096)
_FO_VOLUME_OPEN = 0x400000


@dataclass(slots=True)
class Volumes:
    """Names of volumes by the address of their FLT_VOLUME, in the order in which they were asked for."""

    names: dict[int, str] = field(default_factory=dict)


def volume_name(context: Context, volume: int) -> str:
    """Return a volume's device name; the input says when it is first asked for whether the volume is remote."""
    names = context.state(Volumes).names
    if volume not in names:
        is_remote = pick(context, (False, False, True), _NAME_KEY)
        names[volume] = _REMOTE if is_remote else f"{_LOCAL}{1 + len(names)}"
    return names[volume]


def is_remote(context: Context, volume: int) -> bool:
    """Return whether a volume is another machine's."""
    return volume_name(context, volume) == _REMOTE


def share_of(context: Context, volume: int) -> str:
    """Return the share in the names of a remote volume's files, nothing for a local one."""
    return _SHARE if is_remote(context, volume) else ""


def find_volume(context: Context, name: str) -> int:
    """Return the volume of a name, 0 when no instance is on such a volume."""
    volumes = context.state(Filters).instances.values()
    return next((volume for volume in volumes if volume_name(context, volume).lower() == name.lower()), 0)


# -- names --


def _put_name(call: ApiCall, text: str, string: int, needed: int) -> None:
    """Copy a name into the caller's UNICODE_STRING; both out-parameters may be null."""
    data = text.encode("utf-16-le")
    call.put_optional(needed, len(data))
    if not string:
        call.complete(STATUS_BUFFER_TOO_SMALL)
        return
    view = call.view("UNICODE_STRING", string)
    if view["MaximumLength"] < len(data):
        view["Length"] = 0
        call.complete(STATUS_BUFFER_TOO_SMALL)
        return
    call.write(view["Buffer"], data)
    view["Length"] = len(data)


def _name(call: ApiCall) -> None:
    volume, string, needed = call.arguments[:3]
    limit_irql(call, APC_LEVEL)
    if call.succeeds:
        _put_name(call, volume_name(call, volume), string, needed)
    else:
        call.fail()


def _guid_name(call: ApiCall) -> None:
    volume, string, needed = call.arguments[:3]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    volume_name(call, volume)
    number = 1 + list(call.state(Volumes).names).index(volume)
    _put_name(call, _GUID_NAME % (number % 16), string, needed)


# -- properties --


def _properties(call: ApiCall) -> None:
    """FLT_VOLUME_PROPERTIES with its three names behind it; when there is no room for them they stay empty."""
    volume, out, length, length_out = call.arguments[:4]
    limit_irql(call, APC_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    known = layout("FLT_VOLUME_PROPERTIES")
    remote = is_remote(call, volume)
    driver, device = _SYSTEM_NAMES[remote]
    names = {
        "FileSystemDriverName": driver,
        "FileSystemDeviceName": device,
        "RealDeviceName": volume_name(call, volume),
    }
    needed = known.size + sum(2 * len(name) for name in names.values())
    call.put_u32(length_out, needed)
    if length < known.size:
        call.complete(STATUS_BUFFER_TOO_SMALL)
        return
    properties = call.view("FLT_VOLUME_PROPERTIES", out)
    properties.clear()
    properties["DeviceType"] = _NETWORK_FILE_SYSTEM if remote else _DISK_FILE_SYSTEM
    properties["DeviceCharacteristics"] = _REMOTE_DEVICE if remote else 0
    properties["SectorSize"] = pick(call, _SECTOR_SIZES)
    if length < needed:
        call.complete(STATUS_BUFFER_OVERFLOW)
        return
    at = out + known.size
    for field_name, name in names.items():
        data = name.encode("utf-16-le")
        call.write(at, data)
        properties[f"{field_name}.Length"] = properties[f"{field_name}.MaximumLength"] = len(data)
        properties[f"{field_name}.Buffer"] = at
        at += len(data)


def _system_type(call: ApiCall) -> None:
    """FltGetFileSystemType(FltObject, FileSystemType): the object is an instance or a volume."""
    target, out = call.arguments[:2]
    if not call.succeeds:
        call.fail()
        return
    volume = call.state(Filters).instances.get(target, target)
    call.put_u32(out, _LANMAN if is_remote(call, volume) else pick(call, (_NTFS, _FAT)))


def _flag(call: ApiCall) -> None:
    """FltIsVolumeWritable and FltIsVolumeSnapshot: (FltObject, BOOLEAN out)."""
    if call.succeeds:
        call.put_u8(call.arguments[1], pick(call, (1, 0)))
    else:
        call.fail()


# -- devices --


def _device(call: ApiCall) -> None:
    """FltGetDeviceObject and FltGetDiskDeviceObject: the device comes with a reference."""
    volume, out = call.arguments[:2]
    limit_irql(call, DISPATCH_LEVEL)
    is_disk = call.name == "FltGetDiskDeviceObject"
    if is_disk and is_remote(call, volume):
        call.complete(STATUS_FLT_NO_DEVICE_OBJECT)
    elif call.succeeds:
        call.put_u32(out, foreign_device(call))
    else:
        call.fail()


def _is_of_filter_manager(call: ApiCall) -> None:
    """FltIsFltMgrVolumeDeviceObject: the devices that drivers see are mostly others'."""
    call.eax = pick(call, (0, 1))


def _open(call: ApiCall) -> None:
    """FltOpenVolume(Instance, VolumeHandle, VolumeFileObject): the file object is optional and referenced."""
    _instance, handle_out, file_out = call.arguments[:3]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    file = new_file(call, "", foreign_device(call))
    file["Flags"] |= _FO_VOLUME_OPEN
    call.put_u32(handle_out, open_handle(call, file.address))
    call.put_optional(file_out, file.address)


# -- finding --


def _by_name(call: ApiCall) -> None:
    """FltGetVolumeFromName(Filter, VolumeName, RetVolume)."""
    _filter, string, out = call.arguments[:3]
    limit_irql(call, PASSIVE_LEVEL)
    text = call.unicode(string)
    volume = find_volume(call, text)
    if call.succeeds and (volume or call.state(Filters).instances):
        hand_out(call, out, volume or next(iter(call.state(Filters).instances.values())))
    else:
        call.fail()


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltGetVolumeName": _name,
    "FltGetVolumeGuidName": _guid_name,
    "FltGetVolumeProperties": _properties,
    "FltGetFileSystemType": _system_type,
    "FltIsVolumeWritable": _flag,
    "FltIsVolumeSnapshot": _flag,
    "FltGetDeviceObject": _device,
    "FltGetDiskDeviceObject": _device,
    "FltIsFltMgrVolumeDeviceObject": _is_of_filter_manager,
    "FltOpenVolume": _open,
    "FltGetVolumeFromName": _by_name,
}
