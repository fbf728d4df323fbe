"""The security reference monitor: access checks, privileges, tokens and subject contexts.

Pages of SeAccessCheck, SeSinglePrivilegeCheck, SeCaptureSubjectContext and SeQueryInformationToken in the WDK;
structures: wdm.h and ntifs.h. Whether a user may do something is the input's to say; kernel mode may do everything.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.pool import allocate_pool, free_pool
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

STATUS_ACCESS_DENIED = 0xC0000022
STATUS_BUFFER_TOO_SMALL = 0xC0000023
KERNEL_MODE = 0
MAXIMUM_ALLOWED = 0x02000000
_TOKEN_SIZE = 0x400
_SUBJECT_CONTEXT = struct.Struct("<IIII")
"""ClientToken, ImpersonationLevel, PrimaryToken, ProcessAuditId."""
_SECURITY_IMPERSONATION, _TOKEN_PRIMARY = 2, 1
_CLIENT_TOKEN, _CLIENT_CONTEXT_SIZE = 12, 60
"""SECURITY_CLIENT_CONTEXT begins with the SECURITY_QUALITY_OF_SERVICE."""
_GENERIC_ALL_MAPPING = 12
"""Offset of GenericAll in a GENERIC_MAPPING."""
_LOGON_SESSION = 0x3E7
"""SYSTEM_LUID."""
_DESCRIPTOR = struct.pack("<BBHIIII", 1, 0, 0x8000, 0, 0, 0, 0)
"""An empty self-relative security descriptor."""
_USER_SID = struct.pack("<BB6sIIIII", 1, 5, b"\0\0\0\0\0\5", 21, 1111, 2222, 3333, 1001)
_ADMINISTRATORS_SID = struct.pack("<BB6sII", 1, 2, b"\0\0\0\0\0\5", 32, 544)
_TOKEN_USER, _TOKEN_GROUPS, _TOKEN_OWNER, _TOKEN_PRIMARY_GROUP, _TOKEN_STATISTICS = 1, 2, 4, 5, 10
_SE_GROUP_ENABLED = 7
_PROCESS_IMAGE = "\\Device\\HarddiskVolume1\\Windows\\System32\\notepad.exe"


@dataclass(slots=True)
class Security:
    """The token of the current process, 0 when nobody has asked for it."""

    token: int = 0


def current_token(context: Context) -> int:
    """Return the address of the current process's token, an opaque object."""
    security = context.state(Security)
    if not security.token:
        security.token = context.allocate(_TOKEN_SIZE)
    return security.token


# -- subject contexts and clients --


