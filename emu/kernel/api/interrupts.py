"""Interrupts: service routines that are connected, and the lock that holds them off.

Pages of IoConnectInterrupt, IoConnectInterruptEx and KeSynchronizeExecution in the WDK;
IO_CONNECT_INTERRUPT_PARAMETERS and IO_INTERRUPT_MESSAGE_INFO of wdm.h, whose offsets are those of 32-bit Windows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api import held
from stackemu.emu.kernel.api.choices import below, pick
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, current_irql, limit_irql, lower_irql, raise_irql, set_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

FULLY_SPECIFIED, LINE_BASED, MESSAGE_BASED, FULLY_SPECIFIED_GROUP, MESSAGE_BASED_PASSIVE = range(1, 6)
_RESULT, _LEVEL, _FALLBACK, _SPECIFIED_LEVEL = 8, 0x18, 0x1C, 0x20
"""In IO_CONNECT_INTERRUPT_PARAMETERS: where the interrupt object goes, SynchronizeIrql, the routine for devices
without messages, Irql of a fully specified interrupt. ServiceRoutine, ServiceContext follow the result."""
_DEVICE_LEVEL = 9
"""The level of interrupts whose driver leaves it to the kernel."""
_MESSAGES = 2
_MESSAGE = struct.Struct("<QIIIIB3xII4x")
"""MessageAddress, TargetProcessorSet, InterruptObject, MessageData, Vector, Irql, Mode, Polarity."""
_MESSAGE_ADDRESS, _FIRST_VECTOR = 0xFEE00000, 0x91
_INTERRUPT_SIZE = 0x280
"""Room for a KINTERRUPT, which is opaque."""


@dataclass(slots=True)
class Interrupts:
    """SynchronizeIrql of each interrupt object that is connected."""

    levels: dict[int, int] = field(default_factory=dict)


def _new(call: ApiCall, level: int) -> int:
    interrupt = call.allocate(_INTERRUPT_SIZE)
    call.state(Interrupts).levels[interrupt] = level
    return interrupt


def _level(context: Context, interrupt: int) -> int:
    return context.state(Interrupts).levels.get(interrupt, _DEVICE_LEVEL)


# -- connecting --


def _connect(call: ApiCall) -> None:
    out, routine, argument, _lock, _vector, _irql, synchronize_irql = call.arguments[:7]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.put_u32(out, 0)
        call.fail()
        return
    interrupt = _new(call, synchronize_irql & 0xFF)
    call.put_u32(out, interrupt)
    call.root(routine, "interrupt service routine", "isr", interrupt, argument)


def _connect_ex(call: ApiCall) -> None:
    """The caller's Version says how the interrupt is described; it says afterwards what was connected."""
    parameters = call.arguments[0]
    version = call.u32(parameters)
    limit_irql(call, PASSIVE_LEVEL)
    if not FULLY_SPECIFIED <= version <= MESSAGE_BASED_PASSIVE:
        call.complete(STATUS_INVALID_PARAMETER)
    elif not call.succeeds:
        call.fail()
    elif version in (MESSAGE_BASED, MESSAGE_BASED_PASSIVE):
        _connect_messages(call, parameters)
    else:
        _connect_line(call, parameters, call.u32(parameters + _RESULT + 4), _line_level(call, parameters, version))


def _line_level(call: ApiCall, parameters: int, version: int) -> int:
    chosen = call.u8(parameters + _LEVEL)
    if version == LINE_BASED:
        return chosen or _DEVICE_LEVEL
    return chosen or call.u8(parameters + _SPECIFIED_LEVEL)


def _connect_line(call: ApiCall, parameters: int, routine: int, level: int) -> None:
    out, argument = call.u32(parameters + _RESULT), call.u32(parameters + _RESULT + 8)
    interrupt = _new(call, level)
    call.put_u32(out, interrupt)
    call.root(routine, "interrupt service routine", "isr", interrupt, argument)


def _connect_messages(call: ApiCall, parameters: int) -> None:
    """Devices without messages get the fallback routine, where there is one, and a line."""
    out, routine, argument = struct.unpack("<III", call.read(parameters + _RESULT, 12))
    fallback = call.u32(parameters + _FALLBACK)
    level = call.u8(parameters + _LEVEL) or _DEVICE_LEVEL
    if fallback and pick(call, (False, False, True)):
        call.put_u32(parameters, LINE_BASED)
        _connect_line(call, parameters, fallback, level)
        return
    table = call.allocate(8 + _MESSAGES * _MESSAGE.size)
    call.put_u8(table, level)  # UnifiedIrql
    call.put_u32(table + 4, _MESSAGES)
    interrupts = [_new(call, level) for _ in range(_MESSAGES)]
    for index, interrupt in enumerate(interrupts):
        entry = _MESSAGE.pack(_MESSAGE_ADDRESS, 1, interrupt, index, _FIRST_VECTOR + index, level, 1, 1)
        call.write(table + 8 + index * _MESSAGE.size, entry)
    call.put_u32(out, table)
    call.root(routine, "message service routine", "message-isr", argument, *interrupts)
    call.root(fallback, "interrupt service routine", "isr", interrupts[0], argument)


def _disconnect(call: ApiCall) -> None:
    limit_irql(call, PASSIVE_LEVEL)
    call.state(Interrupts).levels.pop(call.arguments[0], None)


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


# -- holding off --


def _synchronize(call: ApiCall) -> None:
    """KeSynchronizeExecution returns what the routine returns."""
    interrupt, routine, argument = call.arguments[:3]
    call.root(routine, "synchronized routine", "synchronize", interrupt, argument)
    before = current_irql(call)
    set_irql(call, max(before, _level(call, interrupt)))
    call.eax = call.invoke(routine, argument) & 0xFF
    set_irql(call, before)


def _acquire(call: ApiCall) -> None:
    interrupt = call.arguments[0]
    call.eax = raise_irql(call, _level(call, interrupt))
    held.acquire(call, interrupt)


def _release(call: ApiCall) -> None:
    interrupt, irql = call.arguments[:2]
    held.release(call, interrupt)
    lower_irql(call, irql & 0xFF)


# -- the kernel's calls --


def _isr(context: Context, root: Root) -> Words:
    """(Interrupt, ServiceContext), at the interrupt's level."""
    interrupt, argument = root.context
    set_irql(context, _level(context, interrupt))
    return Words((interrupt, argument))


def _message_isr(context: Context, root: Root) -> Words:
    """(Interrupt, ServiceContext, MessageId), at the interrupt's level."""
    argument, *interrupts = root.context
    message = below(context, len(interrupts))
    set_irql(context, _level(context, interrupts[message]))
    return Words((interrupts[message], argument, message))


def _synchronized(context: Context, root: Root) -> Words:
    """(SynchronizeContext), at the interrupt's level."""
    interrupt, argument = root.context
    set_irql(context, _level(context, interrupt))
    return Words((argument,))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "IoConnectInterrupt": _connect,
    "IoConnectInterruptEx": _connect_ex,
    "IoDisconnectInterrupt": _disconnect,
    "IoDisconnectInterruptEx": _nothing,
    "IoReportInterruptActive": _nothing,
    "IoReportInterruptInactive": _nothing,
    "KeSynchronizeExecution": _synchronize,
    "KeAcquireInterruptSpinLock": _acquire,
    "KeReleaseInterruptSpinLock": _release,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "isr": _isr,
    "message-isr": _message_isr,
    "synchronize": _synchronized,
}
