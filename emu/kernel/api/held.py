"""Locks held: what makes a second acquisition a deadlock, and a second release a mistake.

Only one thread runs here, so a lock that is taken is free for it, whatever its memory holds. A release of a lock
that was never seen held may be its caller's business, and is not noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stackemu.emu.kernel.call import ApiCall


@dataclass(slots=True)
class HeldLocks:
    """Spin locks, mutexes and push locks by address: how often each is held, and those that were released."""

    exclusive: dict[int, None] = field(default_factory=dict)
    shared: dict[int, int] = field(default_factory=dict)
    released: dict[int, None] = field(default_factory=dict)
    critical_regions: int = 0
    guarded_regions: int = 0
    regions_entered: int = 0


def initialize(call: ApiCall, address: int) -> None:
    """Forget what is known of a lock: there is a new one at its address."""
    locks = call.state(HeldLocks)
    for known in (locks.exclusive, locks.shared, locks.released):
        known.pop(address, None)


def is_held(call: ApiCall, address: int) -> bool:
    """Return whether the driver holds a lock in any way."""
    locks = call.state(HeldLocks)
    return address in locks.exclusive or address in locks.shared


def acquire(call: ApiCall, address: int, *, is_shared: bool = False) -> None:
    """Take a lock; one that the driver holds already would never be granted, which is noted."""
    locks = call.state(HeldLocks)
    if address in locks.exclusive or (address in locks.shared and not is_shared):
        call.note(f"{call.name}: {address:#010x} is held already, which waits for ever")
    if is_shared:
        locks.shared[address] = locks.shared.get(address, 0) + 1
    else:
        locks.exclusive[address] = None


def release(call: ApiCall, address: int) -> bool:
    """Give a lock back, and note one that was given back before; returns whether nobody holds it now."""
    locks = call.state(HeldLocks)
    if address in locks.exclusive:
        del locks.exclusive[address]
    elif locks.shared.get(address, 0) > 1:
        locks.shared[address] -= 1
        return False
    elif locks.shared.pop(address, None) is None and address in locks.released:
        call.note(f"{call.name}: {address:#010x} was released before")
    locks.released[address] = None
    return True


def enter_critical_region(call: ApiCall) -> None:
    """Hold back normal kernel APCs."""
    locks = call.state(HeldLocks)
    locks.critical_regions += 1
    locks.regions_entered += 1


def leave_critical_region(call: ApiCall) -> None:
    """Undo one entering; more of these than enterings are noted once there was any."""
    locks = call.state(HeldLocks)
    if not locks.critical_regions and locks.regions_entered:
        call.note(f"{call.name}: leaves a critical region that was left before")
    locks.critical_regions = max(0, locks.critical_regions - 1)
