"""Extra create parameters (ECP): typed contexts in a list that travels with an IRP_MJ_CREATE.

Pages of FsRtlAllocateExtraCreateParameter, FsRtlFindExtraCreateParameter, FsRtlGetEcpListFromIrp and
FsRtlFreeExtraCreateParameterList in the WDK. The lists are opaque to drivers, so their insides are kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.pool import MAX_ALLOCATION
from stackemu.emu.kernel.call import ApiCall, Context

_GUID_SIZE = 16
_LIST_ROOM = 0x40
_MAX_PARAMETERS = 64
STATUS_NOT_FOUND, STATUS_OBJECT_NAME_COLLISION = 0xC0000225, 0xC0000035
_FROM_SYSTEM = bytes.fromhex("3016ef41b9f4d24ea1c1e1e9a3a8ef02")
"""A type that no driver asks for, of the one parameter in lists that others made."""


@dataclass(slots=True)
class Parameter:
    """A context's type (a GUID), its bytes, and the routine that cleans it up."""

    guid: bytes
    size: int
    cleanup: int
    acknowledged: bool = False


@dataclass(slots=True)
class ExtraCreateParameters:
    """Parameters by the address of their context, lists by theirs, lists by the IRP that they travel with."""

    parameters: dict[int, Parameter] = field(default_factory=dict)
    lists: dict[int, list[int]] = field(default_factory=dict)
    of_irp: dict[int, int] = field(default_factory=dict)
    freed: dict[int, None] = field(default_factory=dict)


def _state(context: Context) -> ExtraCreateParameters:
    return context.state(ExtraCreateParameters)


def _contexts(call: ApiCall) -> list[int]:
    """Return the contexts of the list that is the first argument."""
    return _state(call).lists.setdefault(call.arguments[0], [])


def _parameter(call: ApiCall, address: int) -> Parameter:
    """Return a parameter; one that comes from elsewhere has a type that nobody asks for."""
    return _state(call).parameters.setdefault(address, Parameter(_FROM_SYSTEM, 0x20, 0))


# -- making and freeing --


def _allocate_list(call: ApiCall) -> None:
    """(Flags, EcpList)."""
    if not call.succeeds:
        call.fail()
        return
    address = call.allocate(_LIST_ROOM)
    _state(call).lists[address] = []
    call.put_u32(call.arguments[1], address)


def _allocate(call: ApiCall) -> None:
    """(EcpType, SizeOfContext, Flags, CleanupCallback, PoolTag or LookasideList, EcpContext)."""
    kind, size, _flags, cleanup, _source, out = call.arguments[:6]
    guid = call.read(kind, _GUID_SIZE)
    address = call.allocate(size, zeroed=False) if call.succeeds and size <= MAX_ALLOCATION else 0
    if not address:
        call.fail()
        return
    _state(call).parameters[address] = Parameter(guid, size, cleanup)
    call.put_u32(out, address)


def _free(call: ApiCall) -> None:
    _clean_up(call, call.arguments[0])


def _clean_up(call: ApiCall, address: int) -> None:
    """Free a parameter: its owner's routine (EcpContext, EcpType) runs first; a second time is noted."""
    state = _state(call)
    parameter = state.parameters.pop(address, None)
    if parameter is None:
        if address in state.freed:
            call.note(f"{call.name}: {address:#010x} was freed before")
        return
    state.freed[address] = None
    image = call.kernel.image
    if image.is_code(parameter.cleanup - image.base):
        guid = call.allocate(_GUID_SIZE)
        call.write(guid, parameter.guid)
        call.invoke(parameter.cleanup, address, guid)


def _free_list(call: ApiCall) -> None:
    for address in _state(call).lists.pop(call.arguments[0], []):
        _clean_up(call, address)


# -- lists --


def _insert(call: ApiCall) -> None:
    """(EcpList, EcpContext): one of each type."""
    contexts, address = _contexts(call), call.arguments[1]
    known = {_parameter(call, context).guid for context in contexts}
    if _parameter(call, address).guid in known or len(contexts) >= _MAX_PARAMETERS:
        call.complete(STATUS_OBJECT_NAME_COLLISION)
    else:
        contexts.append(address)


