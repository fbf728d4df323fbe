"""One-time initialization (RTL_RUN_ONCE: a word whose low bits are the state, the rest the context; wdm.h).

Rules of the pages of RtlRunOnceExecuteOnce, RtlRunOnceBeginInitialize and RtlRunOnceComplete in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import ApiCall

STATUS_PENDING = 0x103
STATUS_UNSUCCESSFUL = 0xC0000001
_PENDING, _DONE, _STATE = 1, 2, 3
_CHECK_ONLY, _INIT_FAILED = 1, 4


def _initialize(call: ApiCall) -> None:
    call.put_u32(call.arguments[0], 0)


def _is_done(call: ApiCall, context: int) -> bool:
    """Return whether the initialization is done; then its context is told."""
    word = call.u32(call.arguments[0])
    if word & _STATE != _DONE:
        return False
    call.put_optional(context, word & ~_STATE)
    return True


def _execute(call: ApiCall) -> None:
    once, initialize, parameter, context = call.arguments[:4]
    if _is_done(call, context):
        return
    place = context or call.allocate(4)
    call.put_u32(once, _PENDING)
    if call.invoke(initialize, once, parameter, place):
        call.put_u32(once, call.u32(place) & ~_STATE | _DONE)
    else:
        call.put_u32(once, 0)
        call.eax = STATUS_UNSUCCESSFUL


def _begin(call: ApiCall) -> None:
    once, flags, context = call.arguments[:3]
    if _is_done(call, context):
        return
    if flags & _CHECK_ONLY:
        call.eax = STATUS_UNSUCCESSFUL
        return
    call.put_u32(once, _PENDING)
    call.eax = STATUS_PENDING


def _complete(call: ApiCall) -> None:
    once, flags, context = call.arguments[:3]
    if call.u32(once) & _STATE != _PENDING:
        call.eax = STATUS_UNSUCCESSFUL
        return
    call.put_u32(once, 0 if flags & _INIT_FAILED else context & ~_STATE | _DONE)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlRunOnceInitialize": _initialize,
    "RtlRunOnceExecuteOnce": _execute,
    "RtlRunOnceBeginInitialize": _begin,
    "RtlRunOnceComplete": _complete,
}
