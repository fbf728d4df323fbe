"""The interrupt request level, where the processor control region holds it.

Levels and rules: wdm.h and "Managing Hardware Priorities" in the WDK. A driver reads the level from the KPCR's
`Irql` too (offset 0x24 on x86), so it lives there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.processor import KPCR_ADDRESS

PASSIVE_LEVEL, APC_LEVEL, DISPATCH_LEVEL = 0, 1, 2
SYNCH_LEVEL, IPI_LEVEL, HIGH_LEVEL = 27, 29, 31
_IRQL = KPCR_ADDRESS + 0x24


def current_irql(context: Context) -> int:
    """Return the processor's level."""
    return context.u8(_IRQL)


def set_irql(context: Context, level: int) -> None:
    """Bring the processor to a level, as the kernel does before it calls a root in its role."""
    context.put_u8(_IRQL, level)


def raise_irql(call: ApiCall, level: int) -> int:
    """Raise the level as an API does; returns the level before. A raise that lowers is noted."""
    before = current_irql(call)
    if level < before:
        call.note(f"{call.name}: raises the IRQL from {before} to {level}, which is lower")
    set_irql(call, min(level, HIGH_LEVEL))
    return before


def lower_irql(call: ApiCall, level: int) -> None:
    """Lower the level as an API does. A lowering that raises is noted, but not from PASSIVE_LEVEL.

    Functions that run on their own start there, whatever level their callers would have raised to.
    """
    before = current_irql(call)
    if PASSIVE_LEVEL < before < level <= HIGH_LEVEL:
        call.note(f"{call.name}: lowers the IRQL from {before} to {level}, which is higher")
    set_irql(call, min(level, HIGH_LEVEL))


def limit_irql(call: ApiCall, highest: int, doing: str = "called") -> None:
    """Note a call at a level above the highest that the documentation allows."""
    level = current_irql(call)
    if level > highest:
        call.note(f"{call.name}: {doing} at IRQL {level}, allowed up to {highest}")


def _current(call: ApiCall) -> None:
    call.eax = current_irql(call)


def _raise(call: ApiCall) -> None:
    call.eax = raise_irql(call, call.arguments[0] & 0xFF)


def _raise_out(call: ApiCall) -> None:
    """KeRaiseIrql as a function stores the old level through a pointer."""
    call.put_u8(call.arguments[1], raise_irql(call, call.arguments[0] & 0xFF))


def _raise_to(level: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = raise_irql(call, level)

    return behaviour


def _lower(call: ApiCall) -> None:
    lower_irql(call, call.arguments[0] & 0xFF)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "KeGetCurrentIrql": _current,
    "KfRaiseIrql": _raise,
    "KeRaiseIrql": _raise_out,
    "KeRaiseIrqlToDpcLevel": _raise_to(DISPATCH_LEVEL),
    "KeRaiseIrqlToSynchLevel": _raise_to(SYNCH_LEVEL),
    "KfLowerIrql": _lower,
    "KeLowerIrql": _lower,
}
