"""Structured exceptions: the chain, filters, unwinding, in terms of the C compiler's frames."""

from __future__ import annotations

import struct
from typing import Any

KPCR = 0xFFDFF000
STACK = 0xF8A12000
FILTER, HANDLER, FINALLY = 0xA5DE1100, 0xA5DE1200, 0xA5DE1300


def _frame(kernel: Any, scopes: list[tuple[int, int, int]], level: int) -> int:
    """Link a frame with these scopes (enclosing level, filter, handler) into the chain; returns its record."""
    table = kernel.text(b"".join(struct.pack("<III", *(word & 0xFFFFFFFF for word in scope)) for scope in scopes))
    kernel.host.write(KPCR, struct.pack("<I", STACK))
    kernel.host.write(STACK, struct.pack("<IIIII", 0xFFFFFFFF, 0, table, level, 0))
    return STACK


def _record(kernel: Any, flags: int = 0) -> int:
    return int(kernel.text(struct.pack("<II", 0xC0000005, flags) + bytes(72)))


def test_a_filter_that_declines_lets_the_search_go_on(kernel: Any) -> None:
    frame = _frame(kernel, [(-1, FILTER, HANDLER)], 0)
    kernel.host.code[FILTER] = lambda: 0
    assert kernel.call("_except_handler3", _record(kernel), frame, 0, 0) == 1
    assert [address for address, _ in kernel.host.invoked] == [FILTER]


def test_a_filter_that_repaired_the_cause_lets_the_code_go_on(kernel: Any) -> None:
    frame = _frame(kernel, [(-1, FILTER, HANDLER)], 0)
    kernel.host.code[FILTER] = lambda: 0xFFFFFFFF
    assert kernel.call("_except_handler3", _record(kernel), frame, 0, 0) == 0


def test_unwinding_runs_the_finally_blocks_from_the_inside_out(kernel: Any) -> None:
    frame = _frame(kernel, [(-1, 0, FINALLY), (0, FILTER, HANDLER), (1, 0, FINALLY + 0x10)], 2)
    kernel.call("_except_handler3", _record(kernel, flags=2), frame, 0, 0)
    assert [address for address, _ in kernel.host.invoked] == [FINALLY + 0x10, FINALLY]


def test_no_filter_outside_the_scope_entered_is_asked(kernel: Any) -> None:
    frame = _frame(kernel, [(-1, FILTER, HANDLER)], 0xFFFFFFFF)
    assert kernel.call("_except_handler3", _record(kernel), frame, 0, 0) == 1
    assert kernel.host.invoked == []


def test_unwinding_takes_frames_off_the_chain_up_to_the_target(kernel: Any) -> None:
    outer = STACK + 0x100
    kernel.host.write(KPCR, struct.pack("<I", STACK))
    kernel.host.write(STACK, struct.pack("<II", outer, HANDLER))
    kernel.host.write(outer, struct.pack("<II", 0xFFFFFFFF, HANDLER))
    kernel.call("RtlUnwind", outer, 0, 0, 0)
    assert kernel.host.read(KPCR, 4) == struct.pack("<I", outer)
    assert [arguments[1] for _, arguments in kernel.host.invoked] == [STACK]
