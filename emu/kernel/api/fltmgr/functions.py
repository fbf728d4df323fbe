"""All functions of the Filter Manager and the callbacks of minifilters joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.fltmgr import (
    attachment,
    contexts,
    descriptions,
    name_providers,
    names,
    operations,
    registration,
    requests,
    volumes,
)
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **registration.BEHAVIOURS,
    **attachment.BEHAVIOURS,
    **contexts.BEHAVIOURS,
    **volumes.BEHAVIOURS,
    **descriptions.BEHAVIOURS,
    **names.BEHAVIOURS,
    **name_providers.BEHAVIOURS,
    **requests.BEHAVIOURS,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    **registration.ROLES,
    **operations.ROLES,
    **name_providers.ROLES,
    **requests.ROLES,
}