def _find(*, removes: bool) -> Callable[[ApiCall], None]:
    """(EcpList, EcpType, EcpContext, EcpContextSize)."""

    def behaviour(call: ApiCall) -> None:
        _list, kind, context_out, size_out = call.arguments[:4]
        guid, contexts = call.read(kind, _GUID_SIZE), _contexts(call)
        found = next((context for context in contexts if _parameter(call, context).guid == guid), 0)
        call.put_optional(context_out, found)
        call.put_optional(size_out, _parameter(call, found).size if found else 0)
        if not found:
            call.complete(STATUS_NOT_FOUND)
        elif removes:
            contexts.remove(found)

    return behaviour


def _next(call: ApiCall) -> None:
    """(EcpList, CurrentEcpContext, NextEcpType, NextEcpContext, NextEcpContextSize): NULL begins."""
    _list, current, kind_out, context_out, size_out = call.arguments[:5]
    contexts = _contexts(call)
    index = contexts.index(current) + 1 if current in contexts else 0
    if index >= len(contexts) or (current and current not in contexts):
        call.complete(STATUS_NOT_FOUND)
        return
    parameter = _parameter(call, contexts[index])
    if kind_out:
        call.write(kind_out, parameter.guid)
    call.put_optional(context_out, contexts[index])
    call.put_optional(size_out, parameter.size)


# -- IRPs --


def _of_irp(call: ApiCall) -> None:
    """(Irp, EcpList): NULL for most creates; others come with a list of the system's."""
    irp, out = call.arguments[:2]
    state = _state(call)
    if irp not in state.of_irp:
        state.of_irp[irp] = _list_of_system(call) if pick(call, (False, True)) else 0
    call.put_u32(out, state.of_irp[irp])


def _list_of_system(call: ApiCall) -> int:
    address, context = call.allocate(_LIST_ROOM), call.allocate(0x20)
    state = _state(call)
    state.parameters[context] = Parameter(_FROM_SYSTEM, 0x20, 0)
    state.lists[address] = [context]
    return address


def _set_into_irp(call: ApiCall) -> None:
    """(Irp, EcpList): an IRP has one list at most."""
    irp, address = call.arguments[:2]
    if _state(call).of_irp.get(irp):
        call.complete(STATUS_INVALID_PARAMETER)
    else:
        _state(call).of_irp[irp] = address


def _acknowledge(call: ApiCall) -> None:
    _parameter(call, call.arguments[0]).acknowledged = True


def _prepare_to_reuse(call: ApiCall) -> None:
    _parameter(call, call.arguments[0]).acknowledged = False


def _is_acknowledged(call: ApiCall) -> None:
    call.eax = int(_parameter(call, call.arguments[0]).acknowledged)


def _is_from_user(call: ApiCall) -> None:
    """What the driver itself made comes from the kernel."""
    call.eax = pick(call, (0, 1)) if call.arguments[0] not in _state(call).parameters else 0


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FsRtlAllocateExtraCreateParameterList": _allocate_list,
    "FsRtlAllocateExtraCreateParameter": _allocate,
    "FsRtlAllocateExtraCreateParameterFromLookasideList": _allocate,
    "FsRtlInitExtraCreateParameterLookasideList": _nothing,
    "FsRtlDeleteExtraCreateParameterLookasideList": _nothing,
    "FsRtlFreeExtraCreateParameter": _free,
    "FsRtlFreeExtraCreateParameterList": _free_list,
    "FsRtlInsertExtraCreateParameter": _insert,
    "FsRtlFindExtraCreateParameter": _find(removes=False),
    "FsRtlRemoveExtraCreateParameter": _find(removes=True),
    "FsRtlGetNextExtraCreateParameter": _next,
    "FsRtlGetEcpListFromIrp": _of_irp,
    "FsRtlSetEcpListIntoIrp": _set_into_irp,
    "FsRtlAcknowledgeEcp": _acknowledge,
    "FsRtlPrepareToReuseEcp": _prepare_to_reuse,
    "FsRtlIsEcpAcknowledged": _is_acknowledged,
    "FsRtlIsEcpFromUserMode": _is_from_user,
}
