"""Queues whose six callbacks are the driver's own: how the kernel asks them, with their lock held or not.

IO_CSQ of csq.h and FLT_CALLBACK_DATA_QUEUE of fltKernel.h have them in the same order.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from stackemu.emu.kernel.api.irql import DISPATCH_LEVEL, PASSIVE_LEVEL, set_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Words


class Callback(enum.IntEnum):
    """The callbacks in their order."""

    INSERT = 0
    REMOVE = 1
    PEEK = 2
    ACQUIRE = 3
    RELEASE = 4
    COMPLETE_CANCELED = 5


@dataclass(frozen=True, slots=True)
class DriverQueue:
    """One queue at `address`; `first` is the offset of its first callback, in bytes."""

    call: ApiCall
    address: int
    first: int

    def set_callbacks(self, callbacks: Sequence[int], names: Sequence[str], role: str) -> None:
        """Store the driver's callbacks; each becomes a root with the queue and its place as what it is about."""
        for place, name, callback in zip(Callback, names, callbacks, strict=True):
            offset = self.first + 4 * place
            self.call.put_u32(self.address + offset, callback)
            self.call.root(callback, name, role, self.address, place)

    def ask(self, which: Callback, *arguments: int) -> int:
        """Call one of the driver's callbacks and return its result."""
        return self.call.invoke(self.call.u32(self.address + self.first + 4 * which), self.address, *arguments)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the driver's lock; when a callback ends the run, nobody gives it back."""
        old_irql = self.call.allocate(4)
        self.ask(Callback.ACQUIRE, old_irql)
        yield
        self.ask(Callback.RELEASE, self.call.u8(old_irql))


def lock_arguments(context: Context, queue: int, which: int) -> Words | None:
    """Return what the callbacks of a queue's lock are given, None for the others."""
    if which == Callback.ACQUIRE:
        return Words((queue, context.allocate(4)))
    if which == Callback.RELEASE:
        set_irql(context, DISPATCH_LEVEL)
        return Words((queue, PASSIVE_LEVEL))
    return None
