"""All framework functions and callbacks joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf import (
    device_init,
    devices,
    driver,
    memory,
    objects,
    queues,
    request_buffers,
    requests,
    synchronization,
)
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **objects.BEHAVIOURS,
    **driver.BEHAVIOURS,
    **device_init.BEHAVIOURS,
    **devices.BEHAVIOURS,
    **queues.BEHAVIOURS,
    **requests.BEHAVIOURS,
    **request_buffers.BEHAVIOURS,
    **memory.BEHAVIOURS,
    **synchronization.BEHAVIOURS,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    **objects.ROLES,
    **driver.ROLES,
    **device_init.ROLES,
    **queues.ROLES,
    **requests.ROLES,
    **synchronization.ROLES,
}
"""Each kind of root is the documented name of its callback."""
