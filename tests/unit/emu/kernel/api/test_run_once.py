"""One-time initialization: the driver's routine runs once, unless it fails."""

from __future__ import annotations

import struct
from typing import Any

INITIALIZE = 0xA5DE1100
UNSUCCESSFUL, PENDING = 0xC0000001, 0x103


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


def test_the_routine_runs_until_it_succeeds_and_then_no_more(kernel: Any) -> None:
    once, context = kernel.text(bytes(4)), kernel.text(bytes(4))
    results = iter([0, 1])

    def initialize(_once: int, parameter: int, place: int) -> int:
        kernel.host.write(place, struct.pack("<I", parameter))
        return next(results)

    kernel.host.code[INITIALIZE] = initialize
    arguments = (once, INITIALIZE, 0x1230, context)
    assert kernel.call("RtlRunOnceExecuteOnce", *arguments) == UNSUCCESSFUL
    assert kernel.call("RtlRunOnceExecuteOnce", *arguments) == 0
    kernel.host.write(context, bytes(4))
    assert kernel.call("RtlRunOnceExecuteOnce", *arguments) == 0
    assert _u32(kernel, context) == 0x1230
    assert len(kernel.host.invoked) == 2


def test_initialization_in_two_steps(kernel: Any) -> None:
    once, context = kernel.text(b"\xcc" * 4), kernel.text(bytes(4))
    kernel.call("RtlRunOnceInitialize", once)
    check_only, failed = 1, 4
    assert kernel.call("RtlRunOnceBeginInitialize", once, check_only, context) == UNSUCCESSFUL
    assert kernel.call("RtlRunOnceBeginInitialize", once, 0, context) == PENDING
    assert kernel.call("RtlRunOnceComplete", once, failed, 0) == 0
    assert kernel.call("RtlRunOnceBeginInitialize", once, 0, context) == PENDING
    assert kernel.call("RtlRunOnceComplete", once, 0, 0x4560) == 0
    assert kernel.call("RtlRunOnceBeginInitialize", once, 0, context) == 0
    assert _u32(kernel, context) == 0x4560
