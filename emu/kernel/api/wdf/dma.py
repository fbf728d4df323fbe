"""DMA: enablers, transactions with their program callback, common buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.mdl import system_mdl
from stackemu.emu.kernel.api.wdf.handles import WdfObject, create, find
from stackemu.emu.kernel.api.wdf.requests import MAX_LENGTH, REQUEST, length
from stackemu.emu.kernel.api.wdf.shapes import (
    Behaviour,
    choose,
    creator,
    getter,
    nothing,
    parent_object,
    refers_to,
    setter,
    status_only,
)
from stackemu.emu.kernel.api.wdf.structures import DMA_ENABLER_CONFIG, config
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

ENABLER, TRANSACTION, COMMON_BUFFER = "WDFDMAENABLER", "WDFDMATRANSACTION", "WDFCOMMONBUFFER"
_PAGE = 0x1000
_PHYSICAL_MASK = 0x1FFFFFFF
_STATUS_MORE_PROCESSING_REQUIRED = 0xC0000016
_MAX_ELEMENTS = 4
"""Elements of a scatter/gather list made up here."""
_ADAPTER_SIZE = 0x100


def _enabler_create(call: ApiCall) -> None:
    device, config_address, attributes, out = call.arguments[1:5]
    given = config(call, config_address, DMA_ENABLER_CONFIG)
    if not call.succeeds:
        call.fail()
        return
    made = create(call, ENABLER, attributes, device)
    made.values["maximum length"] = given["MaximumLength"]
    for name, address in given.callbacks():
        call.root(address, name, name, made.handle)
    call.put_optional(out, made.handle)


def _maximum_elements(call: ApiCall) -> None:
    enabler = find(call, call.arguments[1], ENABLER)
    call.eax = enabler.get("maximum elements") or 0xFFFFFFFF  # WDF_DMA_ENABLER_UNLIMITED_FRAGMENTS


def _adapter(call: ApiCall) -> None:
    enabler = find(call, call.arguments[1], ENABLER)
    if not enabler.get("adapter"):
        enabler.values["adapter"] = call.allocate(_ADAPTER_SIZE, zeroed=False)
    call.eax = enabler.get("adapter")


def _transaction_initialize(program: int, direction: int, size: int) -> Behaviour:
    """Return a behaviour for the functions that give a transaction its callback; indexes of their arguments."""

    def behave(call: ApiCall) -> None:
        if not call.succeeds:
            call.fail()
            return
        transaction = find(call, call.arguments[1], TRANSACTION)
        values = transaction.values
        values["program"] = call.arguments[program]
        values["direction"] = call.arguments[direction]
        if size:
            values["length"] = call.arguments[size]
        else:
            values["request"] = call.arguments[2]
            values["length"] = length(call, find(call, call.arguments[2], REQUEST), "output") or 1
        call.root(call.arguments[program], "EvtProgramDma", "EvtProgramDma", transaction.handle, values["direction"])

    return behave


def _transaction_execute(call: ApiCall) -> None:
    """WdfDmaTransactionExecute programs the first transfer through the driver's callback."""
    if not call.succeeds:
        call.fail()
        return
    transaction = find(call, call.arguments[1], TRANSACTION)
    if transaction.get("program"):
        words = _program_arguments(call, transaction, call.arguments[2])
        call.invoke(transaction.get("program"), *words)


