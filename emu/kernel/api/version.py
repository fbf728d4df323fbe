"""Which Windows this is: 6.1.7601, Windows 7 with Service Pack 1, a workstation, on x86.

Rules of the pages of RtlGetVersion, PsGetVersion, RtlVerifyVersionInfo and VerSetConditionMask in the WDK.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stackemu.emu.kernel.api.arithmetic import set64, wide_argument
from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.kernel.layouts import View

MAJOR, MINOR, BUILD = 6, 1, 7601
SERVICE_PACK = 1
PLATFORM_NT = 2
SUITE_SINGLE_USER = 0x100
PRODUCT_WORKSTATION = 1
STATUS_INVALID_PARAMETER = 0xC000000D
STATUS_REVISION_MISMATCH = 0xC0000059
_NTDDI_VERSION = MAJOR << 24 | MINOR << 16 | SERVICE_PACK << 8
_SERVICE_PACK_TEXT = f"Service Pack {SERVICE_PACK}"


@dataclass(slots=True)
class VersionTexts:
    """Where the kernel keeps the name of its service pack; 0 before anybody asked."""

    service_pack: int = 0


_BASIC = {
    "dwMajorVersion": MAJOR,
    "dwMinorVersion": MINOR,
    "dwBuildNumber": BUILD,
    "dwPlatformId": PLATFORM_NT,
}
_EXTENDED = {
    "wServicePackMajor": SERVICE_PACK,
    "wServicePackMinor": 0,
    "wSuiteMask": SUITE_SINGLE_USER,
    "wProductType": PRODUCT_WORKSTATION,
    "wReserved": 0,
}


def _get_version(call: ApiCall) -> None:
    """Fill an RTL_OSVERSIONINFOW, and the rest where its size says that it is an RTL_OSVERSIONINFOEXW."""
    info = call.view("OSVERSIONINFOEXW", call.arguments[0])
    is_extended = info["dwOSVersionInfoSize"] == info.layout.size
    for name, value in (_BASIC | (_EXTENDED if is_extended else {})).items():
        info[name] = value
    info["szCSDVersion"] = int.from_bytes(_SERVICE_PACK_TEXT.encode("utf-16-le"), "little")


def _ps_get_version(call: ApiCall) -> None:
    """FALSE: this is no checked build."""
    major, minor, build, service_pack = call.arguments[:4]
    for out, value in ((major, MAJOR), (minor, MINOR), (build, BUILD)):
        call.put_optional(out, value)
    if service_pack:
        texts = call.state(VersionTexts)
        if not texts.service_pack:
            texts.service_pack = call.new("UNICODE_STRING").address
            call.put_counted(texts.service_pack, _SERVICE_PACK_TEXT.encode("utf-16-le"))
        call.write(service_pack, call.read(texts.service_pack, 8))


# -- comparisons --

_VER_BITS = 3
_VER_AND, _VER_OR = 6, 7
_COMPARISONS: Mapping[int, Callable[[int, int], bool]] = {
    1: operator.eq,
    2: operator.gt,
    3: operator.ge,
    4: operator.lt,
    5: operator.le,
}
_SUITE_TYPE = 6
"""VER_SUITENAME is 1 << 6."""
_HIERARCHY = ((1, "dwMajorVersion", MAJOR), (0, "dwMinorVersion", MINOR), (5, "wServicePackMajor", SERVICE_PACK),
              (4, "wServicePackMinor", 0))  # fmt: skip
"""Types by bit number that are compared as one number: the first that differs decides."""
_SINGLE = ((2, "dwBuildNumber", BUILD), (3, "dwPlatformId", PLATFORM_NT), (7, "wProductType", PRODUCT_WORKSTATION))


def _set_condition(call: ApiCall) -> None:
    """VerSetConditionMask(mask, types, condition): three bits for each type, at the highest type that is given."""
    mask, types, condition = wide_argument(call, 0), call.stack_words[2] & 0xFF, call.stack_words[3] & 7
    if types:
        mask |= condition << _VER_BITS * (types.bit_length() - 1)
    set64(call, mask)


def _verify(call: ApiCall) -> None:
    """RtlVerifyVersionInfo(info, types, conditions): how the system compares to what the driver wants."""
    info = call.view("OSVERSIONINFOEXW", call.arguments[0])
    types, conditions = call.stack_words[1], wide_argument(call, 2)
    if not types or not conditions:
        call.eax = STATUS_INVALID_PARAMETER
    elif not _holds(info, types, conditions):
        call.eax = STATUS_REVISION_MISMATCH


def _holds(info: View, types: int, conditions: int) -> bool:
    def condition(bit: int) -> int:
        return conditions >> _VER_BITS * bit & 7

    if types & 1 << _SUITE_TYPE:
        wanted = info["wSuiteMask"]
        common = wanted & SUITE_SINGLE_USER
        if (condition(_SUITE_TYPE) == _VER_AND and common != wanted) or (
            condition(_SUITE_TYPE) == _VER_OR and wanted and not common
        ):
            return False
    for bit, name, value in _SINGLE:
        if types & 1 << bit and not _compare(condition(bit), value, info[name]):
            return False
    asked = [(bit, name, value) for bit, name, value in _HIERARCHY if types & 1 << bit]
    for position, (bit, name, value) in enumerate(asked):
        if value != info[name] or position == len(asked) - 1:
            return _compare(condition(bit), value, info[name])
    return True


def _compare(condition: int, actual: int, wanted: int) -> bool:
    comparison = _COMPARISONS.get(condition)
    return comparison is not None and comparison(actual, wanted)


def _is_ddi_version(call: ApiCall) -> None:
    """The version must be one without a service pack."""
    version = call.arguments[0]
    call.eax = int(not version & 0xFFFF and version <= _NTDDI_VERSION)


def _is_service_pack(call: ApiCall) -> None:
    """The same Windows, with at least this service pack."""
    version = call.arguments[0]
    same = version & 0xFFFF0000 == _NTDDI_VERSION & 0xFFFF0000
    call.eax = int(same and version & 0xFFFF <= _NTDDI_VERSION & 0xFFFF)


def _product_type(call: ApiCall) -> None:
    call.put_u32(call.arguments[0], PRODUCT_WORKSTATION)
    call.eax = 1


def _global_flags(call: ApiCall) -> None:
    """NtGlobalFlag: nothing is switched on."""
    call.eax = 0


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlGetVersion": _get_version,
    "PsGetVersion": _ps_get_version,
    "VerSetConditionMask": _set_condition,
    "RtlVerifyVersionInfo": _verify,
    "RtlIsNtDdiVersionAvailable": _is_ddi_version,
    "RtlIsServicePackVersionInstalled": _is_service_pack,
    "RtlGetNtProductType": _product_type,
    "RtlGetNtGlobalFlags": _global_flags,
}
