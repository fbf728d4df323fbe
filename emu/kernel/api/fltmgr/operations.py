"""Callbacks before and after operations: FLT_CALLBACK_DATA as the Filter Manager hands it to a minifilter.

"Writing Preoperation Callback Routines", "Writing Postoperation Callback Routines" and the page of FLT_CALLBACK_DATA
in the WDK. An operation comes as an IRP, as fast I/O or as a call of the memory manager (FsFilter).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.fltmgr import parameters
from stackemu.emu.kernel.api.fltmgr.contexts import referenced_context
from stackemu.emu.kernel.api.fltmgr.objects import instance_object, related_objects
from stackemu.emu.kernel.api.fltmgr.parameters import Operation
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL, set_irql
from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.objects import file_object
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.processor import CURRENT_THREAD

IRP_OPERATION, FAST_IO_OPERATION, FS_FILTER_OPERATION, SYSTEM_BUFFER = 1, 2, 4, 8
DRAINING_IO, POST_OPERATION = 0x40000, 0x80000
"""Flags of FLT_CALLBACK_DATA (FLTFL_CALLBACK_DATA_)."""
POST_OPERATION_DRAINING = 1
STATUS_FLT_POST_OPERATION_CLEANUP = 0xC01C0009
_KERNEL_MODE, _USER_MODE = 0, 1
_IRP_PAGING_IO, _IRP_NOCACHE, _IRP_SYNCHRONOUS_PAGING_IO = 0x2, 0x1, 0x40
_SKIP_PAGING_IO, _SKIP_CACHED_IO = 1, 2
"""FLTFL_OPERATION_REGISTRATION_SKIP_: operations that a minifilter does not want to see."""
_WAY_KEY, _FLAGS_KEY, _CONTEXT_KEY = 5, 6, 7
"""Which of a context's drawn numbers choose what; those below belong to the parameters."""
_CALLBACK_EXTRA = 0x80
"""Room behind the public part, where the Filter Manager keeps what is its own."""

_WAYS = (
    (IRP_OPERATION, _USER_MODE, True, False),
    (IRP_OPERATION, _USER_MODE, True, True),
    (IRP_OPERATION | SYSTEM_BUFFER, _USER_MODE, False, False),
    (IRP_OPERATION, _KERNEL_MODE, False, True),
    (FAST_IO_OPERATION, _USER_MODE, True, False),
    (IRP_OPERATION, _KERNEL_MODE, False, False),
)
"""How operations come: flags, requestor's mode, whether buffers lie in user mode, whether they have MDLs."""
_IRP_WAYS = tuple(way for way in _WAYS if not way[0] & FAST_IO_OPERATION)
_FS_FILTER_WAYS = ((FS_FILTER_OPERATION, _KERNEL_MODE, False, False),)
_FAST_IO_WAYS = ((FAST_IO_OPERATION, _USER_MODE, True, False),)
_ALSO_FAST_IO = frozenset({3, 4, 5, 14, 17})
_FAST_IO_ONLY = frozenset(range(0xEE, 0xF4))
_FIRST_EXTRA = 0xEC
_FROM_KERNEL = frozenset({15, 16, 22, 23, 24, 27})
_WITHOUT_FILE = frozenset({16, 22, 23, 24, 27, 0xED, 0xEC})
_FINISHES_ANYWHERE = frozenset({3, 4, 12, 13, 14, 17})
"""Major functions whose IRPs may be completed at DISPATCH_LEVEL, in whatever thread."""
_IRP_FLAGS = {0: (0x884, 0x886), 2: (0x404,), 18: (0x404,)}
"""IRP_CREATE_OPERATION, IRP_CLOSE_OPERATION with IRP_SYNCHRONOUS_API; IRP_DEFER_IO_COMPLETION."""
_TRANSFER_FLAGS = (
    0x900,
    0x900 | _IRP_NOCACHE,
    0x100 | _IRP_NOCACHE | _IRP_PAGING_IO,
    0x100 | _IRP_NOCACHE | _IRP_PAGING_IO | _IRP_SYNCHRONOUS_PAGING_IO,
)
_WRITE_INSTEAD_OF_READ = 0x300
"""IRP_READ_OPERATION ^ IRP_WRITE_OPERATION."""
_OPERATION_FLAGS = {0: (0, 4, 1, 2, 0x80), 12: (0, 1, 2, 3), 17: (0, 1, 2, 3), 13: (0,), 25: (0, 2)}
"""SL_OPEN_TARGET_DIRECTORY, SL_FORCE_ACCESS_CHECK, SL_OPEN_PAGING_FILE; SL_RESTART_SCAN, SL_RETURN_SINGLE_ENTRY."""


@dataclass(slots=True)
class CallbackData:
    """Operations under way by the address of their FLT_CALLBACK_DATA, with whether their buffers lie in user mode."""

    known: dict[int, bool] = field(default_factory=dict)


def _ways(major: int) -> tuple[tuple[int, int, bool, bool], ...]:
    if major in _FAST_IO_ONLY:
        return _FAST_IO_WAYS
    if major >= _FIRST_EXTRA:
        return _FS_FILTER_WAYS
    if major in _FROM_KERNEL:
        return _IRP_WAYS[-1:]
    return _WAYS if major in _ALSO_FAST_IO else _IRP_WAYS


