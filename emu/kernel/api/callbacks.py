"""Callback objects, and callbacks for when the system stops or changes: bugchecks, NMIs, processors.

Pages of ExCreateCallback, ExRegisterCallback, KeRegisterBugCheckCallback, KeRegisterBugCheckReasonCallback,
KeRegisterNmiCallback and KeRegisterProcessorChangeCallback in the WDK; the records are those of wdm.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.irql import APC_LEVEL, HIGH_LEVEL, IPI_LEVEL, current_irql, limit_irql, set_irql
from stackemu.emu.kernel.api.plain_roots import plain_words_at
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

_OBJECT_SIZE = 0x40
STATUS_OBJECT_NAME_NOT_FOUND = 0xC0000034
_OBJECT_NAME = 8
"""OBJECT_ATTRIBUTES.ObjectName on x86."""

_BUFFER_INSERTED = 1
_RECORD = struct.Struct("<IIIIIIIB")
"""KBUGCHECK_CALLBACK_RECORD: Entry (2), CallbackRoutine, Buffer, Length, Component, Checksum, State."""
_RECORD_STATE = 28
_REASON_RECORD = struct.Struct("<IIIIIIB")
"""KBUGCHECK_REASON_CALLBACK_RECORD: Entry (2), CallbackRoutine, Component, Checksum, Reason, State."""
_REASON_STATE = 24

_SECONDARY_DUMP_DATA, _DUMP_IO, _ADD_PAGES, _REMOVE_PAGES = 2, 3, 4, 6
"""KBUGCHECK_CALLBACK_REASON."""
_REASON_DATA_SIZE = 0x40
"""Room for the largest of the structures that reason callbacks are given."""
_DUMP_BUFFER_SIZE = 0x800
_MANUALLY_INITIATED_CRASH = 0xE2

_PROCESSOR_ADD_EXISTING = 1
_PROCESSOR_CONTEXT = struct.Struct("<IIIHBB")
"""KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT: State, NtNumber, Status, ProcNumber {Group, Number, Reserved}."""
_ADD_START, _ADD_COMPLETE, _ADD_FAILURE = 0, 1, 2


@dataclass(slots=True)
class Registration:
    """A function registered with a callback object."""

    owner: int
    function: int
    context: int


@dataclass(slots=True)
class Callbacks:
    """Callback objects by address with their names, and registrations by the handle that was returned."""

    names: dict[int, str] = field(default_factory=dict)
    registered: dict[int, Registration] = field(default_factory=dict)


# -- callback objects --


def _create(call: ApiCall) -> None:
    out, attributes, create = call.arguments[:3]
    limit_irql(call, APC_LEVEL)
    pointer = call.u32(attributes + _OBJECT_NAME) if attributes else 0
    name = call.unicode(pointer) if pointer else ""
    if not call.succeeds:
        call.complete(call.failure() if create & 0xFF else STATUS_OBJECT_NAME_NOT_FOUND)
        return
    callbacks = call.state(Callbacks)
    known = next((at for at, other in callbacks.names.items() if name and other.lower() == name.lower()), 0)
    address = known or call.allocate(_OBJECT_SIZE)
    callbacks.names[address] = name
    call.put_u32(out, address)


def _register(call: ApiCall) -> None:
    owner, function, context = call.arguments[:3]
    limit_irql(call, APC_LEVEL)
    if not call.succeeds:
        return
    callbacks = call.state(Callbacks)
    call.eax = call.allocate(_OBJECT_SIZE)
    callbacks.registered[call.eax] = Registration(owner, function, context)
    name = callbacks.names.get(owner, "")
    call.root(function, f"callback {name}".rstrip(), "ex-callback", context, int(name.lower().endswith("powerstate")))


def _unregister(call: ApiCall) -> None:
    call.state(Callbacks).registered.pop(call.arguments[0], None)


def _notify(call: ApiCall) -> None:
    """Calls everyone who registered, in order, before it returns."""
    owner, first, second = call.arguments[:3]
    registered = [one for one in call.state(Callbacks).registered.values() if one.owner == owner]
    for one in registered:
        call.invoke(one.function, one.context, first, second)


def _ex_callback(context: Context, root: Root) -> Words:
    """(CallbackContext, Argument1, Argument2): \\Callback\\PowerState is told one of three things, and on or off."""
    callback_context, is_power_state = root.context
    if is_power_state:
        return Words((callback_context, pick(context, (3, 1, 2)), pick(context, (0, 1), 1)))
    return Words((callback_context, context.draw(0), context.draw(1)))


# -- bugchecks --


def _register_bugcheck(call: ApiCall) -> None:
    """FALSE for a record that is registered already."""
    record, routine, buffer, length, component = call.arguments[:5]
    if not call.succeeds or call.u8(record + _RECORD_STATE) == _BUFFER_INSERTED:
        return
    checksum = (routine + buffer + length + component) & 0xFFFFFFFF
    data = _RECORD.pack(record, record, routine, buffer, length, component, checksum, _BUFFER_INSERTED)
    call.write(record, data)
    call.root(routine, "bugcheck callback", "bugcheck", buffer, length)
    call.eax = 1


def _register_reason(call: ApiCall) -> None:
    record, routine, reason, component = call.arguments[:4]
    if not call.succeeds or call.u8(record + _REASON_STATE) == _BUFFER_INSERTED:
        return
    checksum = (routine + component) & 0xFFFFFFFF
    call.write(record, _REASON_RECORD.pack(record, record, routine, component, checksum, reason, _BUFFER_INSERTED))
    call.root(routine, "bugcheck reason callback", "bugcheck-reason", reason, record)
    call.eax = 1


def _deregister_bugcheck(state_at: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        state = call.arguments[0] + state_at
        call.eax = int(call.u8(state) == _BUFFER_INSERTED)
        call.put_u8(state, 0)

    return behaviour


def _bugcheck_reason(context: Context, root: Root) -> Words:
    """(Reason, Record, ReasonSpecificData, ReasonSpecificDataLength)."""
    reason, record = root.context
    data, buffer = context.allocate(_REASON_DATA_SIZE), context.allocate(_DUMP_BUFFER_SIZE)
    contents = {
        # In: a buffer and two lengths. Out: a GUID of four words, a buffer and its length.
        _SECONDARY_DUMP_DATA: (buffer, _DUMP_BUFFER_SIZE, _DUMP_BUFFER_SIZE, 0, 0, 0, 0, 0, 0),
        # An offset of two words, a buffer with its length, the part of the dump, padding.
        _DUMP_IO: (0, 0, buffer, _DUMP_BUFFER_SIZE, pick(context, (2, 1, 3, 4)), 0),
        # The callback's own context, flags, the code; address and count are the callback's answer.
        _ADD_PAGES: (0, 0, _MANUALLY_INITIATED_CRASH, 0, 0),
        _REMOVE_PAGES: (0, 0, _MANUALLY_INITIATED_CRASH, 0, 0),
    }.get(reason, (buffer, _DUMP_BUFFER_SIZE, _DUMP_BUFFER_SIZE, 0, 0, 0, 0, 0, 0))
    context.write(data, struct.pack(f"<{len(contents)}I", *contents))
    set_irql(context, HIGH_LEVEL)
    return Words((reason, record, data, 4 * len(contents)))


# -- NMIs and processors --


def _register_nmi(call: ApiCall) -> None:
    function, context = call.arguments[:2]
    if call.succeeds:
        call.eax = call.allocate(_OBJECT_SIZE)
        call.root(function, "NMI callback", "nmi", context)


def _nmi(context: Context, root: Root) -> Words:
    """(Context, Handled)."""
    set_irql(context, HIGH_LEVEL)
    return Words((root.context[0], pick(context, (0, 1))))


def _register_processor_change(call: ApiCall) -> None:
    """With KE_PROCESSOR_CHANGE_ADD_EXISTING the function is told of the processors there are, before the return."""
    function, context, flags = call.arguments[:3]
    if not call.succeeds:
        return
    call.root(function, "processor change callback", "processor-change", context)
    if flags & _PROCESSOR_ADD_EXISTING:
        for state in (_ADD_START, _ADD_COMPLETE):
            call.invoke(function, context, _change(call, state, 0), call.allocate(4))
    call.eax = call.allocate(_OBJECT_SIZE)


def _change(context: Context, state: int, number: int) -> int:
    address = context.allocate(_PROCESSOR_CONTEXT.size)
    context.write(address, _PROCESSOR_CONTEXT.pack(state, number, 0, 0, number, 0))
    return address


def _processor_change(context: Context, root: Root) -> Words:
    """(CallbackContext, ChangeContext, OperationStatus)."""
    state = pick(context, (_ADD_START, _ADD_COMPLETE, _ADD_FAILURE))
    return Words((root.context[0], _change(context, state, 1), context.allocate(4)))


def _ipi_call(call: ApiCall) -> None:
    """KeIpiGenericCall runs a function on every processor at once, here on the one there is."""
    function, argument = call.arguments[:2]
    before = current_irql(call)
    call.root(function, "KeIpiGenericCall function", "ipi", argument)
    set_irql(call, IPI_LEVEL)
    call.eax = call.invoke(function, argument)
    set_irql(call, before)


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see; STATUS_SUCCESS where there is a status."""


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "ExCreateCallback": _create,
    "ExRegisterCallback": _register,
    "ExUnregisterCallback": _unregister,
    "ExNotifyCallback": _notify,
    "KeRegisterBugCheckCallback": _register_bugcheck,
    "KeDeregisterBugCheckCallback": _deregister_bugcheck(_RECORD_STATE),
    "KeRegisterBugCheckReasonCallback": _register_reason,
    "KeDeregisterBugCheckReasonCallback": _deregister_bugcheck(_REASON_STATE),
    "KeRegisterNmiCallback": _register_nmi,
    "KeDeregisterNmiCallback": _nothing,
    "KeRegisterProcessorChangeCallback": _register_processor_change,
    "KeDeregisterProcessorChangeCallback": _nothing,
    "KeIpiGenericCall": _ipi_call,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "ex-callback": _ex_callback,
    "bugcheck": plain_words_at(HIGH_LEVEL),
    "bugcheck-reason": _bugcheck_reason,
    "nmi": _nmi,
    "processor-change": _processor_change,
    "ipi": plain_words_at(IPI_LEVEL),
}
