"""Kernel functions that call the driver back before they return, and how: what a bound has to add below them.

Each name has the prototypes that its callbacks may have. What runs later (DPCs, work items, timers, threads) or on a
stack of its own (KeExpandKernelStackAndCallout) is no callee of the function that asks for it. Prototypes: wdm.h,
ntifs.h, fltKernel.h and the WDF headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Callback(NamedTuple):
    """A callback's prototype: words of arguments on the stack, and whether the caller takes them off (cdecl)."""

    words: int
    kinds: frozenset[str] = frozenset()
    """The kinds of roots that such a callback is known as, once it has been registered."""
    is_cdecl: bool = False
    is_argument: bool = False
    """Whether the kernel function is given the callback's address as an argument, not before or in a structure."""

    @property
    def pops(self) -> int:
        """Return the bytes of arguments that the callback takes off the stack."""
        return 0 if self.is_cdecl else 4 * self.words

    @property
    def below(self) -> int:
        """Return how many bytes below ESP at the kernel function's entry the callback's own entry lies."""
        return 4 * self.words + 4


def _callbacks(words: str, *kinds: str) -> tuple[Callback, ...]:
    return tuple(Callback(int(count), frozenset(kinds)) for count in words.split())


_COMPLETION = _callbacks("3", "completion")
"""IO_COMPLETION_ROUTINE."""
_QUEUE = _callbacks("1 2 3", "csq")
"""IO_CSQ_*: CsqAcquireLock, CsqRemoveIrp, CsqInsertIrp, CsqPeekNextIrp, CsqCompleteCanceledIrp."""
_OBJECT = _callbacks("1", "EvtCleanupCallback", "EvtDestroyCallback")
_QUEUE_STATE = _callbacks(
    "2 3 4 5", "EvtIoQueueState", "EvtIoCanceledOnQueue", "EvtIoStop", "EvtIoResume", "EvtRequestCancel"
)
_CONTEXT = _callbacks("2 3", "flt-context-cleanup", "flt-context-free", "flt-context-allocate")
_TEARDOWN = _callbacks("2", "flt-instance-teardown")
_TABLE = _callbacks("2 3")
"""RTL_GENERIC_COMPARE_ROUTINE, RTL_AVL_COMPARE_ROUTINE, their allocation and freeing."""
_LOOKASIDE_ALLOCATE, _LOOKASIDE_FREE = _callbacks("3 4", "lookaside-allocate"), _callbacks("1 2", "lookaside-free")
_OPLOCK = _callbacks("2", "oplock-complete", "flt-oplock-complete")
_COMPARE = (Callback(2, is_cdecl=True, is_argument=True),)


def _named(callbacks: tuple[Callback, ...], names: str) -> dict[str, tuple[Callback, ...]]:
    return dict.fromkeys(names.split(), callbacks)


