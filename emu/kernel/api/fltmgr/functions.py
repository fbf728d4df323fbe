"""All functions of the Filter Manager and the callbacks of minifilters joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.fltmgr import (
    attachment,
    buffers,
    callback_data,
    contexts,
    creates,
    deferred,
    descriptions,
    files,
    locks,
    messages,
    metadata,
    name_providers,
    names,
    operations,
    queues,
    registration,
    requests,
    transactions,
    volumes,
)
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **attachment.BEHAVIOURS,
    **buffers.BEHAVIOURS,
    **callback_data.BEHAVIOURS,
    **contexts.BEHAVIOURS,
    **creates.BEHAVIOURS,
    **deferred.BEHAVIOURS,
    **descriptions.BEHAVIOURS,
    **files.BEHAVIOURS,
    **locks.BEHAVIOURS,
    **messages.BEHAVIOURS,
    **metadata.BEHAVIOURS,
    **name_providers.BEHAVIOURS,
    **names.BEHAVIOURS,
    **queues.BEHAVIOURS,
    **registration.BEHAVIOURS,
    **requests.BEHAVIOURS,
    **transactions.BEHAVIOURS,
    **volumes.BEHAVIOURS,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    **callback_data.ROLES,
    **deferred.ROLES,
    **locks.ROLES,
    **messages.ROLES,
    **name_providers.ROLES,
    **operations.ROLES,
    **queues.ROLES,
    **registration.ROLES,
    **requests.ROLES,
}
