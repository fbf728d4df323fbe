"""A request under construction: an IRP, the stack location of the driver that gets it, and its device."""

from __future__ import annotations

from dataclasses import dataclass

from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.layouts import View


@dataclass(frozen=True, slots=True)
class Request:
    """What the functions that fill a request work on."""

    context: Context
    irp: View
    location: View
    device: View
