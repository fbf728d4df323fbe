"""The families of kernel functions joined: what each exported function does, how each kind of root is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel import objects
from stackemu.emu.kernel.api import (
    basics,
    clock,
    dispatcher,
    dpc,
    exceptions,
    filtering_platform,
    interlocked,
    irql,
    net_buffers,
    notify,
    pool,
    raising,
    runtime,
    slists,
    stack,
    threads,
    timers,
    waits,
    work_items,
)
from stackemu.emu.kernel.api.wdf import functions as wdf
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.kernel.typed_results import answer

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **basics.BEHAVIOURS,
    **runtime.BEHAVIOURS,
    **exceptions.BEHAVIOURS,
    **raising.BEHAVIOURS,
    **pool.BEHAVIOURS,
    **irql.BEHAVIOURS,
    **interlocked.BEHAVIOURS,
    **slists.BEHAVIOURS,
    **dispatcher.BEHAVIOURS,
    **waits.BEHAVIOURS,
    **dpc.BEHAVIOURS,
    **timers.BEHAVIOURS,
    **clock.BEHAVIOURS,
    **threads.BEHAVIOURS,
    **notify.BEHAVIOURS,
    **work_items.BEHAVIOURS,
    **stack.BEHAVIOURS,
    **net_buffers.BEHAVIOURS,
    **filtering_platform.BEHAVIOURS,
    **wdf.BEHAVIOURS,
}
"""What a kernel function does, by its exported name."""

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    **objects.ROLES,
    **filtering_platform.ROLES,
    **wdf.ROLES,
    **dpc.ROLES,
    **timers.ROLES,
    **threads.ROLES,
    **notify.ROLES,
    **work_items.ROLES,
    **stack.ROLES,
}
"""What builds the arguments of a root, by the root's kind."""


def perform(call: ApiCall) -> None:
    """Carry out the call: the documented work where a behaviour exists, else a result of the right type.

    Raises:
        BadAddress: a behaviour was given an address that cannot be accessed.
        Bugcheck, Raised, Terminated: the call does not return.
    """
    behaviour = BEHAVIOURS.get(call.name)
    if behaviour is not None:
        behaviour(call)
        return
    call.kernel.records.unmodelled.setdefault(call.name, call.return_address)
    answer(call)
