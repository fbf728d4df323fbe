"""The families of kernel functions joined: what each exported function does, how each kind of root is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel import objects
from stackemu.emu.kernel.api import (
    access_lists,
    address_strings,
    arithmetic,
    bitmaps,
    c_numbers,
    c_strings,
    callbacks,
    clock,
    debug,
    devices,
    dispatcher,
    dpc,
    driver_objects,
    environment,
    exceptions,
    fast_io,
    filtering_platform,
    hardware,
    interlocked,
    interrupts,
    io_services,
    irp_building,
    irp_queues,
    irp_roles,
    irps,
    irql,
    lookaside,
    mdl,
    memory,
    memory_manager,
    mutexes,
    net_buffers,
    notify,
    object_manager,
    plug_and_play,
    pool,
    ports,
    power,
    printf,
    push_locks,
    raising,
    registry_callbacks,
    resources,
    run_once,
    security,
    sids,
    slists,
    sorting,
    spin_locks,
    stack,
    string_conversions,
    string_numbers,
    strings,
    tables,
    threads,
    time_fields,
    timers,
    version,
    waits,
    wmi,
    work_items,
)
from stackemu.emu.kernel.api.fltmgr import functions as fltmgr
from stackemu.emu.kernel.api.wdf import functions as wdf
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.kernel.typed_results import answer

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **strings.BEHAVIOURS,
    **string_conversions.BEHAVIOURS,
    **string_numbers.BEHAVIOURS,
    **bitmaps.BEHAVIOURS,
    **tables.BEHAVIOURS,
    **printf.BEHAVIOURS,
    **debug.BEHAVIOURS,
    **memory.BEHAVIOURS,
    **arithmetic.BEHAVIOURS,
    **c_strings.BEHAVIOURS,
    **c_numbers.BEHAVIOURS,
    **sorting.BEHAVIOURS,
    **time_fields.BEHAVIOURS,
    **version.BEHAVIOURS,
    **sids.BEHAVIOURS,
    **access_lists.BEHAVIOURS,
    **run_once.BEHAVIOURS,
    **address_strings.BEHAVIOURS,
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
    **spin_locks.BEHAVIOURS,
    **mutexes.BEHAVIOURS,
    **resources.BEHAVIOURS,
    **push_locks.BEHAVIOURS,
    **lookaside.BEHAVIOURS,
    **callbacks.BEHAVIOURS,
    **registry_callbacks.BEHAVIOURS,
    **environment.BEHAVIOURS,
    **net_buffers.BEHAVIOURS,
    **filtering_platform.BEHAVIOURS,
    **devices.BEHAVIOURS,
    **irps.BEHAVIOURS,
    **irp_building.BEHAVIOURS,
    **irp_queues.BEHAVIOURS,
    **mdl.BEHAVIOURS,
    **wmi.BEHAVIOURS,
    **io_services.BEHAVIOURS,
    **hardware.BEHAVIOURS,
    **security.BEHAVIOURS,
    **object_manager.BEHAVIOURS,
    **memory_manager.BEHAVIOURS,
    **interrupts.BEHAVIOURS,
    **ports.BEHAVIOURS,
    **power.BEHAVIOURS,
    **driver_objects.BEHAVIOURS,
    **plug_and_play.BEHAVIOURS,
    **wdf.BEHAVIOURS,
    **fltmgr.BEHAVIOURS,
}
"""What a kernel function does, by its exported name."""

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    **objects.ROLES,
    **debug.ROLES,
    **filtering_platform.ROLES,
    **wdf.ROLES,
    **fltmgr.ROLES,
    **dpc.ROLES,
    **timers.ROLES,
    **threads.ROLES,
    **notify.ROLES,
    **work_items.ROLES,
    **stack.ROLES,
    **lookaside.ROLES,
    **callbacks.ROLES,
    **registry_callbacks.ROLES,
    **interrupts.ROLES,
    **fast_io.ROLES,
    **power.ROLES,
    **driver_objects.ROLES,
    **plug_and_play.ROLES,
    **devices.ROLES,
    **irp_roles.ROLES,
    **wmi.ROLES,
    **security.ROLES,
    **object_manager.ROLES,
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
