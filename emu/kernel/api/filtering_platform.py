"""The Windows Filtering Platform: callouts, packet injection, and the management calls of fwpkclnt.sys.

Structures after fwpsk.h and fwpmk.h (pages of FWPS_CALLOUT0, FWPS_CLASSIFY_OUT0, FWPS_FILTER0 in the WDK).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.choices import below, pick
from stackemu.emu.kernel.api.irql import DISPATCH_LEVEL, set_irql
from stackemu.emu.kernel.api.net_buffers import new_list, new_packet
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.kernel.typed_results import answer

_CLASSIFY, _NOTIFY, _FLOW_DELETE = 20, 24, 28
"""Offsets in FWPS_CALLOUT, behind the key and the flags."""
_VALUES = 32
"""Values that a classification comes with; no layer has more."""
_FWP_UINT8, _FWP_UINT16, _FWP_UINT32, _FWP_BYTE_ARRAY16 = 1, 2, 3, 11
_METADATA_SIZE, _FILTER_SIZE, _CLASSIFY_OUT_SIZE = 0x100, 0x40, 0x28
_FILTER_ACTION, _FILTER_CONTEXT = 28, 40
_FWP_ACTION_CALLOUT_TERMINATING = 0x5003
_RIGHT_ACTION_WRITE = 1
_CLASSIFY_OUT_RIGHTS = 24
_LAYERS = 0x60
_PACKET_STATES = (0, 1, 2, 3)
"""FWPS_PACKET_INJECTION_STATE: not injected, injected by self, by other, previously by self."""
_INJECTION_HANDLE_SIZE = 0x20


def _register(version: int) -> Callable[[ApiCall], None]:
    """FwpsCalloutRegister: the callout's three functions become roots."""

    def behaviour(call: ApiCall) -> None:
        _, callout, identifier = call.stack_words[:3]
        if not call.succeeds:
            call.fail()
            return
        call.root(call.u32(callout + _CLASSIFY), "classifyFn", "wfp-classify", version)
        call.root(call.u32(callout + _NOTIFY), "notifyFn", "wfp-notify")
        call.root(call.u32(callout + _FLOW_DELETE), "flowDeleteFn", "wfp-flow-delete")
        call.put_optional(identifier, 0x100 + call.ordinal)

    return behaviour


def _create_injection_handle(call: ApiCall) -> None:
    if call.succeeds:
        call.put_u32(call.stack_words[2], call.allocate(_INJECTION_HANDLE_SIZE))
    else:
        call.fail()


def _inject(completion: int) -> Callable[[ApiCall], None]:
    """An injection function; `completion` is the position of its completion routine, the context's is behind it."""

    def behaviour(call: ApiCall) -> None:
        if not call.succeeds:
            call.fail()
            return
        packet, routine, context = call.stack_words[completion - 1 : completion + 2]
        call.root(routine, "injection completeFn", "wfp-inject-complete", context, packet)

    return behaviour


def _allocate_packet(call: ApiCall) -> None:
    pool, _, _, mdl, offset, length, result = call.stack_words[:7]
    if call.succeeds:
        call.put_u32(result, new_list(call, mdl, offset, length, pool))
    else:
        call.fail()


def _injection_state(call: ApiCall) -> None:
    call.eax = pick(call, _PACKET_STATES)
    call.put_optional(call.stack_words[2], 0)


def _nothing(_call: ApiCall) -> None:
    """Succeeds, and changes nothing that the driver may look at."""


def _status(call: ApiCall) -> None:
    call.eax = call.source.status(call.ordinal)


