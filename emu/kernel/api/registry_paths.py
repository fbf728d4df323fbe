"""Registry paths relative to well-known keys, and the functions that take them for one key or value.

Pages of RtlWriteRegistryValue, RtlDeleteRegistryValue, RtlCheckRegistryKey and RtlCreateRegistryKey in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.registry import (
    STATUS_OBJECT_NAME_NOT_FOUND,
    Key,
    created_key,
    existing_key,
    open_key,
)
from stackemu.emu.kernel.api.registry_contents import (
    delete_value,
    find_value,
    given_data,
    wide,
    write_value,
)
from stackemu.emu.kernel.api.registry_values import STATUS_BUFFER_OVERFLOW
from stackemu.emu.kernel.api.strings import allocate_text
from stackemu.emu.kernel.call import ApiCall

_HANDLE, _OPTIONAL = 0x40000000, 0x80000000
"""RTL_REGISTRY_HANDLE, RTL_REGISTRY_OPTIONAL."""
_BASES = (
    "",
    "\\Registry\\Machine\\System\\CurrentControlSet\\Services",
    "\\Registry\\Machine\\System\\CurrentControlSet\\Control",
    "\\Registry\\Machine\\Software\\Microsoft\\Windows NT\\CurrentVersion",
    "\\Registry\\Machine\\Hardware\\DeviceMap",
    "\\Registry\\User\\.Default",
)
"""What paths are relative to, RTL_REGISTRY_ABSOLUTE to RTL_REGISTRY_USER."""
_USER_PATH = "\\REGISTRY\\USER\\S-1-5-18"


# -- paths --


def _path(call: ApiCall) -> str | None:
    """Return the path that the first two arguments name; None when they name no key but a handle, or nothing."""
    relative_to, path_at = call.arguments[0] & ~_OPTIONAL, call.arguments[1]
    if relative_to & _HANDLE or relative_to >= len(_BASES):
        return None
    text = call.terminated(path_at, 2).decode("utf-16-le", "replace") if path_at or not relative_to else ""
    return f"{_BASES[relative_to]}\\{text}"


def named_key(call: ApiCall, *, creates: bool = False) -> Key | None:
    """Return the key that the first two arguments name; None when the call is complete."""
    limit_irql(call, PASSIVE_LEVEL)
    if call.arguments[0] & _HANDLE:
        return open_key(call, call.arguments[1])
    path = _path(call)
    if path is None:
        call.complete(STATUS_INVALID_PARAMETER)
        return None
    return created_key(call, path)[0] if creates else existing_key(call, path)


def terminated_name(call: ApiCall, address: int) -> str:
    """Return a terminated name; a null pointer names the default value."""
    return call.terminated(address, 2).decode("utf-16-le", "replace") if address else ""


# -- the driver's calls --


def _on_key(work: Callable[[ApiCall, Key], None], *, creates: bool = False) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function that begins with (RelativeTo, Path)."""

    def behaviour(call: ApiCall) -> None:
        _path(call)  # a path that cannot be read is an access violation, whatever the input says
        if not call.succeeds:
            limit_irql(call, PASSIVE_LEVEL)
            call.fail()
            return
        key = named_key(call, creates=creates)
        if key is not None:
            work(call, key)

    return behaviour


def _write(call: ApiCall, key: Key) -> None:
    """(RelativeTo, Path, ValueName, ValueType, ValueData, ValueLength)."""
    name_at, kind, address, size = call.arguments[2:6]
    write_value(call, key, terminated_name(call, name_at), kind, given_data(call, address, size))


def _delete(call: ApiCall, key: Key) -> None:
    """(RelativeTo, Path, ValueName)."""
    delete_value(call, key, terminated_name(call, call.arguments[2]))


def _nothing(_call: ApiCall, _key: Key) -> None:
    """Nothing but what became of the key."""


def _query_with_fallback(call: ApiCall) -> None:
    """(PrimaryHandle, FallbackHandle, ValueName, ValueLength, ValueType, ValueData, ResultLength)."""
    primary, fallback, name_at, length, kind_out, buffer, needed = call.arguments[:7]
    name = call.unicode(name_at)
    if not call.succeeds:
        call.complete(STATUS_OBJECT_NAME_NOT_FOUND)
        return
    value = None
    for handle in (primary, fallback):
        key = open_key(call, handle) if handle and value is None else None
        value = find_value(call, key, name, length or None) if key is not None else value
    if value is None:
        call.complete(STATUS_OBJECT_NAME_NOT_FOUND)
        return
    call.complete(0)
    call.put_optional(kind_out, value.kind)
    call.put_optional(needed, len(value.data))
    if length < len(value.data):
        call.complete(STATUS_BUFFER_OVERFLOW)
    elif value.data:
        call.write(buffer, value.data)


def _user_path(call: ApiCall) -> None:
    """RtlFormatCurrentUserKeyPath(CurrentUserKeyPath): the driver is to free the string."""
    limit_irql(call, PASSIVE_LEVEL)
    if call.succeeds:
        allocate_text(call, call.arguments[0], wide(_USER_PATH), 2)
    else:
        call.fail()


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlQueryRegistryValueWithFallback": _query_with_fallback,
    "RtlWriteRegistryValue": _on_key(_write, creates=True),
    "RtlDeleteRegistryValue": _on_key(_delete),
    "RtlCreateRegistryKey": _on_key(_nothing, creates=True),
    "RtlCheckRegistryKey": _on_key(_nothing),
    "RtlFormatCurrentUserKeyPath": _user_path,
}
