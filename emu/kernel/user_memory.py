"""Buffers of user-mode programs, as drivers are handed them: addresses below MmUserProbeAddress."""

from __future__ import annotations

from dataclasses import dataclass

from stackemu.emu.inputs import PAGE
from stackemu.emu.kernel.call import USER_END, Context

_BASE = 0x00A50000


@dataclass(slots=True)
class UserMemory:
    """User-mode addresses handed out so far."""

    next: int = _BASE


def user_buffer(context: Context, size: int, *, zeroed: bool = False) -> int:
    """Return the user-mode address of `size` bytes, which hold what the input says unless zeroed."""
    memory = context.state(UserMemory)
    address = memory.next
    if address + size > USER_END:
        return 0
    memory.next = (address + max(size, 1) + PAGE - 1) & -PAGE
    if zeroed and size:
        context.write(address, bytes(size))
    return address


def is_user_range(address: int, size: int) -> bool:
    """Return whether all of a range belongs to user mode."""
    return address < USER_END and address + size <= USER_END
