"""The Filter Manager's objects: the driver's filter, the volumes it sees, its instance on each of them.

FLT_FILTER, FLT_VOLUME and FLT_INSTANCE are opaque ("Filter Manager Concepts" in the WDK); FLT_RELATED_OBJECTS is of
fltKernel.h.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.driver_roots import MAJOR_FUNCTION_NAMES
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.objects import file_object

_OPAQUE_SIZE = 0x200
"""Room, in bytes, for an object whose insides are no driver's business."""
_EXTRA_FUNCTION_NAMES = {
    0xFF: "ACQUIRE_FOR_SECTION_SYNCHRONIZATION",
    0xFE: "RELEASE_FOR_SECTION_SYNCHRONIZATION",
    0xFD: "ACQUIRE_FOR_MOD_WRITE",
    0xFC: "RELEASE_FOR_MOD_WRITE",
    0xFB: "ACQUIRE_FOR_CC_FLUSH",
    0xFA: "RELEASE_FOR_CC_FLUSH",
    0xF9: "QUERY_OPEN",
    0xF3: "FAST_IO_CHECK_IF_POSSIBLE",
    0xF2: "NETWORK_QUERY_OPEN",
    0xF1: "MDL_READ",
    0xF0: "MDL_READ_COMPLETE",
    0xEF: "PREPARE_MDL_WRITE",
    0xEE: "MDL_WRITE_COMPLETE",
    0xED: "VOLUME_MOUNT",
    0xEC: "VOLUME_DISMOUNT",
}
FUNCTION_NAMES = {**dict(enumerate(MAJOR_FUNCTION_NAMES)), **_EXTRA_FUNCTION_NAMES}
"""Names of the operations by number, without IRP_MJ_: those of IRPs, of FsRtl and of fast I/O (fltKernel.h)."""


@dataclass(slots=True)
class ContextKind:
    """A line of the context registration: bytes of the context (0xFFFFFFFF: any), its tag and callbacks."""

    size: int
    tag: int
    flags: int
    cleanup: int
    allocate: int
    free: int


@dataclass(slots=True)
class Filters:
    """The driver's filter, its instances with their volumes, and what it registered.

    An address is 0 while nobody has asked for the object.
    """

    filter: int = 0
    instances: dict[int, int] = field(default_factory=dict)
    callbacks: dict[str, int] = field(default_factory=dict)
    """Addresses by their names in FLT_REGISTRATION."""
    contexts: dict[int, list[ContextKind]] = field(default_factory=dict)
    """Registered contexts by type."""
    references: dict[int, int] = field(default_factory=dict)
    """Rundown references that the driver took, by object."""
    is_filtering: bool = False
    is_unregistered: bool = False


def new_object(context: Context) -> int:
    """Return the address of a new opaque object."""
    return context.allocate(_OPAQUE_SIZE)


def filter_object(context: Context) -> int:
    """Return the driver's filter, made when it has registered none yet."""
    filters = context.state(Filters)
    if not filters.filter:
        filters.filter = new_object(context)
    return filters.filter


def new_instance(context: Context) -> int:
    """Return a new instance of the driver's filter, on a volume of its own."""
    instance = new_object(context)
    context.state(Filters).instances[instance] = new_object(context)
    return instance


def instance_object(context: Context) -> int:
    """Return the first instance of the driver's filter, made when there is none."""
    instances = context.state(Filters).instances
    return next(iter(instances)) if instances else new_instance(context)


def volume_of(context: Context, instance: int) -> int:
    """Return an instance's volume; that of the first one for an instance that nothing here has made."""
    instances = context.state(Filters).instances
    return instances.get(instance) or instances[instance_object(context)]


def instance_on(context: Context, volume: int) -> int:
    """Return the filter's instance on a volume, 0 when it has none there."""
    return next((known for known, on in context.state(Filters).instances.items() if on == volume), 0)


def related_objects(context: Context, instance: int = 0, *, has_file: bool = True) -> View:
    """Return FLT_RELATED_OBJECTS for an instance, the first one unless it is given."""
    instance = instance or instance_object(context)
    related = context.new("FLT_RELATED_OBJECTS")
    related["Size"] = related.layout.size
    related["Filter"] = filter_object(context)
    related["Volume"] = volume_of(context, instance)
    related["Instance"] = instance
    related["FileObject"] = file_object(context).address if has_file else 0
    return related


def reference(call: ApiCall, address: int) -> None:
    """Count a rundown reference that an API gives to the driver."""
    references = call.state(Filters).references
    references[address] = references.get(address, 0) + 1


def hand_out(call: ApiCall, place: int, address: int) -> None:
    """Write a referenced object through an out-parameter."""
    call.put_u32(place, address)
    reference(call, address)
