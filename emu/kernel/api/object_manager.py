"""The object manager: references, handles to objects and back, names, callbacks on handle creation.

Pages of ObReferenceObjectByHandle, ObOpenObjectByPointer, ObQueryNameString and ObRegisterCallbacks in the WDK;
OB_CALLBACK_REGISTRATION and its kin: wdm.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.devices import Devices, find_device, foreign_device
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.object_types import object_of_type, type_of, variable_of_type
from stackemu.emu.kernel.api.threads import process_object, thread_object
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.handles import KERNEL_HANDLE, Handles, close_handle, object_of, open_handle
from stackemu.emu.kernel.objects import current_process
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.kernel.variables import initial_pointer, variable_address

STATUS_INVALID_HANDLE = 0xC0000008
STATUS_INFO_LENGTH_MISMATCH = 0xC0000004
OBJ_KERNEL_HANDLE = 0x200
STATUS_OBJECT_TYPE_MISMATCH = 0xC0000024
_LIKELY_TYPES = ("IoFileObjectType", "PsProcessType", "ExEventObjectType", "MmSectionObjectType")
_FILTER_VERSION = 0x100
_UNICODE_STRING_SIZE = 8
_FILE_NAME = "\\Device\\HarddiskVolume1\\Directory\\File.txt"

_MAX_OPERATIONS = 16
_REGISTRATION = struct.Struct("<HHIIII")
"""OB_CALLBACK_REGISTRATION: Version, count, Altitude (length, buffer), RegistrationContext, operations."""
_OPERATION = struct.Struct("<IIII")
"""OB_OPERATION_REGISTRATION: address of the object type, Operations, PreOperation, PostOperation."""
_HANDLE_CREATE, _HANDLE_DUPLICATE = 1, 2
_PROCESS_ALL_ACCESS = 0x1FFFFF
_OTHER_PROCESS, _OTHER_THREAD = 0x9C0, 0x9C4


@dataclass(slots=True)
class References:
    """References that the driver added to objects, by address."""

    counts: dict[int, int] = field(default_factory=dict)


def _count(call: ApiCall, address: int, step: int) -> int:
    """Change an object's reference count; returns the new one, which is at least 1: others refer to it too."""
    counts = call.state(References).counts
    counts[address] = max(0, counts.get(address, 0) + step)
    return 1 + counts[address]


def _reference(call: ApiCall) -> None:
    limit_irql(call, DISPATCH_LEVEL)
    call.eax = _count(call, call.arguments[0], 1)


def _dereference(call: ApiCall) -> None:
    limit_irql(call, DISPATCH_LEVEL)
    call.eax = _count(call, call.arguments[0], -1)


def _reference_safe(call: ApiCall) -> None:
    """FALSE for an object that is being deleted."""
    if call.succeeds:
        _count(call, call.arguments[0], 1)
        call.eax = 1


def _reference_by_pointer(call: ApiCall) -> None:
    if call.succeeds:
        _count(call, call.arguments[0], 1)
    else:
        call.fail()


def _by_handle(out_at: int) -> Callable[[ApiCall], None]:
    """ObReferenceObjectByHandle(WithTag): a handle from elsewhere stands for an object of the type asked for."""

    def behaviour(call: ApiCall) -> None:
        handle, access, wanted = call.arguments[:3]
        out, information = call.arguments[out_at : out_at + 2]
        limit_irql(call, PASSIVE_LEVEL)
        call.put_u32(out, 0)
        if handle in call.state(Handles).closed:
            call.note(f"{call.name}: the handle {handle:#x} was closed before")
        if not handle or not call.succeeds:
            call.complete(STATUS_INVALID_HANDLE if not handle else call.failure())
            return
        variable = variable_of_type(wanted)
        address = object_of(call, handle)
        if address is None:
            address = call.state(Handles).objects[handle] = object_of_type(call, variable)
        if variable is not None and type_of(call, address) not in (variable, None):
            call.complete(STATUS_OBJECT_TYPE_MISMATCH)
            return
        _count(call, address, 1)
        call.put_u32(out, address)
        if information:
            call.put_u32(information, 0)
            call.put_u32(information + 4, access)

    return behaviour


def _object_type(call: ApiCall) -> None:
    """ObGetObjectType: of what type an object from elsewhere is, is the input's to say."""
    call.eax = initial_pointer(type_of(call, call.arguments[0]) or pick(call, _LIKELY_TYPES))


def _by_name(call: ApiCall) -> None:
    """ObReferenceObjectByName: drivers look up each other's driver objects with it."""
    name, out = call.unicode(call.arguments[0]), call.arguments[7]
    if not call.succeeds:
        call.fail()
        return
    address = find_device(call, name)
    if name.lower().startswith(("\\driver\\", "\\filesystem\\")):
        address = call.view("DEVICE_OBJECT", foreign_device(call))["DriverObject"]
    _count(call, address, 1)
    call.put_u32(out, address)


