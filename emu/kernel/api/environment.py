"""What the system answers about itself, and work of the kernel that no driver can see.

Here are functions whose right behaviour is to do nothing visible, and small questions with a fixed answer: one
processor, no debugger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.call import ApiCall, Raised

_STATUS_RETRY = 0xC000022D
_STATUS_QUOTA_EXCEEDED = 0xC0000044
_FIRMWARE_UEFI = 2


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see: 0, STATUS_SUCCESS, FALSE or no result."""


def _status(call: ApiCall) -> None:
    """Success or failure, and nothing else that the driver could see."""
    if not call.succeeds:
        call.fail()


def _charge_quota(call: ApiCall) -> None:
    """PsChargePoolQuota returns nothing: it raises when the process has no quota left."""
    if not call.succeeds:
        raise Raised(_STATUS_QUOTA_EXCEEDED)


def _one(call: ApiCall) -> None:
    call.eax = 1


def _active_processors(call: ApiCall) -> None:
    """KeQueryActiveProcessorCount stores the affinity mask, where it is wanted, and returns how many there are."""
    call.put_optional(call.arguments[0], 1)
    call.eax = 1


def _processor_number(call: ApiCall) -> None:
    """PROCESSOR_NUMBER is four bytes: Group (2), Number, Reserved."""
    call.put_optional(call.arguments[0], 0)


def _uuid(call: ApiCall) -> None:
    """A random one (RFC 4122, version 4)."""
    if not call.succeeds:
        call.complete(_STATUS_RETRY)
        return
    seed = call.draw().to_bytes(4, "little") + call.ordinal.to_bytes(4, "little")
    data = bytearray(hashlib.blake2b(seed, digest_size=16).digest())
    data[7] = data[7] & 0x0F | 0x40
    data[8] = data[8] & 0x3F | 0x80
    call.write(call.arguments[0], bytes(data))


def _feature(call: ApiCall) -> None:
    call.eax = pick(call, (1, 0))


def _firmware(call: ApiCall) -> None:
    call.eax = _FIRMWARE_UEFI


_NOTHING = (
    "KeFlushWriteBuffer",
    "KeStallExecutionProcessor",
    "KeFlushIoBuffers",
    "KeFlushEntireTb",
    "KeInvalidateRangeAllCaches",
    "KeRevertToUserAffinityThread",
    "KeRevertToUserAffinityThreadEx",
    "KeRevertToUserGroupAffinityThread",
    "KeSetSystemAffinityThread",
    "KeRestoreFloatingPointState",
    "KeRestoreExtendedProcessorState",
    "KeAttachProcess",
    "KeDetachProcess",
    "KeStackAttachProcess",
    "KeUnstackDetachProcess",
    "KeGetCurrentNodeNumber",
    "KeQueryHighestNodeNumber",
    "KeShouldYieldProcessor",
    "PsReturnPoolQuota",
    "ZwYieldExecution",
)

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_NOTHING, _nothing),
    "KeSaveFloatingPointState": _status,
    "KeSaveExtendedProcessorState": _status,
    "PsChargeProcessPoolQuota": _status,
    "PsChargePoolQuota": _charge_quota,
    "KeInvalidateAllCaches": _one,
    "KeQueryActiveProcessors": _one,
    "KeQueryActiveProcessorCount": _active_processors,
    "KeQueryActiveProcessorCountEx": _one,
    "KeQueryMaximumProcessorCount": _one,
    "KeQueryMaximumProcessorCountEx": _one,
    "KeQueryActiveGroupCount": _one,
    "KeQueryMaximumGroupCount": _one,
    "KeQueryGroupAffinity": _one,
    "KeGetCurrentProcessorNumberEx": _processor_number,
    "KeSetSystemAffinityThreadEx": _nothing,
    "ExUuidCreate": _uuid,
    "ExIsProcessorFeaturePresent": _feature,
    "ExGetFirmwareType": _firmware,
}
