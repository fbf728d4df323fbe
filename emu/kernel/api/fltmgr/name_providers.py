"""Name providers: minifilters that change the name space, and are asked to generate and normalize names.

Pages of PFLT_GENERATE_FILE_NAME, PFLT_NORMALIZE_NAME_COMPONENT, PFLT_NORMALIZE_CONTEXT_CLEANUP and
FltCheckAndGrowNameControl in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.fltmgr.contexts import SECTION, context_of_kind
from stackemu.emu.kernel.api.fltmgr.objects import instance_object, volume_of
from stackemu.emu.kernel.api.fltmgr.operations import make_operation
from stackemu.emu.kernel.api.fltmgr.parameters import CREATE, READ, SET_INFORMATION, WRITE
from stackemu.emu.kernel.api.fltmgr.volumes import share_of, volume_name
from stackemu.emu.kernel.api.irql import APC_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.objects import file_object
from stackemu.emu.kernel.roots import Root, Words

_NAME_OPTIONS = (1, 2, 3, 1 | 0x100, 1 | 0x200, 2 | 0x300)
"""FLT_FILE_NAME_NORMALIZED, OPENED and SHORT, with what may be asked: the cache, the file system."""
_NAME_ROOM = 0x80
"""Bytes of the buffer that a name is to be put into, before it is grown."""
_PARENTS = ("\\Directory\\", "\\", "\\Directory\\Long Directory Name\\")
_COMPONENTS = ("LONGDI~1", "File.txt", "TESTRE~1.TXT")
_EXPANSION = 12 + 2 * 255
"""Bytes of FILE_NAMES_INFORMATION with the longest component."""
_CASE_SENSITIVE, _DESTINATION = 1, 2
"""FLTFL_NORMALIZE_NAME_."""
_CONTEXT_SIZE = 0x100


def _generate(context: Context, _root: Root) -> Words:
    """(Instance, FileObject, CallbackData, NameOptions, CacheFileNameInformation, FileName)."""
    major = pick(context, (CREATE, SET_INFORMATION, READ), 1)
    data = pick(context, (make_operation(context, major).data.address, 0), 2)
    name = context.new("UNICODE_STRING")
    context.put_counted(name.address, b"", _NAME_ROOM)
    instance, file = instance_object(context), file_object(context).address
    return Words((instance, file, data, pick(context, _NAME_OPTIONS), context.allocate(4), name.address))


def _normalized(context: Context, *first: int) -> Words:
    """(..., ParentDirectory, VolumeNameLength, Component, ExpandComponentName, its length, Flags, context)."""
    volume = volume_of(context, instance_object(context))
    name = volume_name(context, volume)
    parent, component = context.new("UNICODE_STRING"), context.new("UNICODE_STRING")
    text = name + share_of(context, volume) + pick(context, _PARENTS)
    context.put_counted(parent.address, text.encode("utf-16-le"))
    context.put_counted(component.address, pick(context, _COMPONENTS, 1).encode("utf-16-le"))
    flags = pick(context, (0, _CASE_SENSITIVE, _DESTINATION), 2)
    sizes = (context.allocate(_EXPANSION), _EXPANSION)
    before = context.allocate(4)
    return Words((*first, parent.address, 2 * len(name), component.address, *sizes, flags, before))


def _normalize(context: Context, _root: Root) -> Words:
    """(Instance, ...)."""
    return _normalized(context, instance_object(context))


def _normalize_ex(context: Context, _root: Root) -> Words:
    """(Instance, FileObject, ...)."""
    return _normalized(context, instance_object(context), file_object(context).address)


def _clean_up(context: Context, _root: Root) -> Words:
    """(NormalizationContext): where the context lies that normalizing left."""
    place = context.allocate(4)
    context.put_u32(place, context.allocate(_CONTEXT_SIZE, zeroed=False))
    return Words((place,))


def _conflict(context: Context, _root: Root) -> Words:
    """(Instance, SectionContext, Data): an operation that a section for a data scan stands in the way of."""
    operation = make_operation(context, pick(context, (WRITE, SET_INFORMATION)))
    return Words((instance_object(context), context_of_kind(context, SECTION), operation.data.address))


def _grow(call: ApiCall) -> None:
    """FltCheckAndGrowNameControl(NameCtrl, NewSize): what the name holds moves into the larger buffer."""
    address, size = call.arguments[0], call.arguments[1] & 0xFFFF
    limit_irql(call, APC_LEVEL)
    name = call.view("UNICODE_STRING", address)
    if name["MaximumLength"] >= size:
        return
    if not call.succeeds:
        call.fail()
        return
    text = call.counted(address)
    buffer = call.allocate(size)
    if text:
        call.write(buffer, text[:size])
    name["Buffer"], name["MaximumLength"] = buffer, size


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {"FltCheckAndGrowNameControl": _grow}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "flt-generate-name": _generate,
    "flt-normalize-name": _normalize,
    "flt-normalize-name-ex": _normalize_ex,
    "flt-normalize-cleanup": _clean_up,
    "flt-section-notification": _conflict,
}
