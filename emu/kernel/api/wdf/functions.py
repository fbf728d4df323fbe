"""All framework functions and callbacks joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf import (
    device_init,
    devices,
    dma,
    driver,
    interrupts,
    memory,
    objects,
    queues,
    registry,
    request_buffers,
    requests,
    resources,
    synchronization,
    targets,
    usb,
    wmi,
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
    **interrupts.BEHAVIOURS,
    **dma.BEHAVIOURS,
    **registry.BEHAVIOURS,
    **resources.BEHAVIOURS,
    **targets.BEHAVIOURS,
    **usb.BEHAVIOURS,
    **wmi.BEHAVIOURS,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    **objects.ROLES,
    **driver.ROLES,
    **device_init.ROLES,
    **queues.ROLES,
    **requests.ROLES,
    **synchronization.ROLES,
    **interrupts.ROLES,
    **dma.ROLES,
    **resources.ROLES,
    **targets.ROLES,
    **usb.ROLES,
    **wmi.ROLES,
}
"""Each kind of root is the documented name of its callback."""