CALLS_BACK: Mapping[str, tuple[Callback, ...]] = {
    **_named(_COMPARE, "qsort bsearch"),
    **_named(
        _COMPLETION,
        """IofCallDriver IoCallDriver PoCallDriver IofCompleteRequest IoCompleteRequest IoForwardIrpSynchronously
        IoForwardAndCatchIrp IoSynchronousCallDriver IoCancelIrp IoStartPacket IoStartNextPacket
        IoStartNextPacketByKey IoWMIQueryAllData IoWMIQuerySingleInstance WmiCompleteRequest""",
    ),
    **_named(_QUEUE, "IoCsqInsertIrp IoCsqInsertIrpEx IoCsqRemoveIrp IoCsqRemoveNextIrp"),
    **_named((Callback(1, frozenset({"ipi"}), is_argument=True),), "KeIpiGenericCall"),
    **_named(_callbacks("1", "synchronize"), "KeSynchronizeExecution"),
    **_named((Callback(4, frozenset({"dpc"}), is_argument=True),), "KeGenericCallDpc"),
    **_named(
        (Callback(3, frozenset({"processor-change"}), is_argument=True),),
        "KeRegisterProcessorChangeCallback RtlRunOnceExecuteOnce",
    ),
    **_named(_callbacks("3", "ex-callback"), "ExNotifyCallback"),
    **_named(
        _LOOKASIDE_ALLOCATE,
        "ExAllocateFromLookasideListEx ExAllocateFromNPagedLookasideList ExAllocateFromPagedLookasideList",
    ),
    **_named(
        _LOOKASIDE_FREE,
        """ExFreeToLookasideListEx ExFreeToNPagedLookasideList ExFreeToPagedLookasideList ExDeleteLookasideListEx
        ExDeleteNPagedLookasideList ExDeletePagedLookasideList ExFlushLookasideListEx""",
    ),
    **_named(
        _TABLE,
        """RtlInsertElementGenericTable RtlInsertElementGenericTableAvl RtlInsertElementGenericTableFull
        RtlInsertElementGenericTableFullAvl RtlDeleteElementGenericTable RtlDeleteElementGenericTableAvl
        RtlDeleteElementGenericTableAvlEx RtlLookupElementGenericTable RtlLookupElementGenericTableAvl
        RtlLookupElementGenericTableFull RtlLookupElementGenericTableFullAvl
        RtlLookupFirstMatchingElementGenericTableAvl RtlEnumerateGenericTableLikeADirectory""",
    ),
    **_named(_callbacks("6", "plain"), "RtlQueryRegistryValues RtlQueryRegistryValuesEx"),
    **_named(
        _CONTEXT,
        """FltReleaseContext FltReleaseContexts FltReleaseContextsEx FltDeleteContext FltDeleteFileContext
        FltDeleteInstanceContext FltDeleteStreamContext FltDeleteStreamHandleContext FltDeleteTransactionContext
        FltDeleteVolumeContext FltSetFileContext FltSetInstanceContext FltSetStreamContext
        FltSetStreamHandleContext FltSetTransactionContext FltSetVolumeContext
        FltCloseSectionForDataScan
        FltAllocateContext FltAllocateContextEx""",
    ),
    **_named((*_CONTEXT, *_TEARDOWN), "FltUnregisterFilter FltDetachVolume"),
    **_named(
        (*_CONTEXT, *_callbacks("4", "flt-instance-setup")),
        "FltAttachVolume FltAttachVolumeAtAltitude FltStartFiltering",
    ),
    **_named(_callbacks("4", "flt-safe-completion"), "FltDoCompletionProcessingWhenSafe"),
    **_named(
        _callbacks("2", "flt-async-completion"),
        "FltPerformAsynchronousIo FltReadFile FltReadFileEx FltWriteFile FltWriteFileEx FltFastIoMdlRead",
    ),
    **_named(
        _callbacks("1 2 3 4", "flt-cbdq"),
        "FltCbdqInsertIo FltCbdqRemoveIo FltCbdqRemoveNextIo FltCbdqEnable FltCbdqDisable",
    ),
    **_named(
        _OPLOCK,
        """FsRtlCheckOplock FsRtlCheckOplockEx FsRtlCheckOplockEx2 FsRtlOplockBreakH FsRtlOplockBreakH2
        FsRtlOplockBreakToNone FsRtlOplockBreakToNoneEx FsRtlOplockFsctrl FsRtlOplockFsctrlEx FsRtlUpperOplockFsctrl
        FltCheckOplock FltCheckOplockEx FltOplockBreakH FltOplockBreakToNone FltOplockBreakToNoneEx FltOplockFsctrl
        FltOplockFsctrlEx""",
    ),
    **_named(
        _callbacks("1 2 3", "plain"),
        """FsRtlFastUnlockAll FsRtlFastUnlockAllByKey FsRtlFastUnlockSingle FsRtlProcessFileLock FltProcessFileLock
        FsRtlFreeExtraCreateParameter FsRtlFreeExtraCreateParameterList FltFreeExtraCreateParameter
        FltFreeExtraCreateParameterList FsRtlTeardownPerFileContexts FsRtlTeardownPerStreamContexts
        FsRtlNotifyCleanup FsRtlNotifyCleanupAll FsRtlNotifyFilterChangeDirectory FsRtlNotifyFilterReportChange
        FsRtlNotifyFullChangeDirectory FsRtlNotifyFullReportChange FsRtlNotifyReportChange
        FltNotifyFilterChangeDirectory""",
    ),
    **_named(_callbacks("7", "plain"), "CcGetDirtyPages"),
    **_named(
        _OBJECT,
        """WdfObjectDelete WdfObjectDereferenceActual WdfRequestComplete WdfRequestCompleteWithInformation
        WdfRequestCompleteWithPriorityBoost""",
    ),
    **_named(
        _QUEUE_STATE,
        """WdfIoQueueDrain WdfIoQueueDrainSynchronously WdfIoQueuePurge WdfIoQueuePurgeSynchronously WdfIoQueueStart
        WdfIoQueueStop WdfIoQueueStopAndPurge WdfIoQueueStopAndPurgeSynchronously WdfIoQueueStopSynchronously
        WdfRequestForwardToIoQueue""",
    ),
    **_named(_callbacks("4", "EvtRequestCompletionRoutine"), "WdfRequestSend"),
    **_named(
        _callbacks("2", "EvtInterruptDisable", "EvtInterruptEnable", "EvtInterruptSynchronize"),
        "WdfInterruptDisable WdfInterruptEnable WdfInterruptSynchronize",
    ),
    **_named(_callbacks("5", "EvtProgramDma"), "WdfDmaTransactionExecute"),
}
"""By the exported name, or the name in the framework's function table."""

UNWINDERS = frozenset(
    {"_except_handler2", "_except_handler3", "_except_handler4", "_global_unwind2", "_local_unwind2",
     "_local_unwind4", "RtlUnwind"}
)  # fmt: skip
"""What runs filters and `__finally` blocks: functions with exception handlers have no closed bound anyway."""