def _open(out_at: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        address, attributes = call.arguments[:2]
        limit_irql(call, PASSIVE_LEVEL)
        if not call.succeeds:
            call.fail()
            return
        call.put_u32(
            call.arguments[out_at], open_handle(call, address, is_kernel=bool(attributes & OBJ_KERNEL_HANDLE))
        )

    return behaviour


def _close(call: ApiCall) -> None:
    handle = call.arguments[0]
    if handle in call.state(Handles).closed:
        call.note(f"{call.name}: the handle {handle:#x} was closed before")
        call.complete(STATUS_INVALID_HANDLE)
        return
    close_handle(call, handle)


def _is_kernel_handle(call: ApiCall) -> None:
    handle = call.arguments[0]
    call.eax = int(bool(handle & KERNEL_HANDLE) and handle < 0xFFFFFFFA)


def _name(context: Context, address: int) -> str:
    names = context.state(Devices).names
    return next((name for name, at in names.items() if at == address), _FILE_NAME)


def _query_name(call: ApiCall) -> None:
    """OBJECT_NAME_INFORMATION is a UNICODE_STRING with its buffer behind it."""
    address, information, length, length_out = call.arguments[:4]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    text = _name(call, address).encode("utf-16-le")
    needed = _UNICODE_STRING_SIZE + len(text) + 2
    call.put_u32(length_out, needed)
    if length < needed:
        call.complete(STATUS_INFO_LENGTH_MISMATCH)
        return
    header = struct.pack("<HHI", len(text), len(text) + 2, information + _UNICODE_STRING_SIZE)
    call.write(information, header + text + b"\0\0")


# -- callbacks on handles --


def _register(call: ApiCall) -> None:
    registration, out = call.arguments[:2]
    limit_irql(call, APC_LEVEL)
    _version, count, _lengths, _buffer, context, operations = _REGISTRATION.unpack(
        call.read(registration, _REGISTRATION.size)
    )
    if not call.succeeds:
        call.fail()
        return
    for index in range(min(count, _MAX_OPERATIONS)):
        kind, _operations, before, after = _OPERATION.unpack(
            call.read(operations + _OPERATION.size * index, _OPERATION.size)
        )
        call.root(before, "ObRegisterCallbacks pre-operation", "ob-pre", context, kind)
        call.root(after, "ObRegisterCallbacks post-operation", "ob-post", context, kind)
    call.put_u32(out, call.allocate(0x20))


def _operation(context: Context, root: Root, tail: bytes, parameters: tuple[int, ...]) -> Words:
    """(RegistrationContext, OperationInformation): what is opened is of the type that the callback is for."""
    argument, kind = root.context
    operation = pick(context, (_HANDLE_CREATE, _HANDLE_DUPLICATE), 1)
    objects: tuple[int, ...] = (process_object(context, _OTHER_PROCESS), current_process(context))
    if kind == variable_address("PsThreadType"):
        objects = (thread_object(context, _OTHER_THREAD),)
    if operation == _HANDLE_DUPLICATE:
        parameters = (*parameters, current_process(context), process_object(context, _OTHER_PROCESS))
    place = context.allocate(4 * len(parameters))
    context.write(place, struct.pack(f"<{len(parameters)}I", *parameters))
    opened, is_kernel = pick(context, objects, 2), pick(context, (0, 1), 3)
    data = struct.pack("<IIIII", operation, is_kernel, opened, context.u32(kind) if kind else 0, 0)
    data += tail + struct.pack("<I", place)
    information = context.allocate(len(data))
    context.write(information, data)
    return Words((argument, information))


def _before(context: Context, root: Root) -> Words:
    """Parameters: DesiredAccess, OriginalDesiredAccess."""
    access = pick(context, (_PROCESS_ALL_ACCESS, 1, 0x10, 0x1000))
    return _operation(context, root, b"", (access, access))


def _after(context: Context, root: Root) -> Words:
    """ReturnStatus, and as parameter GrantedAccess."""
    status = struct.pack("<I", context.source.status(context.ordinal))
    return _operation(context, root, status, (pick(context, (_PROCESS_ALL_ACCESS, 1, 0x10)),))


def _filter_version(call: ApiCall) -> None:
    call.eax = _FILTER_VERSION


# -- security --


def _get_security(call: ApiCall) -> None:
    """ObGetObjectSecurity answers with a descriptor, or NULL for an object without one."""
    _object, out, is_allocated = call.arguments[:3]
    if not call.succeeds:
        call.fail()
        return
    descriptor = call.allocate(20)
    call.write(descriptor, struct.pack("<BBH", 1, 0, 0x8000))
    call.put_u32(out, pick(call, (descriptor, descriptor, 0)))
    call.put_u8(is_allocated, 0)


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "ObfReferenceObject": _reference,
    "ObfReferenceObjectWithTag": _reference,
    "ObfDereferenceObject": _dereference,
    "ObfDereferenceObjectWithTag": _dereference,
    "ObDereferenceObject": _dereference,
    "ObDereferenceObjectDeferDelete": _dereference,
    "ObDereferenceObjectDeferDeleteWithTag": _dereference,
    "ObReferenceObjectSafe": _reference_safe,
    "ObReferenceObjectSafeWithTag": _reference_safe,
    "ObReferenceObjectByPointer": _reference_by_pointer,
    "ObReferenceObjectByPointerWithTag": _reference_by_pointer,
    "ObReferenceObjectByHandle": _by_handle(4),
    "ObReferenceObjectByHandleWithTag": _by_handle(5),
    "ObReferenceObjectByName": _by_name,
    "ObGetObjectType": _object_type,
    "ObOpenObjectByPointer": _open(6),
    "ObOpenObjectByPointerWithTag": _open(7),
    "ObCloseHandle": _close,
    "ObIsKernelHandle": _is_kernel_handle,
    "ObQueryNameString": _query_name,
    "ObRegisterCallbacks": _register,
    "ObUnRegisterCallbacks": _nothing,
    "ObGetFilterVersion": _filter_version,
    "ObGetObjectSecurity": _get_security,
    "ObReleaseObjectSecurity": _nothing,
    "ObMakeTemporaryObject": _nothing,
    "ObReferenceSecurityDescriptor": _nothing,
    "ObDereferenceSecurityDescriptor": _nothing,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "ob-pre": _before,
    "ob-post": _after,
}