def _program_arguments(context: Context, transaction: WdfObject, context_word: int) -> tuple[int, ...]:
    """Return (Transaction, Device, Context, Direction, SgList)."""
    size = min(transaction.get("length") or choose(context, 0, 1, MAX_LENGTH), MAX_COPY)
    elements = min(-(-size // _PAGE), _MAX_ELEMENTS)
    # SCATTER_GATHER_LIST (wdm.h): count, reserved, then elements of address (8), length, reserved.
    table = context.allocate(8 + 16 * elements)
    context.put_u32(table, elements)
    for index in range(elements):
        at = table + 8 + 16 * index
        context.put_u64(at, 0x10000000 + _PAGE * index)
        context.put_u32(at + 8, min(_PAGE, size - _PAGE * index))
    transaction.values["current length"] = size
    return (transaction.handle, _device(context, transaction), context_word, transaction.get("direction"), table)


def _dma_completed(status_index: int) -> Behaviour:
    """TRUE when the transaction is over; else the status says that another transfer has been programmed."""

    def behave(call: ApiCall) -> None:
        call.eax = int(call.succeeds)
        call.put_u32(call.arguments[status_index], 0 if call.succeeds else _STATUS_MORE_PROCESSING_REQUIRED)

    return behave


def _dma_length(call: ApiCall) -> None:
    transaction = find(call, call.arguments[1], TRANSACTION)
    call.eax = transaction.get("current length") or choose(call, 0, 0, MAX_LENGTH)


def _common_buffer(attributes: int, out: int) -> Behaviour:
    def behave(call: ApiCall) -> None:
        enabler, size = call.arguments[1:3]
        if not call.succeeds:
            call.fail()
            return
        made = create(call, COMMON_BUFFER, call.arguments[attributes], enabler)
        made.values["size"] = size
        made.values["buffer"] = call.allocate(min(size, MAX_COPY))
        call.put_optional(call.arguments[out], made.handle)

    return behave


def _common_address(call: ApiCall) -> None:
    made = find(call, call.arguments[1], COMMON_BUFFER)
    if made.is_foreign and not made.get("buffer"):
        made.values["size"] = choose(call, 0, 1, MAX_LENGTH)
        made.values["buffer"] = call.allocate(made.get("size"), zeroed=False)
    call.eax = made.get("buffer")


def _common_physical(call: ApiCall) -> None:
    _common_address(call)
    call.eax &= _PHYSICAL_MASK
    call.edx = 0


def _enabler_role(context: Context, root: Root) -> Words:
    return Words((find(context, root.context[0], ENABLER).handle,))


def _program_role(context: Context, root: Root) -> Words:
    transaction = find(context, root.context[0], TRANSACTION)
    transaction.values["direction"] = root.context[1]
    return Words(_program_arguments(context, transaction, context.draw(1)))


def _device(context: Context, transaction: WdfObject) -> int:
    enabler = parent_object(context, transaction, ENABLER)
    return parent_object(context, enabler, "WDFDEVICE").handle


def _get_device(call: ApiCall) -> None:
    call.eax = _device(call, find(call, call.arguments[1], TRANSACTION))


def _callback(name: str) -> Behaviour:
    """Return a behaviour that makes a root of argument 2 with the context that follows it."""

    def behave(call: ApiCall) -> None:
        call.root(call.arguments[2], name, name, call.arguments[1], call.arguments[3])

    return behave


def _allocate_resources(call: ApiCall) -> None:
    """The callback runs when the map registers have been reserved."""
    transaction, _, _, callback, word = call.arguments[1:6]
    if call.succeeds:
        call.root(callback, "EvtReserveDma", "EvtReserveDma", transaction, word)
    else:
        call.fail()


def _transfer_info(call: ApiCall) -> None:
    call.put_optional(call.arguments[2], choose(call, 0, 1, 16))
    call.put_optional(call.arguments[3], choose(call, 1, 1, _MAX_ELEMENTS))


def _cancel(call: ApiCall) -> None:
    call.eax = int(call.succeeds)


def _reserve_role(context: Context, root: Root) -> Words:
    return Words((find(context, root.context[0], TRANSACTION).handle, root.context[1]))


def _configure_role(context: Context, root: Root) -> Words:
    """(Transaction, Device, Context, Mdl, Offset, Length)."""
    transaction = find(context, root.context[0], TRANSACTION)
    size = choose(context, 0, 1, MAX_LENGTH)
    mdl = system_mdl(context, context.allocate(size, zeroed=False), size)
    return Words((transaction.handle, _device(context, transaction), root.context[1], mdl.address, 0, size))


def _transferred_role(context: Context, root: Root) -> Words:
    """(Transaction, Device, Context, Direction, DmaStatus): DmaComplete, DmaAborted, DmaError or DmaCancelled."""
    transaction = find(context, root.context[0], TRANSACTION)
    direction, status = choose(context, 0, 0, 1), choose(context, 1, 0, 3)
    return Words((transaction.handle, _device(context, transaction), root.context[1], direction, status))


_NOTHING = (
    "WdfDmaTransactionSetMaximumLength",
    "WdfDmaTransactionSetImmediateExecution",
    "WdfDmaTransactionSetDeviceAddressOffset",
    "WdfDmaTransactionFreeResources",
    "WdfDmaTransactionStopSystemTransfer",
    "WdfDmaTransactionSetSingleTransferRequirement",
)

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_NOTHING, nothing),
    "WdfDmaEnablerCreate": _enabler_create,
    "WdfDmaEnablerConfigureSystemProfile": status_only,
    "WdfDmaEnablerGetMaximumLength": getter(ENABLER, "maximum length"),
    "WdfDmaEnablerGetFragmentLength": getter(ENABLER, "maximum length"),
    "WdfDmaEnablerGetMaximumScatterGatherElements": _maximum_elements,
    "WdfDmaEnablerSetMaximumScatterGatherElements": setter(ENABLER, "maximum elements"),
    "WdfDmaEnablerWdmGetDmaAdapter": _adapter,
    "WdfDmaTransactionCreate": creator(TRANSACTION, attributes=2, result=3, parent=1),
    "WdfDmaTransactionInitialize": _transaction_initialize(2, 3, 6),
    "WdfDmaTransactionInitializeUsingOffset": _transaction_initialize(2, 3, 6),
    "WdfDmaTransactionInitializeUsingRequest": _transaction_initialize(3, 4, 0),
    "WdfDmaTransactionExecute": _transaction_execute,
    "WdfDmaTransactionRelease": status_only,
    "WdfDmaTransactionDmaCompleted": _dma_completed(2),
    "WdfDmaTransactionDmaCompletedWithLength": _dma_completed(3),
    "WdfDmaTransactionDmaCompletedFinal": _dma_completed(3),
    "WdfDmaTransactionGetBytesTransferred": _dma_length,
    "WdfDmaTransactionGetCurrentDmaTransferLength": _dma_length,
    "WdfDmaTransactionGetRequest": refers_to(TRANSACTION, "request", REQUEST),
    "WdfDmaTransactionGetDevice": _get_device,
    "WdfCommonBufferCreate": _common_buffer(3, 4),
    "WdfCommonBufferCreateWithConfig": _common_buffer(4, 5),
    "WdfCommonBufferGetAlignedVirtualAddress": _common_address,
    "WdfCommonBufferGetAlignedLogicalAddress": _common_physical,
    "WdfCommonBufferGetLength": getter(COMMON_BUFFER, "size"),
    "WdfDmaTransactionSetChannelConfigurationCallback": _callback("EvtDmaTransactionConfigureDmaChannel"),
    "WdfDmaTransactionSetTransferCompleteCallback": _callback("EvtDmaTransactionDmaTransferComplete"),
    "WdfDmaTransactionAllocateResources": _allocate_resources,
    "WdfDmaTransactionGetTransferInfo": _transfer_info,
    "WdfDmaTransactionCancel": _cancel,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "EvtProgramDma": _program_role,
    **dict.fromkeys(
        (
            "EvtDmaEnablerFill",
            "EvtDmaEnablerFlush",
            "EvtDmaEnablerDisable",
            "EvtDmaEnablerEnable",
            "EvtDmaEnablerSelfManagedIoStart",
            "EvtDmaEnablerSelfManagedIoStop",
        ),
        _enabler_role,
    ),
    "EvtReserveDma": _reserve_role,
    "EvtDmaTransactionConfigureDmaChannel": _configure_role,
    "EvtDmaTransactionDmaTransferComplete": _transferred_role,
}
