"""Operations that no other processor can interrupt: plain ones here, where nothing runs at the same time.

The exports of 32-bit Windows: Interlocked*, ExInterlocked*, and the ExfInterlocked* that the header's macros call
(wdm.h). Singly linked lists with a depth count are in `slists`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import ApiCall

_MASK64 = 0xFFFFFFFFFFFFFFFF
_RESULT_ZERO, _RESULT_NEGATIVE, _RESULT_POSITIVE = 0x4000, 0x8000, 0
"""What ExInterlockedIncrementLong and ExInterlockedDecrementLong answer: EFLAG_ZERO or EFLAG_SIGN (wdm.h)."""


def _add(delta: int) -> Callable[[ApiCall], None]:
    """InterlockedIncrement and InterlockedDecrement return the new value."""

    def behaviour(call: ApiCall) -> None:
        address = call.arguments[0]
        call.eax = (call.u32(address) + delta) & 0xFFFFFFFF
        call.put_u32(address, call.eax)

    return behaviour


def _add_result(delta: int) -> Callable[[ApiCall], None]:
    """ExInterlockedIncrementLong and ExInterlockedDecrementLong tell only the new value's sign."""

    def behaviour(call: ApiCall) -> None:
        address = call.arguments[0]
        value = (call.u32(address) + delta) & 0xFFFFFFFF
        call.put_u32(address, value)
        signed = _RESULT_NEGATIVE if value >> 31 else _RESULT_POSITIVE
        call.eax = signed if value else _RESULT_ZERO

    return behaviour


def _exchange(call: ApiCall) -> None:
    address, value = call.arguments[:2]
    call.eax = call.u32(address)
    call.put_u32(address, value)


def _exchange_add(call: ApiCall) -> None:
    """InterlockedExchangeAdd and ExInterlockedAddUlong return the value before."""
    address, value = call.arguments[:2]
    call.eax = call.u32(address)
    call.put_u32(address, call.eax + value)


def _compare_exchange(call: ApiCall) -> None:
    address, exchange, comparand = call.arguments[:3]
    call.eax = call.u32(address)
    if call.eax == comparand:
        call.put_u32(address, exchange)


def _set64(call: ApiCall, value: int) -> None:
    call.eax, call.edx = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF


def _compare_exchange64(call: ApiCall) -> None:
    """Exchange and comparand are given by address."""
    address, exchange, comparand = call.arguments[:3]
    value = call.u64(address)
    if value == call.u64(comparand):
        call.put_u64(address, call.u64(exchange))
    _set64(call, value)


def _add_large(call: ApiCall) -> None:
    """ExInterlockedAddLargeInteger takes the increment by value and returns the value before."""
    address, low, high = call.arguments[:3]
    value = call.u64(address)
    call.put_u64(address, value + (low | high << 32) & _MASK64)
    _set64(call, value)


def _add_large_statistic(call: ApiCall) -> None:
    address, increment = call.arguments[:2]
    call.put_u64(address, call.u64(address) + increment)


def _insert_head(call: ApiCall) -> None:
    """Doubly linked lists: the entry that was first, null for a list that was empty."""
    head, entry = call.arguments[:2]
    first = call.u32(head)
    call.write(entry, first.to_bytes(4, "little") + head.to_bytes(4, "little"))
    call.put_u32(first + 4, entry)
    call.put_u32(head, entry)
    call.eax = first if first != head else 0


def _insert_tail(call: ApiCall) -> None:
    head, entry = call.arguments[:2]
    last = call.u32(head + 4)
    call.write(entry, head.to_bytes(4, "little") + last.to_bytes(4, "little"))
    call.put_u32(last, entry)
    call.put_u32(head + 4, entry)
    call.eax = last if last != head else 0


def _remove_head(call: ApiCall) -> None:
    head = call.arguments[0]
    first = call.u32(head)
    if first == head:
        return
    after = call.u32(first)
    call.put_u32(head, after)
    call.put_u32(after + 4, head)
    call.eax = first


def _push(call: ApiCall) -> None:
    """Singly linked lists without a depth (SINGLE_LIST_ENTRY)."""
    head, entry = call.arguments[:2]
    call.eax = call.u32(head)
    call.put_u32(entry, call.eax)
    call.put_u32(head, entry)


def _pop(call: ApiCall) -> None:
    head = call.arguments[0]
    call.eax = call.u32(head)
    if call.eax:
        call.put_u32(head, call.u32(call.eax))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "InterlockedIncrement": _add(1),
    "InterlockedDecrement": _add(-1),
    "InterlockedExchange": _exchange,
    "InterlockedExchangeAdd": _exchange_add,
    "InterlockedCompareExchange": _compare_exchange,
    "ExInterlockedIncrementLong": _add_result(1),
    "ExInterlockedDecrementLong": _add_result(-1),
    "ExInterlockedExchangeUlong": _exchange,
    "ExInterlockedAddUlong": _exchange_add,
    "ExInterlockedAddLargeInteger": _add_large,
    "ExInterlockedAddLargeStatistic": _add_large_statistic,
    "ExInterlockedCompareExchange64": _compare_exchange64,
    "ExInterlockedInsertHeadList": _insert_head,
    "ExInterlockedInsertTailList": _insert_tail,
    "ExInterlockedRemoveHeadList": _remove_head,
    "ExInterlockedPushEntryList": _push,
    "ExInterlockedPopEntryList": _pop,
    "Exi386InterlockedIncrementLong": _add_result(1),
    "Exi386InterlockedDecrementLong": _add_result(-1),
    "Exi386InterlockedExchangeUlong": _exchange,
    "Exfi386InterlockedIncrementLong": _add_result(1),
    "Exfi386InterlockedDecrementLong": _add_result(-1),
    "Exfi386InterlockedExchangeUlong": _exchange,
    "ExfInterlockedAddUlong": _exchange_add,
    "ExfInterlockedCompareExchange64": _compare_exchange64,
    "ExfInterlockedInsertHeadList": _insert_head,
    "ExfInterlockedInsertTailList": _insert_tail,
    "ExfInterlockedRemoveHeadList": _remove_head,
    "ExfInterlockedPushEntryList": _push,
    "ExfInterlockedPopEntryList": _pop,
}
