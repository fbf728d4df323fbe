"""ERESOURCE: reader/writer locks that their owner may take again.

Pages of ExAcquireResourceExclusiveLite and its relatives in the WDK. The public fields (ActiveCount, Flag, the
owner's thread) are kept as debuggers show them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api import held
from stackemu.emu.kernel.api.irql import APC_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.processor import CURRENT_THREAD

_OWNED_EXCLUSIVE = 0x80


@dataclass(slots=True)
class Ownership:
    """How often the driver has a resource, and whether alone."""

    count: int = 0
    is_exclusive: bool = False


@dataclass(slots=True)
class Resources:
    """Resources that were initialised or acquired, by address."""

    known: dict[int, Ownership] = field(default_factory=dict)


def acquire_resource(call: ApiCall, address: int, *, wait: bool, is_shared: bool) -> bool:
    """Take a resource; returns whether it was granted. Without waiting, the input says whether somebody has it."""
    limit_irql(call, APC_LEVEL)
    owned = call.state(Resources).known.setdefault(address, Ownership())
    if owned.count and not owned.is_exclusive and not is_shared:
        if not wait:
            return False
        call.note(f"{call.name}: {address:#010x} is held shared already, which waits for ever")
    if not wait and not owned.count and not call.succeeds:
        return False
    owned.is_exclusive = owned.is_exclusive or not is_shared
    owned.count += 1
    _show(call, address, owned)
    return True


def release_resource(call: ApiCall, address: int) -> None:
    """Give a resource back once; one that is not held is noted when the driver has shown that it knows it."""
    known = call.state(Resources).known
    owned = known.get(address)
    if owned is None:
        call.view("ERESOURCE", address)["ActiveCount"] = 0
        return
    if not owned.count:
        call.note(f"{call.name}: {address:#010x} is not held")
    owned.count = max(0, owned.count - 1)
    owned.is_exclusive = owned.is_exclusive and owned.count > 0
    _show(call, address, owned)


def _show(call: ApiCall, address: int, owned: Ownership) -> None:
    resource = call.view("ERESOURCE", address)
    resource["ActiveCount"] = owned.count
    resource["Flag"] = _OWNED_EXCLUSIVE if owned.is_exclusive else 0
    resource["OwnerEntry.OwnerThread"] = CURRENT_THREAD if owned.count else 0
    resource["ActiveEntries"] = int(owned.count > 0)


def _initialize(call: ApiCall) -> None:
    address = call.arguments[0]
    call.view("ERESOURCE", address).clear()
    call.put_u32(address, address)
    call.put_u32(address + 4, address)
    call.state(Resources).known[address] = Ownership()


def _delete(call: ApiCall) -> None:
    address = call.arguments[0]
    call.u32(address)
    owned = call.state(Resources).known.pop(address, None)
    if owned is not None and owned.count:
        call.note(f"{call.name}: {address:#010x} is still held")


def _acquire(*, is_shared: bool, waits: bool | None = None, enters: bool = False) -> Callable[[ApiCall], None]:
    """Functions that take a resource: `waits` None takes Wait from the second argument."""

    def behaviour(call: ApiCall) -> None:
        if enters:
            held.enter_critical_region(call)
        wait = bool(call.arguments[1] & 0xFF) if waits is None else waits
        call.eax = int(acquire_resource(call, call.arguments[0], wait=wait, is_shared=is_shared))
        if enters:
            call.eax = CURRENT_THREAD

    return behaviour


def _release(call: ApiCall) -> None:
    release_resource(call, call.arguments[0])


def _release_and_leave(call: ApiCall) -> None:
    release_resource(call, call.arguments[0])
    held.leave_critical_region(call)


def _convert(call: ApiCall) -> None:
    address = call.arguments[0]
    owned = call.state(Resources).known.setdefault(address, Ownership(1))
    owned.is_exclusive = False
    _show(call, address, owned)


def _is_exclusive(call: ApiCall) -> None:
    """Of a resource that nobody has shown, the input knows who has it."""
    call.u32(call.arguments[0])
    owned = call.state(Resources).known.get(call.arguments[0])
    call.eax = int(owned.is_exclusive if owned is not None else call.succeeds)


def _is_shared(call: ApiCall) -> None:
    """ExIsResourceAcquiredSharedLite returns how often the caller has it, shared or exclusive."""
    call.u32(call.arguments[0])
    owned = call.state(Resources).known.get(call.arguments[0])
    call.eax = owned.count if owned is not None else int(call.succeeds)


def _waiters(call: ApiCall) -> None:
    """Nobody else is there to wait, unless the input says so."""
    call.u32(call.arguments[0])
    call.eax = 0 if call.succeeds else 1


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "ExInitializeResourceLite": _initialize,
    "ExReinitializeResourceLite": _initialize,
    "ExDeleteResourceLite": _delete,
    "ExAcquireResourceExclusiveLite": _acquire(is_shared=False),
    "ExAcquireResourceSharedLite": _acquire(is_shared=True),
    "ExAcquireSharedStarveExclusive": _acquire(is_shared=True),
    "ExAcquireSharedWaitForExclusive": _acquire(is_shared=True),
    "ExEnterCriticalRegionAndAcquireResourceExclusive": _acquire(is_shared=False, waits=True, enters=True),
    "ExEnterCriticalRegionAndAcquireResourceShared": _acquire(is_shared=True, waits=True, enters=True),
    "ExEnterCriticalRegionAndAcquireSharedWaitForExclusive": _acquire(is_shared=True, waits=True, enters=True),
    "ExReleaseResourceLite": _release,
    "ExReleaseResourceForThreadLite": _release,
    "ExReleaseResourceAndLeaveCriticalRegion": _release_and_leave,
    "ExConvertExclusiveToSharedLite": _convert,
    "ExIsResourceAcquiredExclusiveLite": _is_exclusive,
    "ExIsResourceAcquiredSharedLite": _is_shared,
    "ExIsResourceAcquiredLite": _is_shared,
    "ExGetExclusiveWaiterCount": _waiters,
    "ExGetSharedWaiterCount": _waiters,
    "ExDisableResourceBoostLite": _nothing,
    "ExSetResourceOwnerPointer": _nothing,
    "ExSetResourceOwnerPointerEx": _nothing,
}
