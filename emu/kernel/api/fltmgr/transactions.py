"""Transactions, sections for data scans, and requests of which a minifilter sees the status only.

Pages of FltEnlistInTransaction, FltCommitComplete, FltCreateSectionForDataScan and FltVetoBypassIo in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.fltmgr.contexts import SECTION, Contexts, release, tie, untie
from stackemu.emu.kernel.api.fltmgr.objects import new_object
from stackemu.emu.kernel.api.irql import APC_LEVEL, limit_irql
from stackemu.emu.kernel.api.open_files import file_size
from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.kernel.handles import open_handle


def _status(call: ApiCall) -> None:
    """How it ended is all that the driver sees."""
    limit_irql(call, APC_LEVEL)
    if not call.succeeds:
        call.fail()


def _flag_out(*places: int) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function that answers yes or no through BOOLEANs."""

    def behaviour(call: ApiCall) -> None:
        if not call.succeeds:
            call.fail()
            return
        for key, place in enumerate(places):
            if call.arguments[place]:
                call.put_u8(call.arguments[place], pick(call, (1, 0), key))

    return behaviour


def _zeroing_offset(call: ApiCall) -> None:
    """FltGetFsZeroingOffset(Data, ZeroingOffset)."""
    if call.succeeds:
        call.put_u32(call.arguments[1], pick(call, (0, 0x1000)))
    else:
        call.fail()


# -- sections --


def _create_section(call: ApiCall) -> None:
    """(Instance, FileObject, SectionContext, ..., SectionHandle, SectionObject, SectionFileSize).

    The context is tied to the section's file; the object comes with a reference; the size is optional.
    """
    instance, file, context = call.arguments[:3]
    handle_out, object_out, size_out = call.arguments[9:12]
    limit_irql(call, APC_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    tie(call, (SECTION, instance, file), context)
    section = new_object(call)
    call.put_u32(handle_out, open_handle(call, section))
    call.put_u32(object_out, section)
    if size_out:
        call.put_u64(size_out, file_size(call, file))


_STATUS_ONLY = (
    "FltAddOpenReparseEntry",
    "FltCommitComplete",
    "FltCommitFinalizeComplete",
    "FltCopyOpenReparseList",
    "FltEnlistInTransaction",
    "FltPrePrepareComplete",
    "FltPrepareComplete",
    "FltPropagateIrpExtension",
    "FltRegisterForDataScan",
    "FltRollbackComplete",
    "FltRollbackEnlistment",
    "FltSetFsZeroingOffset",
    "FltSetFsZeroingOffsetRequired",
    "FltVetoBypassIo",
    "FltpTraceRedirectedFileIo",
)
"""Functions that change what the driver cannot see here, and say how that ended."""


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


def _close_section(call: ApiCall) -> None:
    """FltCloseSectionForDataScan(SectionContext) breaks the context's tie, whose reference goes with it."""
    limit_irql(call, APC_LEVEL)
    live = call.state(Contexts).live.get(call.arguments[0])
    if live is not None and live.key is not None:
        release(call, untie(call, live.key))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_STATUS_ONLY, _status),
    "FltFreeOpenReparseList": _nothing,
    "FltRemoveOpenReparseEntry": _nothing,
    "FltCreateSectionForDataScan": _create_section,
    "FltCloseSectionForDataScan": _close_section,
    "FltGetFsZeroingOffset": _zeroing_offset,
    "FltAdjustDeviceStackSizeForIoRedirection": _flag_out(2),
    "FltIsIoRedirectionAllowed": _flag_out(2),
    "FltIsIoRedirectionAllowedForOperation": _flag_out(2, 3),
}
