"""All functions of the Filter Manager and the callbacks of minifilters joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.fltmgr import contexts, names, operations, registration, volumes
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **registration.BEHAVIOURS,
    **contexts.BEHAVIOURS,
    **volumes.BEHAVIOURS,
    **names.BEHAVIOURS,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    **registration.ROLES,
    **operations.ROLES,
}
