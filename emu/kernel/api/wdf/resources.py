"""Hardware resources and child devices: WDFCMRESLIST, WDFIORESLIST, WDFIORESREQLIST and WDFCHILDLIST."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.device_init import INIT, device_of
from stackemu.emu.kernel.api.wdf.handles import WdfObject, create, find, make
from stackemu.emu.kernel.api.wdf.shapes import STATUS_NO_MORE_ENTRIES, Behaviour, creator, nothing, status_only
from stackemu.emu.kernel.api.wdf.structures import CHILD_LIST_CONFIG, config
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

_CM_SIZE, _IO_SIZE = 16, 32
"""Bytes of CM_PARTIAL_RESOURCE_DESCRIPTOR and IO_RESOURCE_DESCRIPTOR (wdm.h)."""
_SIZES = {"WDFCMRESLIST": _CM_SIZE, "WDFIORESLIST": _IO_SIZE}
_ASSIGNED = (
    struct.pack("<BBHQI", 3, 1, 0, 0xD0000000, 0x1000),  # CmResourceTypeMemory
    struct.pack("<BBHQI", 1, 1, 1, 0xC000, 0x20),  # CmResourceTypePort
    struct.pack("<BBHIII", 2, 3, 0, 5, 0x35, 1),  # CmResourceTypeInterrupt: level, vector, affinity
)
_MAX_ITEMS = 0x1000


def _list(call: ApiCall, kind: str) -> WdfObject:
    """Return a list; one that the system made up has what a simple device is assigned."""
    found = find(call, call.arguments[1], kind)
    if found.is_foreign and "filled" not in found.values:
        found.values["filled"] = 1
        if kind == "WDFCMRESLIST":
            found.items.extend(_copy(call, descriptor) for descriptor in _ASSIGNED)
        else:
            found.items.append(call.allocate(_IO_SIZE, zeroed=False))
    return found


def _copy(context: Context, data: bytes) -> int:
    address = context.allocate(len(data))
    context.write(address, data)
    return address


def _count(kind: str) -> Behaviour:
    def behave(call: ApiCall) -> None:
        call.eax = len(_list(call, kind).items)

    return behave


def _item(kind: str) -> Behaviour:
    """NULL for an index that is too large."""

    def behave(call: ApiCall) -> None:
        items = _list(call, kind).items
        call.eax = items[call.arguments[2]] if call.arguments[2] < len(items) else 0

    return behave


def _insert(kind: str, *, at_end: bool) -> Behaviour:
    """Return a behaviour that adds a copy of a descriptor, at argument 3 unless at the end."""

    def behave(call: ApiCall) -> None:
        items = _list(call, kind).items
        if not call.succeeds or len(items) >= _MAX_ITEMS:
            call.fail()
            return
        added = _copy(call, call.read(call.arguments[2], _SIZES[kind]))
        items.insert(len(items) if at_end else call.arguments[3], added)

    return behave


def _remove(kind: str) -> Behaviour:
    def behave(call: ApiCall) -> None:
        items = _list(call, kind).items
        if call.arguments[2] < len(items):
            del items[call.arguments[2]]

    return behave


def _remove_item(kind: str) -> Behaviour:
    def behave(call: ApiCall) -> None:
        items = _list(call, kind).items
        if call.arguments[2] in items:
            items.remove(call.arguments[2])

    return behave


def _requirements(call: ApiCall) -> WdfObject:
    found = find(call, call.arguments[1], "WDFIORESREQLIST")
    if found.is_foreign and not found.items:
        made = make(call, "WDFIORESLIST", found.handle)
        made.is_foreign = True
        found.items.append(made.handle)
    return found


def _requirements_count(call: ApiCall) -> None:
    call.eax = len(_requirements(call).items)


def _requirements_item(call: ApiCall) -> None:
    items = _requirements(call).items
    call.eax = items[call.arguments[2]] if call.arguments[2] < len(items) else 0


def _requirements_append(call: ApiCall) -> None:
    if call.succeeds:
        _requirements(call).items.append(call.arguments[2])
    else:
        call.fail()


def _update(call: ApiCall) -> None:
    items = _list(call, "WDFIORESLIST").items
    if call.arguments[3] < len(items):
        call.write(items[call.arguments[3]], call.read(call.arguments[2], _IO_SIZE))


# -- children --


def _child_list_create(call: ApiCall) -> None:
    device, config_address, attributes, out = call.arguments[1:5]
    given = config(call, config_address, CHILD_LIST_CONFIG)
    if not call.succeeds:
        call.fail()
        return
    made = create(call, "WDFCHILDLIST", attributes, device)
    made.values["device"] = device
    sizes = (given["IdentificationDescriptionSize"], given["AddressDescriptionSize"])
    for name, address in given.callbacks():
        call.root(address, name, name, 0, *sizes, made.handle)
    call.put_optional(out, made.handle)


def _description(context: Context, size: int) -> int:
    """Return a description of a child: its size, then what only the driver knows."""
    size = min(max(size, 4), MAX_COPY)
    address = context.allocate(size, zeroed=False)
    context.put_u32(address, size)
    return address


def _child_role(identifications: int = 0, addresses: int = 0, *, init: bool = False) -> Callable[..., Words]:
    """Return a builder of (ChildList, descriptions…, ChildInit)."""

    def build(context: Context, root: Root) -> Words:
        sizes = (root.context[1],) * identifications + (root.context[2],) * addresses
        words = [_child_list(context, root).handle, *(_description(context, size) for size in sizes)]
        return Words((*words, make(context, INIT).handle) if init else tuple(words))

    return build


def _child_list(context: Context, root: Root) -> WdfObject:
    if len(root.context) > 3:
        return find(context, root.context[3], "WDFCHILDLIST")
    made = make(context, "WDFCHILDLIST")
    made.values["device"] = device_of(context, root.context[0]).handle
    return made


def _reenumerated(context: Context, root: Root) -> Words:
    old, new = (_description(context, root.context[2]) for _ in range(2))
    made = make(context, "WDFDEVICE")
    made.is_foreign = True
    return Words((_child_list(context, root).handle, made.handle, old, new))


def _no_more(call: ApiCall) -> None:
    """No child is known when the driver iterates over its list."""
    call.complete(STATUS_NO_MORE_ENTRIES)


def _retrieve_pdo(call: ApiCall) -> None:
    """WDF_CHILD_RETRIEVE_INFO's Status, at offset 12, says why there is no device: it is 3 for no such child."""
    if not call.succeeds:
        call.put_u32(call.arguments[2] + 12, 3)
        return
    made = make(call, "WDFDEVICE")
    made.is_foreign = True
    call.put_u32(call.arguments[2] + 12, 1)
    call.eax = made.handle


