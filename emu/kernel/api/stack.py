"""The kernel stack: its limits, what is left of it, and calls on a stack of their own.

The limits are those of the emulated 12 KiB stack, so drivers that measure what they have left before they recurse
behave as on the real one. Pages of IoGetRemainingStackSize and KeExpandKernelStackAndCalloutEx in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, current_irql, limit_irql
from stackemu.emu.kernel.api.plain_roots import plain_words
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.memory import STACK_LIMIT, STACK_TOP

MAXIMUM_EXPANSION_SIZE = 0xF000 - 0x1000 // 2
"""KERNEL_LARGE_STACK_SIZE - PAGE_SIZE / 2 (ntddk.h)."""
STATUS_INVALID_PARAMETER_3 = 0xC00000F1
STATUS_INVALID_PARAMETER_4 = 0xC00000F2
STATUS_NO_MEMORY = 0xC0000017


def _limits(call: ApiCall) -> None:
    low, high = call.arguments[:2]
    call.put_u32(low, STACK_LIMIT)
    call.put_u32(high, STACK_TOP)


def _initial(call: ApiCall) -> None:
    call.eax = STACK_TOP


def _limit(call: ApiCall) -> None:
    call.eax = STACK_LIMIT


def _remaining(call: ApiCall) -> None:
    """From the stack pointer that the caller goes on with down to the limit."""
    call.eax = max(0, call.host.registers()["ESP"] + 4 - STACK_LIMIT)


def _within(call: ApiCall) -> None:
    start, size = call.arguments[:2]
    call.eax = int(start >= STACK_LIMIT and start + size <= STACK_TOP)


def _expand(call: ApiCall) -> None:
    _call_out(call, APC_LEVEL)


def _expand_ex(call: ApiCall) -> None:
    """At DISPATCH_LEVEL the caller must not ask to wait for memory."""
    wait = call.arguments[3] & 0xFF
    if wait and current_irql(call) >= DISPATCH_LEVEL:
        call.note(f"{call.name}: asks to wait at IRQL {current_irql(call)}")
        call.complete(STATUS_INVALID_PARAMETER_4)
        return
    _call_out(call, DISPATCH_LEVEL)


def _call_out(call: ApiCall, highest: int) -> None:
    """Run the callout on a stack of its own, whose use is its own root's; no memory for that is the failure."""
    callout, parameter, size = call.arguments[:3]
    limit_irql(call, highest)
    if size > MAXIMUM_EXPANSION_SIZE:
        call.complete(STATUS_INVALID_PARAMETER_3)
        return
    call.root(callout, "KeExpandKernelStackAndCallout callout", "stack-callout", parameter)
    if not call.succeeds:
        call.complete(STATUS_NO_MEMORY)
        return
    call.host.invoke_apart(callout, (parameter,))
    call.complete(0)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "IoGetStackLimits": _limits,
    "IoGetInitialStack": _initial,
    "IoGetRemainingStackSize": _remaining,
    "IoWithinStackLimits": _within,
    "PsGetCurrentThreadStackBase": _initial,
    "PsGetCurrentThreadStackLimit": _limit,
    "KeExpandKernelStackAndCallout": _expand,
    "KeExpandKernelStackAndCalloutEx": _expand_ex,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"stack-callout": plain_words}