def _new_values(context: Context) -> int:
    """Return FWPS_INCOMING_VALUES: numbers by the input, addresses of IPv6 every now and then."""
    values = context.allocate(8 * _VALUES)
    for index in range(_VALUES):
        kind = pick(context, (_FWP_UINT32, _FWP_UINT32, _FWP_UINT8, _FWP_UINT16, _FWP_BYTE_ARRAY16), index % 8)
        value = context.allocate(16) if kind == _FWP_BYTE_ARRAY16 else context.draw(index % 8)
        context.put_u32(values + 8 * index, kind)
        context.put_u32(values + 8 * index + 4, value)
    incoming = context.allocate(12)
    context.put_u16(incoming, below(context, _LAYERS))
    context.put_u32(incoming + 4, _VALUES)
    context.put_u32(incoming + 8, values)
    return incoming


def _new_filter(context: Context) -> int:
    """Return an FWPS_FILTER whose context is memory that the driver may know."""
    known = context.allocate(_FILTER_SIZE)
    context.put_u32(known + _FILTER_ACTION, _FWP_ACTION_CALLOUT_TERMINATING)
    context.put_u64(known + _FILTER_CONTEXT, context.allocate(0x400, zeroed=False))
    return known


def _classify(context: Context, root: Root) -> Words:
    """classifyFn, whose version 1 and later have a classify context before the filter."""
    set_irql(context, DISPATCH_LEVEL)
    metadata = context.allocate(_METADATA_SIZE, zeroed=False)
    out = context.allocate(_CLASSIFY_OUT_SIZE)
    context.put_u32(out + _CLASSIFY_OUT_RIGHTS, _RIGHT_ACTION_WRITE)
    more = (context.allocate(0x20),) if root.context[0] else ()
    words = (_new_values(context), metadata, new_packet(context), *more, _new_filter(context), 0, 0, out)
    return Words(words)


def _notify(context: Context, _root: Root) -> Words:
    return Words((below(context, 3), context.allocate(16), _new_filter(context)))


def _flow_delete(context: Context, _root: Root) -> Words:
    return Words((below(context, _LAYERS), 0x100, context.allocate(0x400, zeroed=False), 0))


def _inject_complete(context: Context, root: Root) -> Words:
    set_irql(context, DISPATCH_LEVEL)
    return Words((root.context[0], new_packet(context), 1))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FwpsCalloutRegister0": _register(0),
    "FwpsCalloutRegister1": _register(1),
    "FwpsCalloutRegister2": _register(2),
    "FwpsCalloutRegister3": _register(3),
    "FwpsInjectionHandleCreate0": _create_injection_handle,
    "FwpsAllocateNetBufferAndNetBufferList0": _allocate_packet,
    "FwpsQueryPacketInjectionState0": _injection_state,
    "FwpsInjectNetworkSendAsync0": _inject(5),
    "FwpsInjectNetworkReceiveAsync0": _inject(7),
    "FwpsInjectForwardAsync0": _inject(7),
    "FwpsInjectTransportSendAsync0": _inject(7),
    "FwpsInjectTransportReceiveAsync0": _inject(9),
    **dict.fromkeys(
        ("FwpsFreeNetBufferList0", "FwpsReferenceNetBufferList0", "FwpsDereferenceNetBufferList0"), _nothing
    ),
    **dict.fromkeys(
        ("FwpsCalloutUnregisterByKey0", "FwpsCalloutUnregisterById0", "FwpsInjectionHandleDestroy0"), _status
    ),
    **dict.fromkeys(
        (
            "FwpmEngineOpen0",
            "FwpmEngineClose0",
            "FwpmTransactionBegin0",
            "FwpmTransactionCommit0",
            "FwpmTransactionAbort0",
            "FwpmProviderAdd0",
            "FwpmProviderDeleteByKey0",
            "FwpmSubLayerAdd0",
            "FwpmSubLayerDeleteByKey0",
            "FwpmCalloutAdd0",
            "FwpmCalloutDeleteByKey0",
            "FwpmCalloutDeleteById0",
            "FwpmFilterAdd0",
            "FwpmFilterDeleteByKey0",
            "FwpmFilterDeleteById0",
        ),
        answer,
    ),
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "wfp-classify": _classify,
    "wfp-notify": _notify,
    "wfp-flow-delete": _flow_delete,
    "wfp-inject-complete": _inject_complete,
}
