"""Fast I/O: the calls that the I/O manager and the cache manager make instead of sending an IRP.

FAST_IO_DISPATCH and the prototypes of its members: wdm.h and ntifs.h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.inputs import PAGE
from stackemu.emu.kernel.api.choices import below, pick
from stackemu.emu.kernel.api.devices import foreign_device, own_device
from stackemu.emu.kernel.api.irp_roles import IRP_MJ_DEVICE_CONTROL, make_request
from stackemu.emu.kernel.api.irps import current_location
from stackemu.emu.kernel.api.mdl import lock_pages, make_mdl, map_pages
from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.layouts import layout
from stackemu.emu.kernel.objects import current_process, file_object
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.kernel.user_memory import user_buffer

_IRP_MJ_CREATE = 0
_LENGTHS = (0x100, 0x10, 4, 0x40, 0, 8, 0x400, PAGE)
_OFFSETS = (0, 0x200, PAGE, 0x1_0000_0000)
_RESOURCE_SIZE = 0x38
"""ERESOURCE."""
_COMPRESSED_INFO_SIZE = 0x10
"""COMPRESSED_DATA_INFO with one chunk."""
_NETWORK_INFORMATION_SIZE = 0x38
"""FILE_NETWORK_OPEN_INFORMATION, the largest that fast I/O asks for."""

_PROTOTYPES = {
    "FastIoCheckIfPossible": "file offset length flag key flag status device",
    "FastIoRead": "file offset length flag key buffer status device",
    "FastIoWrite": "file offset length flag key buffer status device",
    "FastIoQueryBasicInfo": "file flag information status device",
    "FastIoQueryStandardInfo": "file flag information status device",
    "FastIoLock": "file offset range process key flag flag status device",
    "FastIoUnlockSingle": "file offset range process key status device",
    "FastIoUnlockAll": "file process status device",
    "FastIoUnlockAllByKey": "file process key status device",
    "AcquireFileForNtCreateSection": "file",
    "ReleaseFileForNtCreateSection": "file",
    "FastIoDetachDevice": "device lower-device",
    "FastIoQueryNetworkOpenInfo": "file flag information status device",
    "AcquireForModWrite": "file offset out device",
    "MdlRead": "file offset length key out status device",
    "MdlReadComplete": "file mdl device",
    "PrepareMdlWrite": "file offset length key out status device",
    "MdlWriteComplete": "file offset mdl device",
    "FastIoReadCompressed": "file offset length key buffer out status compressed compressed-size device",
    "FastIoWriteCompressed": "file offset length key buffer out status compressed compressed-size device",
    "MdlReadCompleteCompressed": "file mdl device",
    "MdlWriteCompleteCompressed": "file offset mdl device",
    "FastIoQueryOpen": "create-irp information device",
    "ReleaseForModWrite": "file resource device",
    "AcquireForCcFlush": "file device",
    "ReleaseForCcFlush": "file device",
}
"""Parameters of each member by its field in FAST_IO_DISPATCH, in the words of `_MAKERS`."""

_Maker = Callable[[Context, int], int]
"""What makes an argument, given the number of the parameter."""


def _length(context: Context) -> int:
    """The same in all of one call, so that buffers are as long as the length says."""
    return pick(context, _LENGTHS, 6)


def _offset(context: Context, _index: int) -> int:
    address = context.allocate(8)
    context.put_u64(address, pick(context, _OFFSETS, 7))
    return address


def _range(context: Context, _index: int) -> int:
    address = context.allocate(8)
    context.put_u64(address, _length(context))
    return address


def _buffer(context: Context, _index: int) -> int:
    """Programs' own buffers for most reads and writes, the system's for others."""
    length = _length(context)
    if pick(context, (True, True, False), 5):
        return user_buffer(context, length) if length else 0
    return context.allocate(length, zeroed=False)


def _mdl(context: Context, _index: int) -> int:
    length = _length(context) or PAGE
    mdl = make_mdl(context, context.allocate(length, zeroed=False), length)
    lock_pages(context, mdl, is_written=True)
    map_pages(context, mdl)
    return mdl.address


def _device(context: Context, _index: int) -> int:
    return own_device(context)


def _file(context: Context, _index: int) -> int:
    file = file_object(context)
    file["DeviceObject"] = own_device(context)
    return file.address


def _create_irp(context: Context, _index: int) -> int:
    return make_request(context, own_device(context), _IRP_MJ_CREATE).address


def _room(size: int) -> _Maker:
    return lambda context, _index: context.allocate(size)


_MAKERS: Mapping[str, _Maker] = {
    "file": _file,
    "device": _device,
    "lower-device": lambda context, _index: foreign_device(context),
    "offset": _offset,
    "length": lambda context, _index: _length(context),
    "range": _range,
    "flag": lambda context, index: pick(context, (1, 0), index % 5),
    "key": lambda context, index: below(context, 4, index % 5),
    "process": lambda context, _index: current_process(context),
    "buffer": _buffer,
    "information": _room(_NETWORK_INFORMATION_SIZE),
    "status": lambda context, _index: context.new("IO_STATUS_BLOCK").address,
    "out": _room(4),
    "mdl": _mdl,
    "resource": _room(_RESOURCE_SIZE),
    "compressed": _room(_COMPRESSED_INFO_SIZE),
    "compressed-size": lambda _context, _index: _COMPRESSED_INFO_SIZE,
    "create-irp": _create_irp,
}

_DEVICE_CONTROL = layout("FAST_IO_DISPATCH").offset("FastIoDeviceControl")
_WORDS = {layout("FAST_IO_DISPATCH").offset(name): words.split() for name, words in _PROTOTYPES.items()}


def _device_control(context: Context) -> Words:
    """(FileObject, Wait, InputBuffer, its length, OutputBuffer, its length, IoControlCode, IoStatus, DeviceObject).

    Buffers are the program's, whatever the code's method: code and lengths are chosen as for an IRP.
    """
    device = own_device(context)
    location = current_location(context, make_request(context, device, IRP_MJ_DEVICE_CONTROL))
    sizes = [location[f"Parameters.DeviceIoControl.{name}BufferLength"] for name in ("Input", "Output")]
    source, target = (user_buffer(context, size) if size else 0 for size in sizes)
    code = location["Parameters.DeviceIoControl.IoControlCode"]
    status = context.new("IO_STATUS_BLOCK").address
    return Words((_file(context, 0), 1, source, sizes[0], target, sizes[1], code, status, device))


def _fast_io(context: Context, root: Root) -> Words:
    """What the member of FAST_IO_DISPATCH at an offset is called with."""
    (offset,) = root.context
    if offset == _DEVICE_CONTROL:
        return _device_control(context)
    return Words(tuple(_MAKERS[word](context, index) for index, word in enumerate(_WORDS[offset])))


ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"fast-io": _fast_io}
