"""Interrupts and device registers: what wdm.h and the WDK's pages say drivers get."""

from __future__ import annotations

import struct
from typing import Any

from stackemu.emu.inputs import Input, Style

ROUTINE, CONTEXT = 0xA5DE1100, 0x1234
DEVICE_LEVEL = 7


def _irql(kernel: Any) -> int:
    return int(kernel.call("KeGetCurrentIrql"))


def _connect(kernel: Any) -> int:
    out = kernel.text(bytes(4))
    assert kernel.call("IoConnectInterrupt", out, ROUTINE, CONTEXT, 0, 0x91, 6, DEVICE_LEVEL, 1, 1, 1, 0) == 0
    return int(struct.unpack("<I", kernel.host.read(out, 4))[0])


def test_a_service_routine_runs_at_its_interrupts_level(kernel: Any) -> None:
    interrupt = _connect(kernel)
    assert kernel.arguments(kernel.roots[0]).stack == (interrupt, CONTEXT)
    assert _irql(kernel) == DEVICE_LEVEL


def test_no_interrupt_is_connected_when_that_fails(kernel: Any) -> None:
    out = kernel.text(b"\xff" * 4)
    status = kernel.call("IoConnectInterrupt", out, ROUTINE, CONTEXT, source=kernel.FAILURE)
    assert status >= 0xC0000000
    assert kernel.roots == []


def test_synchronized_execution_runs_the_routine_with_interrupts_held_off(kernel: Any) -> None:
    interrupt = _connect(kernel)
    seen = []

    def routine(context: int) -> int:
        seen.append((context, _irql(kernel)))
        return 1

    kernel.host.code[ROUTINE + 0x10] = routine
    assert kernel.call("KeSynchronizeExecution", interrupt, ROUTINE + 0x10, 55) == 1
    assert seen == [(55, DEVICE_LEVEL)]
    assert _irql(kernel) == 0


def test_the_interrupt_spin_lock_restores_the_level(kernel: Any) -> None:
    interrupt = _connect(kernel)
    before = kernel.call("KeAcquireInterruptSpinLock", interrupt)
    assert (before, _irql(kernel)) == (0, DEVICE_LEVEL)
    kernel.call("KeReleaseInterruptSpinLock", interrupt, before)
    assert _irql(kernel) == 0


def test_messages_are_told_apart_by_number(kernel: Any) -> None:
    """IO_INTERRUPT_MESSAGE_INFO: UnifiedIrql, MessageCount, entries of 40 bytes with the interrupt at 12."""
    out = kernel.text(bytes(4))
    parameters = kernel.text(struct.pack("<8I", 3, 0, out, ROUTINE, CONTEXT, 0, DEVICE_LEVEL, 0))
    assert kernel.call("IoConnectInterruptEx", parameters) == 0
    (table,) = struct.unpack("<I", kernel.host.read(out, 4))
    level, count = struct.unpack("<B3xI", kernel.host.read(table, 8))
    assert level == DEVICE_LEVEL
    interrupts = [struct.unpack("<I", kernel.host.read(table + 8 + 40 * n + 12, 4))[0] for n in range(count)]
    interrupt, context, message = kernel.arguments(kernel.roots[0]).stack
    assert context == CONTEXT
    assert interrupts[message] == interrupt


def test_a_port_answers_with_as_many_bits_as_it_has(kernel: Any) -> None:
    source = Input(1, Style.RANDOM, True)
    values = [kernel.call("READ_PORT_UCHAR", 0x60, source=source, library="hal.dll") for _ in range(64)]
    assert max(values) < 0x100
    assert len(set(values)) > 4


def test_writing_a_register_needs_an_address(kernel: Any) -> None:
    register = kernel.text(bytes(4))
    assert kernel.call("WRITE_REGISTER_ULONG", register, 7) == 0
    assert kernel.host.read(register, 4) == bytes(4)