def new_callback_data(context: Context, instance: int, file: int) -> View:
    """Return FLT_CALLBACK_DATA with a parameter block, without an operation yet."""
    data = context.new("FLT_CALLBACK_DATA", _CALLBACK_EXTRA)
    block = context.new("FLT_IO_PARAMETER_BLOCK")
    data["Thread"] = CURRENT_THREAD
    data["Iopb"] = block.address
    block["TargetFileObject"], block["TargetInstance"] = file, instance
    context.state(CallbackData).known[data.address] = False
    return data


def parameter_block(context: Context, data: View) -> View:
    """Return the FLT_IO_PARAMETER_BLOCK of an operation."""
    return context.view("FLT_IO_PARAMETER_BLOCK", data["Iopb"])


def make_operation(context: Context, major: int, skipped: int = 0) -> Operation:
    """Return an operation on a file, with parameters and buffers of its major function.

    `skipped` are the flags of the driver's FLT_OPERATION_REGISTRATION.
    """
    flags, mode, is_user, has_mdl = pick(context, _ways(major), _WAY_KEY)
    file = 0 if major in _WITHOUT_FILE else file_object(context).address
    data = new_callback_data(context, instance_object(context), file)
    block = parameter_block(context, data)
    data["Flags"], data["RequestorMode"] = flags, mode
    context.state(CallbackData).known[data.address] = is_user
    block["MajorFunction"] = major
    block["IrpFlags"] = _irp_flags(context, major, skipped) if flags & IRP_OPERATION else 0
    block["OperationFlags"] = pick(context, _OPERATION_FLAGS.get(major, (0,)), _FLAGS_KEY)
    operation = Operation(context, data, block, is_user, has_mdl)
    parameters.choose(operation)
    _apply_overrides(context, data)
    _apply_overrides(context, block)
    parameters.prepare(operation)
    return operation


def _irp_flags(context: Context, major: int, skipped: int) -> int:
    if major not in (parameters.READ, parameters.WRITE):
        return pick(context, _IRP_FLAGS.get(major, (0, 4)), _FLAGS_KEY)
    known = [
        flags
        for flags in _TRANSFER_FLAGS
        if not (skipped & _SKIP_PAGING_IO and flags & _IRP_PAGING_IO)
        and not (skipped & _SKIP_CACHED_IO and not flags & _IRP_NOCACHE)
    ]
    flags = pick(context, known or _TRANSFER_FLAGS, _FLAGS_KEY)
    return flags ^ _WRITE_INSTEAD_OF_READ if major == parameters.WRITE else flags


def _apply_overrides(context: Context, view: View) -> None:
    """Give a structure the values that the input has for it, before buffers are made to fit them."""
    end = view.address + view.layout.size
    for address, data in context.source.memory_overrides:
        if view.address <= address and address + len(data) <= end:
            context.write(address, data)


def operation_and_objects(context: Context, major: int, skipped: int = 0) -> tuple[Operation, View]:
    """Return an operation with the FLT_RELATED_OBJECTS that go with it."""
    operation = make_operation(context, major, skipped)
    related = related_objects(context, operation.block["TargetInstance"])
    related["FileObject"] = operation.block["TargetFileObject"]
    return operation, related


def finish(context: Context, operation: Operation) -> None:
    """Let the file system have carried out an operation, as the input says."""
    operation.data["Flags"] |= POST_OPERATION
    status = context.source.status(context.ordinal)
    operation.data["IoStatus.Status"] = status
    operation.data["IoStatus.Information"] = parameters.complete(operation) if not status else 0


def _before(context: Context, root: Root) -> Words:
    """(Data, FltObjects, CompletionContext)."""
    major, skipped = root.context
    operation, related = operation_and_objects(context, major, skipped)
    set_irql(context, _level_before(operation))
    return Words((operation.data.address, related.address, context.allocate(4)))


def _level_before(operation: Operation) -> int:
    """Paging I/O comes at APC_LEVEL, everything else at PASSIVE_LEVEL."""
    return APC_LEVEL if operation.block["IrpFlags"] & _IRP_PAGING_IO else PASSIVE_LEVEL


def _after(context: Context, root: Root) -> Words:
    """(Data, FltObjects, CompletionContext, Flags): what the callback before left as context is the driver's own."""
    major, skipped = root.context
    operation, related = operation_and_objects(context, major, skipped)
    finish(context, operation)
    flags = pick(context, (0, 0, 0, POST_OPERATION_DRAINING), _CONTEXT_KEY)
    if flags:
        operation.data["IoStatus.Status"] = STATUS_FLT_POST_OPERATION_CLEANUP
        operation.data["IoStatus.Information"] = 0
        operation.data["Flags"] |= DRAINING_IO
    if major in _FINISHES_ANYWHERE and operation.data["Flags"] & IRP_OPERATION:
        set_irql(context, pick(context, (PASSIVE_LEVEL, DISPATCH_LEVEL, APC_LEVEL), _CONTEXT_KEY))
    return Words((operation.data.address, related.address, _completion_context(context), flags))


def _completion_context(context: Context) -> int:
    """Nothing, a referenced context of the driver's, or memory of its own: what drivers pass on."""
    made: tuple[Callable[[], int], ...] = (
        lambda: referenced_context(context),
        lambda: 0,
        lambda: context.allocate(0x100, zeroed=False),
    )
    return pick(context, made, _FLAGS_KEY)()


ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "flt-pre-operation": _before,
    "flt-post-operation": _after,
}
