"""Operations of a minifilter's own: FLT_CALLBACK_DATA that it allocates, fills and sends below its instance.

Pages of FltAllocateCallbackData, FltPerformSynchronousIo, FltPerformAsynchronousIo and FltReissueSynchronousIo in
the WDK. An asynchronous operation may be done before the function returns: its completion runs on the caller's stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.files import fill
from stackemu.emu.kernel.api.fltmgr import parameters
from stackemu.emu.kernel.api.fltmgr.operations import (
    IRP_OPERATION,
    CallbackData,
    make_operation,
    new_callback_data,
    parameter_block,
)
from stackemu.emu.kernel.api.fltmgr.parameters import BUFFERS, MAX_BUFFER, READ, Operation
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL, limit_irql, set_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.roots import Root, Words

GENERATED_IO, REISSUED_IO = 0x10000, 0x20000
"""FLTFL_CALLBACK_DATA_."""
STATUS_PENDING, STATUS_INSUFFICIENT_RESOURCES = 0x103, 0xC000009A
_IMMEDIATE_KEY = 7


@dataclass(slots=True)
class Generated:
    """Callback data that the driver allocated, and that it freed, by address."""

    live: dict[int, None] = field(default_factory=dict)
    freed: dict[int, None] = field(default_factory=dict)


def new_generated(context: Context, instance: int, file: int, major: int = 0) -> View:
    """Return new FLT_CALLBACK_DATA of an IRP that a minifilter generates."""
    data = new_callback_data(context, instance, file)
    data["Flags"] = GENERATED_IO | IRP_OPERATION
    parameter_block(context, data)["MajorFunction"] = major
    return data


def _allocate(call: ApiCall) -> None:
    """(Instance, FileObject, [Flags,] RetNewCallbackData)."""
    instance, file = call.arguments[:2]
    out = call.arguments[3 if call.name.endswith("Ex") else 2]
    limit_irql(call, DISPATCH_LEVEL)
    if not call.succeeds:
        call.complete(STATUS_INSUFFICIENT_RESOURCES)
        return
    data = new_generated(call, instance, file)
    call.state(Generated).live[data.address] = None
    call.put_u32(out, data.address)


def _free(call: ApiCall) -> None:
    address, generated = call.arguments[0], call.state(Generated)
    limit_irql(call, DISPATCH_LEVEL)
    if address in generated.freed:
        call.note(f"{call.name}: {address:#010x} was freed before")
    if address in generated.live:
        del generated.live[address]
        generated.freed[address] = None


def _reuse(call: ApiCall) -> None:
    """FltReuseCallbackData makes it what it was after its allocation; target file and instance stay."""
    data = call.view("FLT_CALLBACK_DATA", call.arguments[0])
    limit_irql(call, DISPATCH_LEVEL)
    block = parameter_block(call, data)
    file, instance = block["TargetFileObject"], block["TargetInstance"]
    block.clear()
    block["TargetFileObject"], block["TargetInstance"] = file, instance
    data["Flags"] = GENERATED_IO | IRP_OPERATION
    data["IoStatus"] = 0


# -- sending --


def perform(call: ApiCall, data: View) -> None:
    """Let the file system carry an operation out, as the input says: its buffer and its status are filled."""
    block = parameter_block(call, data)
    is_user = call.state(CallbackData).known.get(data.address, False)
    operation = Operation(call, data, block, is_user, has_mdl=False)
    if not call.succeeds:
        data["IoStatus.Status"], data["IoStatus.Information"] = call.failure(), 0
        return
    if operation.major == READ:
        known = BUFFERS[READ]
        buffer = operation.get(known.buffer)
        if buffer:
            fill(call, buffer, min(operation.get(known.length), MAX_BUFFER))
    data["IoStatus.Status"] = 0
    data["IoStatus.Information"] = parameters.complete(operation)


def _perform_synchronous(call: ApiCall) -> None:
    limit_irql(call, PASSIVE_LEVEL)
    perform(call, call.view("FLT_CALLBACK_DATA", call.arguments[0]))


def _reissue(call: ApiCall) -> None:
    """FltReissueSynchronousIo(InitiatingInstance, CallbackData): the same operation once more."""
    data = call.view("FLT_CALLBACK_DATA", call.arguments[1])
    limit_irql(call, PASSIVE_LEVEL)
    data["Flags"] |= REISSUED_IO
    perform(call, data)


def _perform_asynchronous(call: ApiCall) -> None:
    """(CallbackData, CallbackRoutine, CallbackContext)."""
    address, routine, context = call.arguments[:3]
    data = call.view("FLT_CALLBACK_DATA", address)
    limit_irql(call, APC_LEVEL)
    perform(call, data)
    call.complete(STATUS_PENDING)
    run_completion(call, data, routine, context)


def run_completion(call: ApiCall, data: View, routine: int, context: int) -> None:
    """Call the completion of an operation that is done at once; it is a root in any case: others are done later."""
    major = parameter_block(call, data)["MajorFunction"]
    call.root(routine, f"completion of {call.name}", "flt-async-completion", major, context)
    if pick(call, (True, False), _IMMEDIATE_KEY):
        call.invoke(routine, data.address, context)


def _complete(context: Context, root: Root) -> Words:
    """(CallbackData, Context): in whatever thread the operation was completed in."""
    major, argument = root.context
    operation = make_operation(context, major)
    operation.data["Flags"] = GENERATED_IO | IRP_OPERATION
    context.state(Generated).live[operation.data.address] = None
    status = context.source.status(context.ordinal)
    operation.data["IoStatus.Status"] = status
    operation.data["IoStatus.Information"] = parameters.complete(operation) if not status else 0
    set_irql(context, pick(context, (PASSIVE_LEVEL, DISPATCH_LEVEL, APC_LEVEL), _IMMEDIATE_KEY))
    return Words((operation.data.address, argument))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltAllocateCallbackData": _allocate,
    "FltAllocateCallbackDataEx": _allocate,
    "FltFreeCallbackData": _free,
    "FltReuseCallbackData": _reuse,
    "FltPerformSynchronousIo": _perform_synchronous,
    "FltPerformAsynchronousIo": _perform_asynchronous,
    "FltReissueSynchronousIo": _reissue,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"flt-async-completion": _complete}
