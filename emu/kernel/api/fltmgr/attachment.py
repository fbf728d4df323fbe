"""Finding objects: filters, their instances on volumes, attaching and detaching, rundown references.

Pages of FltAttachVolume, FltDetachVolume, FltEnumerateInstances, FltGetTopInstance, FltObjectReference and
FltGetRoutineAddress in the WDK. What these functions hand out is referenced for the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.fltmgr.objects import (
    Filters,
    filter_object,
    hand_out,
    instance_object,
    instance_on,
    new_instance,
    new_object,
    reference,
    related_objects,
    volume_of,
)
from stackemu.emu.kernel.api.fltmgr.registration import tear_down
from stackemu.emu.kernel.api.irql import APC_LEVEL, PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall

STATUS_BUFFER_TOO_SMALL = 0xC0000023
STATUS_NO_MORE_ENTRIES = 0x8000001A
STATUS_FLT_DELETING_OBJECT, STATUS_FLT_INSTANCE_NAME_COLLISION = 0xC01C000B, 0xC01C0012
STATUS_FLT_INSTANCE_NOT_FOUND, STATUS_FLT_DO_NOT_ATTACH, STATUS_FLT_DO_NOT_DETACH = 0xC01C0015, 0xC01C000F, 0xC01C0010
_MANUAL_ATTACHMENT, _MANUAL_TEARDOWN = 2, 1
_NTFS_DISK = (8, 2)
"""FILE_DEVICE_DISK_FILE_SYSTEM, FLT_FSTYPE_NTFS."""
_FAILURE_SIGN = 0x80000000


# -- references --


def _reference(call: ApiCall) -> None:
    """FltObjectReference fails for an object that is being deleted."""
    if call.succeeds:
        reference(call, call.arguments[0])
    else:
        call.complete(STATUS_FLT_DELETING_OBJECT)


def _dereference(call: ApiCall) -> None:
    """References from before this run are not known, so that only what was seen here can be one too many."""
    address = call.arguments[0]
    references = call.state(Filters).references
    if address not in references:
        return
    if not references[address]:
        call.note(f"{call.name}: {address:#010x} is dereferenced more often than referenced")
        return
    references[address] -= 1


# -- one object --


def _find(out_at: int, find: Callable[[ApiCall], int]) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function that hands out the object it finds; 0 stands for none."""

    def behaviour(call: ApiCall) -> None:
        limit_irql(call, APC_LEVEL)
        found = find(call) if call.succeeds else 0
        if found:
            hand_out(call, call.arguments[out_at], found)
        else:
            call.fail()

    return behaviour


def _instance_on(call: ApiCall) -> int:
    """Return the instance on the volume that is the first argument, another filter's when this one has none."""
    return instance_on(call, call.arguments[0]) or new_object(call)


def _instance_by_volume(call: ApiCall) -> int:
    """FltGetVolumeInstanceFromName(Filter, Volume, InstanceName, RetInstance): both in-parameters are optional."""
    return instance_on(call, call.arguments[1]) or instance_object(call)


def _neighbour(call: ApiCall) -> None:
    """FltGetUpperInstance and FltGetLowerInstance: another filter's instance, or the end of the stack."""
    limit_irql(call, APC_LEVEL)
    if call.succeeds and pick(call, (True, False)):
        hand_out(call, call.arguments[1], new_object(call))
    else:
        call.complete(STATUS_NO_MORE_ENTRIES)


def _compare_altitudes(call: ApiCall) -> None:
    first, second = call.arguments[:2]
    call.eax = 0 if first == second else pick(call, (1, 0xFFFFFFFF))


# -- lists --


def _enumerate(first: int, objects: Callable[[ApiCall], Sequence[int]]) -> Callable[[ApiCall], None]:
    """(..., List, ListSize in entries, NumberReturned): the number is told even when the list is too short."""

    def behaviour(call: ApiCall) -> None:
        listed, size, number_out = call.arguments[first : first + 3]
        limit_irql(call, APC_LEVEL)
        if not call.succeeds:
            call.fail()
            return
        found = objects(call)
        call.put_u32(number_out, len(found))
        if not listed or size < len(found):
            call.complete(STATUS_BUFFER_TOO_SMALL)
            return
        for index, address in enumerate(found):
            hand_out(call, listed + 4 * index, address)

    return behaviour


