"""The truth about the emulated 12 KiB stack."""

from __future__ import annotations

import struct
from typing import Any

CALLOUT = 0xA5DE1100


def test_limits_are_12_kib_apart(kernel: Any) -> None:
    low, high = kernel.text(bytes(4)), kernel.text(bytes(4))
    kernel.call("IoGetStackLimits", low, high)
    bounds = [struct.unpack("<I", kernel.host.read(at, 4))[0] for at in (low, high)]
    assert bounds[1] - bounds[0] == 12 * 1024
    assert kernel.call("IoGetInitialStack") == bounds[1]


def test_what_remains_is_counted_from_the_callers_stack_pointer(kernel: Any) -> None:
    low, high = kernel.text(bytes(4)), kernel.text(bytes(4))
    kernel.call("IoGetStackLimits", low, high)
    limit = struct.unpack("<I", kernel.host.read(low, 4))[0]
    kernel.host.registers = lambda: {"ESP": limit + 0x400 - 4}
    assert kernel.call("IoGetRemainingStackSize") == 0x400


def test_a_callout_runs_and_is_a_root(kernel: Any) -> None:
    assert kernel.call("KeExpandKernelStackAndCallout", CALLOUT, 0x42, 0x2000) == 0
    assert kernel.host.invoked == [(CALLOUT, (0x42,))]
    (root,) = kernel.roots
    assert kernel.arguments(root).stack == (0x42,)


def test_a_callout_does_not_run_without_memory_or_beyond_the_largest_size(kernel: Any) -> None:
    assert kernel.call("KeExpandKernelStackAndCallout", CALLOUT, 0, 61440) == 0xC00000F1
    status = kernel.call("KeExpandKernelStackAndCalloutEx", CALLOUT, 0, 0x2000, 1, 0, source=kernel.FAILURE)
    assert status == 0xC0000017
    assert kernel.host.invoked == []