def _is_done(call: ApiCall) -> None:
    call.eax = int(call.succeeds)


def _fill_description(call: ApiCall) -> None:
    """The last argument is a description whose first word says its size."""
    address = call.arguments[2 if call.name.startswith("WdfPdo") else 3]
    if not call.succeeds:
        call.fail()
        return
    size = min(call.u32(address), MAX_COPY)
    if size > 4:
        call.write(address + 4, call.read(call.allocate(size, zeroed=False), size - 4))


_CM, _IO, _REQUIREMENTS = "WdfCmResourceList", "WdfIoResourceList", "WdfIoResourceRequirementsList"

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    f"{_CM}GetCount": _count("WDFCMRESLIST"),
    f"{_CM}GetDescriptor": _item("WDFCMRESLIST"),
    f"{_CM}AppendDescriptor": _insert("WDFCMRESLIST", at_end=True),
    f"{_CM}InsertDescriptor": _insert("WDFCMRESLIST", at_end=False),
    f"{_CM}Remove": _remove("WDFCMRESLIST"),
    f"{_CM}RemoveByDescriptor": _remove_item("WDFCMRESLIST"),
    f"{_IO}Create": creator("WDFIORESLIST", attributes=2, result=3, parent=1),
    f"{_IO}GetCount": _count("WDFIORESLIST"),
    f"{_IO}GetDescriptor": _item("WDFIORESLIST"),
    f"{_IO}AppendDescriptor": _insert("WDFIORESLIST", at_end=True),
    f"{_IO}InsertDescriptor": _insert("WDFIORESLIST", at_end=False),
    f"{_IO}UpdateDescriptor": _update,
    f"{_IO}Remove": _remove("WDFIORESLIST"),
    f"{_IO}RemoveByDescriptor": _remove_item("WDFIORESLIST"),
    f"{_REQUIREMENTS}GetCount": _requirements_count,
    f"{_REQUIREMENTS}GetIoResList": _requirements_item,
    f"{_REQUIREMENTS}AppendIoResList": _requirements_append,
    f"{_REQUIREMENTS}InsertIoResList": status_only,
    f"{_REQUIREMENTS}SetSlotNumber": nothing,
    f"{_REQUIREMENTS}SetInterfaceType": nothing,
    f"{_REQUIREMENTS}Remove": nothing,
    f"{_REQUIREMENTS}RemoveByIoResList": nothing,
    "WdfChildListCreate": _child_list_create,
    "WdfChildListRetrieveNextDevice": _no_more,
    "WdfFdoRetrieveNextStaticChild": nothing,
    "WdfChildListRetrievePdo": _retrieve_pdo,
    "WdfChildListRequestChildEject": _is_done,
    "WdfChildListRetrieveAddressDescription": _fill_description,
    "WdfPdoRetrieveIdentificationDescription": _fill_description,
    "WdfPdoRetrieveAddressDescription": _fill_description,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "EvtChildListCreateDevice": _child_role(1, init=True),
    "EvtChildListScanForChildren": _child_role(),
    "EvtChildListIdentificationDescriptionCopy": _child_role(2),
    "EvtChildListIdentificationDescriptionDuplicate": _child_role(2),
    "EvtChildListIdentificationDescriptionCompare": _child_role(2),
    "EvtChildListIdentificationDescriptionCleanup": _child_role(1),
    "EvtChildListAddressDescriptionCopy": _child_role(0, 2),
    "EvtChildListAddressDescriptionDuplicate": _child_role(0, 2),
    "EvtChildListAddressDescriptionCleanup": _child_role(0, 1),
    "EvtChildListDeviceReenumerated": _reenumerated,
}
