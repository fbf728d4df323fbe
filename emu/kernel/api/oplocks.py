"""Opportunistic locks: whether a request must wait until somebody else's oplock is broken.

Pages of FsRtlCheckOplock, FsRtlOplockFsctrl and FsRtlOplockBreakH in the WDK. The oplocks are those of other
programs, so that the input says whether one has to be broken: then the request is posted, and the completion routine
runs once the break is acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.devices import own_device
from stackemu.emu.kernel.api.irp_roles import IRP_MJ_READ, IRP_MJ_WRITE, make_request
from stackemu.emu.kernel.api.irps import SL_PENDING_RETURNED, STATUS_PENDING, complete, current_location, is_irp
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

STATUS_CANCELLED, STATUS_OPLOCK_NOT_GRANTED, STATUS_OPLOCK_BREAK_IN_PROGRESS = 0xC0000120, 0xC00000E2, 0x108
_COMPLETE_IF_OPLOCKED = 0x1
"""OPLOCK_FLAG_COMPLETE_IF_OPLOCKED: the request is not to wait."""


@dataclass(frozen=True, slots=True)
class _Places:
    """Which arguments of a function are which; the routines follow their context."""

    irp: int
    context: int
    flags: int | None


def _check(places: _Places) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function that lets a request wait for a break."""

    def behaviour(call: ApiCall) -> None:
        irp = call.arguments[places.irp]
        context, completion, post = call.arguments[places.context : places.context + 3]
        flags = call.arguments[places.flags] if places.flags is not None else 0
        if not call.succeeds:
            call.complete(STATUS_CANCELLED)
            return
        is_broken = pick(call, (False, True))
        if not is_broken:
            return
        if flags & _COMPLETE_IF_OPLOCKED:
            call.complete(STATUS_OPLOCK_BREAK_IN_PROGRESS)
        elif completion:
            call.root(completion, f"{call.name} completion", "oplock-complete", context)
            _post(call, post, context, irp)
            call.complete(STATUS_PENDING)

    return behaviour


def _post(call: ApiCall, routine: int, context: int, irp: int) -> None:
    """Prepare a request to be pended: its routine does, or else it is marked."""
    image = call.kernel.image
    if image.is_code(routine - image.base):
        call.invoke(routine, context, irp)
    elif is_irp(call, irp):
        current_location(call, call.view("IRP", irp))["Control"] |= SL_PENDING_RETURNED


def _complete(context: Context, root: Root) -> Words:
    """(Context, Irp): the request may go on, or was cancelled meanwhile."""
    irp = make_request(context, own_device(context), pick(context, (IRP_MJ_READ, IRP_MJ_WRITE, 0)))
    irp["IoStatus.Status"] = 0 if context.succeeds else STATUS_CANCELLED
    return Words((root.context[0], irp.address))


def _control(call: ApiCall) -> None:
    """FsRtlOplockFsctrl(Oplock, Irp, ...): the request is pended until a break, or completed as not granted."""
    address = call.arguments[1]
    call.complete(STATUS_PENDING if call.succeeds else STATUS_OPLOCK_NOT_GRANTED)
    if not is_irp(call, address):
        return
    irp = call.view("IRP", address)
    if call.succeeds:
        current_location(call, irp)["Control"] |= SL_PENDING_RETURNED
    else:
        irp["IoStatus.Status"], irp["IoStatus.Information"] = call.eax, 0
        complete(call, irp)


def _reset(call: ApiCall) -> None:
    call.put_u32(call.arguments[0], 0)


def _choice(*values: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = pick(call, values)

    return behaviour


def _keys_equal(call: ApiCall) -> None:
    first, second = call.arguments[:2]
    call.eax = int(first == second) or pick(call, (0, 1))


_WITH_FLAGS = _Places(irp=1, context=3, flags=2)

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FsRtlInitializeOplock": _reset,
    "FsRtlUninitializeOplock": _reset,
    "FsRtlCheckOplock": _check(_Places(irp=1, context=2, flags=None)),
    "FsRtlCheckOplockEx": _check(_WITH_FLAGS),
    "FsRtlCheckOplockEx2": _check(_Places(irp=1, context=4, flags=2)),
    "FsRtlOplockBreakH": _check(_WITH_FLAGS),
    "FsRtlOplockBreakH2": _check(_WITH_FLAGS),
    "FsRtlOplockBreakToNone": _check(_Places(irp=2, context=3, flags=None)),
    "FsRtlOplockBreakToNoneEx": _check(_WITH_FLAGS),
    "FsRtlOplockFsctrl": _control,
    "FsRtlOplockFsctrlEx": _control,
    "FsRtlUpperOplockFsctrl": _control,
    "FsRtlOplockIsFastIoPossible": _choice(1, 0),
    "FsRtlCurrentOplock": _choice(0, 1),
    "FsRtlCurrentBatchOplock": _choice(0, 1),
    "FsRtlCurrentOplockH": _choice(0, 1),
    "FsRtlOplockIsSharedRequest": _choice(0, 1),
    "FsRtlOplockGetAnyBreakOwnerProcess": _choice(0),
    "FsRtlOplockKeysEqual": _keys_equal,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"oplock-complete": _complete}
