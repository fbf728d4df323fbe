"""Notifications of changes in directories: requests pended until a file system reports a change.

Pages of FsRtlNotifyFullChangeDirectory, FsRtlNotifyFilterReportChange and FsRtlNotifyCleanup in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from stackemu.emu.kernel.api.irps import SL_PENDING_RETURNED, complete, current_location, is_irp
from stackemu.emu.kernel.call import ApiCall

STATUS_NOTIFY_CLEANUP, STATUS_NOTIFY_ENUM_DIR = 0x10B, 0x10C
_SYNC_SIZE = 0x40
_MAX_PENDING = 256


class Request(NamedTuple):
    """A pended IRP, the directory's context that it was made with, and the kinds of change that it waits for."""

    irp: int
    context: int
    filter: int


@dataclass(slots=True)
class Notifications:
    """Pended requests by the head of their list, which is the file system's."""

    pending: dict[int, list[Request]] = field(default_factory=dict)


def _pending(call: ApiCall) -> list[Request]:
    return call.state(Notifications).pending.setdefault(call.arguments[1], [])


def _initialize(call: ApiCall) -> None:
    call.put_u32(call.arguments[0], call.allocate(_SYNC_SIZE))


def _uninitialize(call: ApiCall) -> None:
    call.put_u32(call.arguments[0], 0)


def _wait(call: ApiCall) -> None:
    """(Sync, List, FsContext, FullDirectoryName, WatchTree, IgnoreBuffer, CompletionFilter, NotifyIrp, ...).

    Without an IRP the directory was deleted, which ends what waits for it.
    """
    context, _name, _tree, _ignores, kinds, irp, traverse, subject, keeps = call.arguments[2:11]
    call.root(traverse, f"{call.name} traverse access", "plain", context, 0, subject)
    if call.name == "FsRtlNotifyFilterChangeDirectory":
        call.root(keeps, f"{call.name} filter", "plain", context, 0)
    pending = _pending(call)
    if not irp:
        _end(call, lambda request: request.context == context, 0xC0000056)  # STATUS_DELETE_PENDING
    elif is_irp(call, irp) and len(pending) < _MAX_PENDING:
        current_location(call, call.view("IRP", irp))["Control"] |= SL_PENDING_RETURNED
        pending.append(Request(irp, context, kinds))


def _end(call: ApiCall, chosen: Callable[[Request], bool], status: int) -> None:
    pending = _pending(call)
    ended = [request for request in pending if chosen(request)]
    pending[:] = [request for request in pending if request not in ended]
    for request in ended:
        if is_irp(call, request.irp):
            irp = call.view("IRP", request.irp)
            irp["IoStatus.Status"], irp["IoStatus.Information"] = status, 0
            complete(call, irp)


def _report(call: ApiCall) -> None:
    """(Sync, List, FullTargetName, TargetNameOffset, StreamName, NormalizedParentName, FilterMatch, ...)."""
    match = call.arguments[6]
    _end(call, lambda request: bool(request.filter & match), STATUS_NOTIFY_ENUM_DIR)


def _report_short(call: ApiCall) -> None:
    """FsRtlNotifyReportChange(Sync, List, FullTargetName, FileNamePartLength, FilterMatch)."""
    match = call.arguments[4]
    _end(call, lambda request: bool(request.filter & match), STATUS_NOTIFY_ENUM_DIR)


def _clean_up(call: ApiCall) -> None:
    """(Sync, List, FsContext): a handle of the directory is closed."""
    context = call.arguments[2]
    _end(call, lambda request: request.context == context, STATUS_NOTIFY_CLEANUP)


def _clean_up_all(call: ApiCall) -> None:
    _end(call, lambda _request: True, STATUS_NOTIFY_CLEANUP)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FsRtlNotifyInitializeSync": _initialize,
    "FsRtlNotifyUninitializeSync": _uninitialize,
    "FsRtlNotifyFullChangeDirectory": _wait,
    "FsRtlNotifyFilterChangeDirectory": _wait,
    "FsRtlNotifyFullReportChange": _report,
    "FsRtlNotifyFilterReportChange": _report,
    "FsRtlNotifyReportChange": _report_short,
    "FsRtlNotifyCleanup": _clean_up,
    "FsRtlNotifyCleanupAll": _clean_up_all,
}