def _instances(call: ApiCall) -> list[int]:
    """Those on the volume that is the first argument, of the filter that is the second; null means any."""
    volume = call.arguments[0]
    instance_object(call)
    return [instance for instance, known in call.state(Filters).instances.items() if volume in (0, known)]


def _volumes(call: ApiCall) -> list[int]:
    instance_object(call)
    return list(dict.fromkeys(call.state(Filters).instances.values()))


def _filters(call: ApiCall) -> list[int]:
    """This filter, and another one of the system's."""
    return [filter_object(call), new_object(call)]


# -- attaching --


def _attach(out_at: int) -> Callable[[ApiCall], None]:
    """A new instance on the volume, unless there is one or the driver's setup callback declines."""

    def behaviour(call: ApiCall) -> None:
        volume, out = call.arguments[1], call.arguments[out_at]
        limit_irql(call, PASSIVE_LEVEL)
        filters = call.state(Filters)
        if not call.succeeds:
            call.fail()
            return
        if volume in filters.instances.values():
            call.complete(STATUS_FLT_INSTANCE_NAME_COLLISION)
            return
        instance = new_instance(call)
        filters.instances[instance] = volume
        setup = filters.callbacks.get("InstanceSetupCallback", 0)
        if setup:
            related = related_objects(call, instance, has_file=False)
            status = call.invoke(setup, related.address, _MANUAL_ATTACHMENT, *_NTFS_DISK)
            if status & _FAILURE_SIGN:
                del filters.instances[instance]
                call.complete(STATUS_FLT_DO_NOT_ATTACH)
                return
        if out:
            hand_out(call, out, instance)

    return behaviour


def _detach(call: ApiCall) -> None:
    """FltDetachVolume(Filter, Volume, InstanceName): not unless the driver has a callback that consents."""
    volume = call.arguments[1]
    limit_irql(call, PASSIVE_LEVEL)
    filters = call.state(Filters)
    instance = instance_on(call, volume)
    if not call.succeeds or not instance:
        call.complete(STATUS_FLT_INSTANCE_NOT_FOUND)
        return
    query = filters.callbacks.get("InstanceQueryTeardownCallback", 0)
    related = related_objects(call, instance, has_file=False)
    status = call.invoke(query, related.address, 0) if query else STATUS_FLT_DO_NOT_DETACH
    if status & _FAILURE_SIGN:
        call.complete(status)
        return
    tear_down(call, instance, _MANUAL_TEARDOWN)


def _status(call: ApiCall) -> None:
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()


def _routine(call: ApiCall) -> None:
    """FltGetRoutineAddress finds what the driver imports anyhow; everything else is not in this Filter Manager."""
    name = call.terminated(call.arguments[0]).decode("latin-1")
    limit_irql(call, PASSIVE_LEVEL)
    image = call.kernel.image
    slot = next((entry.slot for entry in image.imports if entry.name == name), None)
    if slot is not None:
        call.eax = call.u32(image.base + slot)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltObjectReference": _reference,
    "FltObjectDereference": _dereference,
    "FltGetFilterFromInstance": _find(1, filter_object),
    "FltGetFilterFromName": _find(1, filter_object),
    "FltGetVolumeFromInstance": _find(1, lambda call: volume_of(call, call.arguments[0])),
    "FltGetVolumeFromFileObject": _find(2, lambda call: volume_of(call, 0)),
    "FltGetVolumeFromDeviceObject": _find(2, lambda call: volume_of(call, 0)),
    "FltGetVolumeInstanceFromName": _find(3, _instance_by_volume),
    "FltGetTopInstance": _find(1, _instance_on),
    "FltGetBottomInstance": _find(1, _instance_on),
    "FltGetUpperInstance": _neighbour,
    "FltGetLowerInstance": _neighbour,
    "FltCompareInstanceAltitudes": _compare_altitudes,
    "FltEnumerateInstances": _enumerate(2, _instances),
    "FltEnumerateVolumes": _enumerate(1, _volumes),
    "FltEnumerateFilters": _enumerate(0, _filters),
    "FltAttachVolume": _attach(3),
    "FltAttachVolumeAtAltitude": _attach(4),
    "FltDetachVolume": _detach,
    "FltLoadFilter": _status,
    "FltUnloadFilter": _status,
    "FltGetRoutineAddress": _routine,
}