def _capture_subject(out_at: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        limit_irql(call, PASSIVE_LEVEL)
        token = current_token(call)
        client = pick(call, (0, token))
        data = _SUBJECT_CONTEXT.pack(client, _SECURITY_IMPERSONATION if client else 0, token, 0)
        call.write(call.arguments[out_at], data)

    return behaviour


def _release_subject(call: ApiCall) -> None:
    call.write(call.arguments[0], bytes(_SUBJECT_CONTEXT.size))


def _client(call: ApiCall) -> None:
    out = call.arguments[3]
    if not call.succeeds:
        call.fail()
        return
    call.write(out, bytes(_CLIENT_CONTEXT_SIZE))
    call.put_u32(out + _CLIENT_TOKEN, current_token(call))


def _status(call: ApiCall) -> None:
    if not call.succeeds:
        call.fail()


# -- checks --


def _access_check(call: ApiCall) -> None:
    """FALSE comes with STATUS_ACCESS_DENIED through the last pointer."""
    desired, previously, privileges, mapping, mode, granted, status = call.arguments[3:10]
    limit_irql(call, PASSIVE_LEVEL)
    if privileges:
        call.put_u32(privileges, 0)
    is_granted = mode & 0xFF == KERNEL_MODE or call.succeeds
    if is_granted and desired & MAXIMUM_ALLOWED:
        desired = desired & ~MAXIMUM_ALLOWED | (call.u32(mapping + _GENERIC_ALL_MAPPING) if mapping else 0)
    call.put_u32(granted, desired | previously if is_granted else 0)
    call.put_u32(status, 0 if is_granted else STATUS_ACCESS_DENIED)
    call.eax = int(is_granted)


def _privilege_check(call: ApiCall) -> None:
    """Both functions have the caller's mode as their third word: a LUID takes two."""
    limit_irql(call, PASSIVE_LEVEL)
    call.eax = int(call.arguments[2] & 0xFF == KERNEL_MODE or call.succeeds)


def _is_valid_descriptor(call: ApiCall) -> None:
    size, descriptor = call.arguments[:2]
    call.eax = int(size >= len(_DESCRIPTOR) and call.u8(descriptor) == 1)


# -- tokens --


def _choice(*values: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = pick(call, values)

    return behaviour


def _session(call: ApiCall) -> None:
    call.put_u32(call.arguments[1], pick(call, (1, 0)))


def _authentication(call: ApiCall) -> None:
    call.put_u64(call.arguments[1], _LOGON_SESSION)


def _sid_list(address: int, sids: tuple[bytes, ...], header: int, entry: str) -> bytes:
    """Return structures that point to SIDs behind them: a count if `header` is 4, then the entries."""
    at = address + header + struct.calcsize(entry) * len(sids)
    table, data = struct.pack("<I", len(sids)) if header else b"", b""
    for sid in sids:
        values = (at + len(data), _SE_GROUP_ENABLED)
        table += struct.pack(entry, *values[: len(entry) - 1])
        data += sid
    return table + data


_TOKEN_LISTS: Mapping[int, tuple[tuple[bytes, ...], int, str]] = {
    _TOKEN_USER: ((_USER_SID,), 0, "<II"),
    _TOKEN_GROUPS: ((_ADMINISTRATORS_SID, _USER_SID), 4, "<II"),
    _TOKEN_OWNER: ((_USER_SID,), 0, "<I"),
    _TOKEN_PRIMARY_GROUP: ((_USER_SID,), 0, "<I"),
}
_STATISTICS = struct.pack("<QQQIIIIIIQ", 0x1000, _LOGON_SESSION, 0, _TOKEN_PRIMARY, 0, 0, 0, 2, 5, 1)


def _query_token(call: ApiCall) -> None:
    """Classes that are one number are answered in place; the rest in pool that the caller frees."""
    kind, out = call.arguments[1:3]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    if kind not in _TOKEN_LISTS and kind != _TOKEN_STATISTICS:
        call.put_u32(out, pick(call, (1, 0, 2, 0x2000, 0x3000)))
        return
    address = allocate_pool(call, 0x80)
    data = _STATISTICS if kind == _TOKEN_STATISTICS else _sid_list(address, *_TOKEN_LISTS[kind])
    call.write(address, data)
    call.put_u32(out, address)


def _image_name(call: ApiCall) -> None:
    """SeLocateProcessImageName answers with a UNICODE_STRING in pool that the caller frees."""
    if not call.succeeds:
        call.fail()
        return
    text = _PROCESS_IMAGE.encode("utf-16-le")
    address = allocate_pool(call, 8 + len(text) + 2)
    call.write(address, struct.pack("<HHI", len(text), len(text) + 2, address + 8) + text + b"\0\0")
    call.put_u32(call.arguments[1], address)


# -- descriptors --


def _assign(call: ApiCall) -> None:
    if not call.succeeds:
        call.fail()
        return
    address = allocate_pool(call, len(_DESCRIPTOR))
    call.write(address, _DESCRIPTOR)
    call.put_u32(call.arguments[2], address)


def _deassign(call: ApiCall) -> None:
    slot = call.arguments[0]
    address = call.u32(slot)
    if address:
        free_pool(call, address)
    call.put_u32(slot, 0)


def _query_descriptor(call: ApiCall) -> None:
    """SeQuerySecurityDescriptorInfo copies when the buffer is large enough, and says the length in any case."""
    _information, target, length_inout, source_at = call.arguments[:4]
    if not call.succeeds:
        call.fail()
        return
    length = call.u32(length_inout)
    call.put_u32(length_inout, len(_DESCRIPTOR))
    if min(length, MAX_COPY) < len(_DESCRIPTOR):
        call.complete(STATUS_BUFFER_TOO_SMALL)
        return
    call.u32(source_at)
    call.write(target, _DESCRIPTOR)


# -- callbacks --


def _register_logon(routine_role: str) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        if not call.succeeds:
            call.fail()
            return
        call.root(call.arguments[0], routine_role, "logon-session-terminated", call.arguments[1])

    return behaviour


def _logon_terminated(context: Context, root: Root) -> Words:
    """(LogonId) or, for the Ex function, (LogonId, Context)."""
    luid = context.allocate(8)
    context.put_u64(luid, 0x12345)
    return Words((luid, root.context[0]) if root.role.endswith("Ex") else (luid,))


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


_SILENT = (
    "SeLockSubjectContext", "SeUnlockSubjectContext", "SeDeleteClientSecurity", "SeImpersonateClient",
    "SeFreePrivileges", "SeReleaseSecurityDescriptor", "SeOpenObjectAuditAlarm",
    "SeOpenObjectForDeleteAuditAlarm", "SeDeleteObjectAuditAlarm", "SeCloseObjectAuditAlarm",
    "SePrivilegeObjectAuditAlarm", "SeSetAccessStateGenericMapping", "SeDeleteAccessState",
    "SeAuditHardLinkCreation", "SeUnregisterImageVerificationCallback",
)  # fmt: skip

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_SILENT, _nothing),
    "SeCaptureSubjectContext": _capture_subject(0),
    "SeCaptureSubjectContextEx": _capture_subject(2),
    "SeReleaseSubjectContext": _release_subject,
    "SeCreateClientSecurity": _client,
    "SeCreateClientSecurityFromSubjectContext": _client,
    "SeImpersonateClientEx": _status,
    "SeAppendPrivileges": _status,
    "SeAccessCheck": _access_check,
    "SeAccessCheckFromState": _access_check,
    "SeAccessCheckFromStateEx": _access_check,
    "SeSinglePrivilegeCheck": _privilege_check,
    "SePrivilegeCheck": _privilege_check,
    "SeValidSecurityDescriptor": _is_valid_descriptor,
    "SeTokenIsAdmin": _choice(1, 0),
    "SeTokenIsRestricted": _choice(0, 1),
    "SeTokenIsWriteRestricted": _choice(0, 1),
    "SeTokenType": _choice(_TOKEN_PRIMARY, 2),
    "SeTokenImpersonationLevel": _choice(_SECURITY_IMPERSONATION, 0, 1, 3),
    "SeQuerySessionIdToken": _session,
    "SeQueryAuthenticationIdToken": _authentication,
    "SeQueryInformationToken": _query_token,
    "SeLocateProcessImageName": _image_name,
    "SeAssignSecurity": _assign,
    "SeAssignSecurityEx": _assign,
    "SeDeassignSecurity": _deassign,
    "SeQuerySecurityDescriptorInfo": _query_descriptor,
    "SeAuditingFileEvents": _choice(0, 1),
    "SeAuditingFileOrGlobalEvents": _choice(0, 1),
    "SeAuditingHardLinkEvents": _choice(0, 1),
    "SeRegisterLogonSessionTerminatedRoutine": _register_logon("logon session terminated"),
    "SeRegisterLogonSessionTerminatedRoutineEx": _register_logon("logon session terminated Ex"),
    "SeUnregisterLogonSessionTerminatedRoutine": _status,
    "SeUnregisterLogonSessionTerminatedRoutineEx": _status,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"logon-session-terminated": _logon_terminated}
