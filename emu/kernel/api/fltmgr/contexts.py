"""Contexts: memory that a minifilter ties to volumes, instances, files, streams, handles and transactions.

"Managing Contexts" and the pages of FltAllocateContext, FltSetInstanceContext and its kin, FltReleaseContext in the
WDK. A context lives as long as somebody holds a reference to it; the object that it is tied to holds one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.fltmgr.objects import ContextKind, Filters
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, limit_irql
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context

STATUS_NOT_FOUND = 0xC0000225
STATUS_FLT_CONTEXT_ALREADY_DEFINED, STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND = 0xC01C0002, 0xC01C0016
STATUS_FLT_CONTEXT_ALREADY_LINKED = 0xC01C001C
VOLUME, INSTANCE, FILE, STREAM, STREAM_HANDLE, TRANSACTION, SECTION = 1, 2, 4, 8, 16, 32, 64
_RELATED = (VOLUME, INSTANCE, FILE, STREAM, STREAM_HANDLE, TRANSACTION, SECTION)
"""Order of the members of FLT_RELATED_CONTEXTS_EX; FLT_RELATED_CONTEXTS lacks the last."""
_KEEP_IF_EXISTS = 1
_ANY_SIZE = 0xFFFFFFFF
"""FLT_VARIABLE_SIZED_CONTEXTS."""
_NO_EXACT_SIZE_MATCH = 1
_UNKNOWN_SIZE = 0x100

Key = tuple[int, int, int]
"""Type of a context, the instance or volume, and the file object or transaction that it is tied to (0: none)."""


@dataclass(slots=True)
class Live:
    """A context that exists; `key` says what it is tied to, None for nothing."""

    kind: int
    references: int
    cleanup: int = 0
    free: int = 0
    key: Key | None = None


@dataclass(slots=True)
class Contexts:
    """Contexts by address, contexts by what they are tied to, and those that are gone."""

    live: dict[int, Live] = field(default_factory=dict)
    tied: dict[Key, int] = field(default_factory=dict)
    freed: dict[int, None] = field(default_factory=dict)


# -- making --


def _registration(context: Context, kind: int, size: int) -> ContextKind | None:
    """Return the line of the registration that a context of this size is allocated from."""
    for line in context.state(Filters).contexts.get(kind, ()):
        fits = size <= line.size if line.flags & _NO_EXACT_SIZE_MATCH else size == line.size
        if fits or line.size == _ANY_SIZE:
            return line
    return None


def _enter(context: Context, address: int, kind: int, line: ContextKind | None) -> None:
    cleanup, free = (line.cleanup, line.free) if line is not None else (0, 0)
    context.state(Contexts).live[address] = Live(kind, 1, cleanup, free)


def _allocate(call: ApiCall) -> None:
    _filter, kind, size, pool, out = call.arguments[:5]
    kind &= 0xFFFF
    limit_irql(call, APC_LEVEL)
    call.put_u32(out, 0)
    line = _registration(call, kind, size)
    if line is None and call.state(Filters).contexts:
        call.complete(STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND)
        return
    if not call.succeeds:
        call.fail()
        return
    if line is not None and line.allocate:
        address = call.invoke(line.allocate, pool, size, kind)
    else:
        address = call.allocate(min(size, MAX_COPY), zeroed=False)
    _enter(call, address, kind, line)
    call.put_u32(out, address)


def _known_context(context: Context, kind: int) -> int:
    """Return a context that the driver made before this run: its contents are the input's to say."""
    lines = context.state(Filters).contexts.get(kind) or [ContextKind(_UNKNOWN_SIZE, 0, 0, 0, 0, 0)]
    line = lines[0]
    size = line.size if line.size != _ANY_SIZE else _UNKNOWN_SIZE
    address = context.allocate(min(size, MAX_COPY), zeroed=False)
    _enter(context, address, kind, line)
    return address


def context_of_kind(context: Context, kind: int) -> int:
    """Return a context that is about to be used in a callback: one that is tied to something if there is any."""
    tied = [address for (known, _, _), address in context.state(Contexts).tied.items() if known == kind]
    is_tied = pick(context, (1, 1, 0), 7)
    if tied and is_tied:
        return tied[0]
    return _known_context(context, kind)


def referenced_context(context: Context) -> int:
    """Return a context of any type, with a reference that the callee gives back; 0 when none is tied to anything."""
    contexts = context.state(Contexts)
    if not contexts.tied:
        return 0
    address = next(iter(contexts.tied.values()))
    contexts.live[address].references += 1
    return address


# -- references --


def _reference(call: ApiCall) -> None:
    live = call.state(Contexts).live.get(call.arguments[0])
    if live is not None:
        live.references += 1


def release(call: ApiCall, address: int) -> None:
    """Give a reference back; with the last one the context is cleaned up and freed, in the caller's context."""
    contexts = call.state(Contexts)
    live = contexts.live.get(address)
    if live is None:
        if address in contexts.freed:
            call.note(f"{call.name}: context {address:#010x} was freed before")
        return
    live.references -= 1
    if live.references > 0:
        return
    if live.key is not None:
        call.note(f"{call.name}: context {address:#010x} is released more often than referenced")
        contexts.tied.pop(live.key, None)
    del contexts.live[address]
    contexts.freed[address] = None
    for callback in (live.cleanup, live.free):
        if callback:
            call.invoke(callback, address, live.kind)


def _release(call: ApiCall) -> None:
    limit_irql(call, DISPATCH_LEVEL)
    release(call, call.arguments[0])


# -- tying to objects --


def untie(call: ApiCall, key: Key) -> int:
    """Break a tie; returns the context, whose reference is now the caller's, 0 when there was none."""
    contexts = call.state(Contexts)
    address = contexts.tied.pop(key, 0)
    if address in contexts.live:
        contexts.live[address].key = None
    return address


def tie(call: ApiCall, key: Key, address: int) -> None:
    """Tie a context to an object, which holds a reference from then on."""
    contexts = call.state(Contexts)
    contexts.tied[key] = address
    live = contexts.live.setdefault(address, Live(key[0], 1))
    live.references += 1
    live.key = key


def _hand_over(call: ApiCall, address: int, out: int) -> None:
    """Give a context with its reference to the caller, or drop it when the caller does not want it."""
    if out:
        call.put_u32(out, address)
    elif address:
        release(call, address)


def _set(kind: int, objects: int) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function that ties a context to its first `objects` arguments."""

    def behaviour(call: ApiCall) -> None:
        operation, new, out = call.arguments[objects : objects + 3]
        limit_irql(call, APC_LEVEL)
        contexts, key = call.state(Contexts), _key(call, kind, objects)
        call.put_optional(out, 0)
        if not call.succeeds:
            call.fail()
            return
        if new in contexts.live and contexts.live[new].key is not None:
            call.complete(STATUS_FLT_CONTEXT_ALREADY_LINKED)
            return
        if operation == _KEEP_IF_EXISTS and _is_tied_meanwhile(call, key):
            old = contexts.tied[key]
            contexts.live[old].references += 1
            _hand_over(call, old, out)
            call.complete(STATUS_FLT_CONTEXT_ALREADY_DEFINED)
            return
        old = untie(call, key)
        tie(call, key, new)
        _hand_over(call, old, out)

    return behaviour


def _is_tied_meanwhile(call: ApiCall, key: Key) -> bool:
    """Return whether the object has a context: one may have come from another thread since the driver looked."""
    contexts = call.state(Contexts)
    if key not in contexts.tied and pick(call, (False, False, True)):
        address = _known_context(call, key[0])
        tie(call, key, address)
        contexts.live[address].references -= 1
    return key in contexts.tied


def _key(call: ApiCall, kind: int, objects: int, first: int = 0) -> Key:
    words = call.arguments[first : first + objects]
    return (kind, words[0], words[1] if objects > 1 else 0)


def _look_up(call: ApiCall, key: Key) -> int:
    """Return a referenced context, 0 when the object has none.

    An object that no callback of this run has seen may have got its context when it was opened.
    """
    contexts = call.state(Contexts)
    address = contexts.tied.get(key, 0)
    if not address and key[0] in call.state(Filters).contexts and pick(call, (False, True)):
        address = _known_context(call, key[0])
        tie(call, key, address)
        contexts.live[address].references -= 1
    if address:
        contexts.live[address].references += 1
    return address


def _get(kind: int, objects: int, first: int = 0) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        out = call.arguments[first + objects]
        limit_irql(call, APC_LEVEL)
        address = _look_up(call, _key(call, kind, objects, first)) if call.succeeds else 0
        call.put_u32(out, address)
        if not address:
            call.complete(STATUS_NOT_FOUND)

    return behaviour


def _delete(kind: int, objects: int, first: int = 0) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        out = call.arguments[first + objects]
        limit_irql(call, APC_LEVEL)
        call.put_optional(out, 0)
        address = untie(call, _key(call, kind, objects, first)) if call.succeeds else 0
        if not address:
            call.complete(STATUS_NOT_FOUND)
            return
        _hand_over(call, address, out)

    return behaviour


def _delete_by_address(call: ApiCall) -> None:
    """FltDeleteContext breaks the tie; the caller's own reference stays."""
    live = call.state(Contexts).live.get(call.arguments[0])
    if live is not None and live.key is not None:
        release(call, untie(call, live.key))


def drop_all(call: ApiCall, instance: int | None = None) -> None:
    """Break the ties of an instance, or all there are, as teardown does."""
    for key in list(call.state(Contexts).tied):
        if instance is None or key[1] == instance:
            release(call, untie(call, key))


# -- several at once --


def _get_several(call: ApiCall, desired: int, size: int, out: int) -> None:
    related = call.view("FLT_RELATED_OBJECTS", call.arguments[0])
    instance, file = related["Instance"], related["FileObject"]
    owners = {
        VOLUME: (related["Volume"], 0),
        INSTANCE: (instance, 0),
        TRANSACTION: (instance, related["Transaction"]),
    }
    for index, kind in enumerate(_RELATED[: size // 4]):
        owner, thing = owners.get(kind, (instance, file))
        wanted = desired & kind and call.succeeds
        call.put_u32(out + 4 * index, _look_up(call, (kind, owner, thing)) if wanted else 0)


def _get_contexts(call: ApiCall) -> None:
    _objects, desired, out = call.arguments[:3]
    limit_irql(call, APC_LEVEL)
    _get_several(call, desired, 4 * (len(_RELATED) - 1), out)


def _get_contexts_ex(call: ApiCall) -> None:
    _objects, desired, size, out = call.arguments[:4]
    limit_irql(call, APC_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    _get_several(call, desired, size, out)


def _release_several(call: ApiCall, size: int, address: int) -> None:
    for index in range(min(size // 4, len(_RELATED))):
        held = call.u32(address + 4 * index)
        if held:
            release(call, held)
        call.put_u32(address + 4 * index, 0)


def _release_contexts(call: ApiCall) -> None:
    _release_several(call, 4 * (len(_RELATED) - 1), call.arguments[0])


def _release_contexts_ex(call: ApiCall) -> None:
    _release_several(call, call.arguments[0], call.arguments[1])


def _supports(call: ApiCall) -> None:
    call.eax = pick(call, (1, 0))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltAllocateContext": _allocate,
    "FltReferenceContext": _reference,
    "FltReleaseContext": _release,
    "FltDeleteContext": _delete_by_address,
    "FltSetVolumeContext": _set(VOLUME, 1),
    "FltSetInstanceContext": _set(INSTANCE, 1),
    "FltSetFileContext": _set(FILE, 2),
    "FltSetStreamContext": _set(STREAM, 2),
    "FltSetStreamHandleContext": _set(STREAM_HANDLE, 2),
    "FltSetTransactionContext": _set(TRANSACTION, 2),
    "FltGetVolumeContext": _get(VOLUME, 1, 1),
    "FltGetInstanceContext": _get(INSTANCE, 1),
    "FltGetFileContext": _get(FILE, 2),
    "FltGetStreamContext": _get(STREAM, 2),
    "FltGetStreamHandleContext": _get(STREAM_HANDLE, 2),
    "FltGetTransactionContext": _get(TRANSACTION, 2),
    "FltGetSectionContext": _get(SECTION, 2),
    "FltDeleteVolumeContext": _delete(VOLUME, 1, 1),
    "FltDeleteInstanceContext": _delete(INSTANCE, 1),
    "FltDeleteFileContext": _delete(FILE, 2),
    "FltDeleteStreamContext": _delete(STREAM, 2),
    "FltDeleteStreamHandleContext": _delete(STREAM_HANDLE, 2),
    "FltDeleteTransactionContext": _delete(TRANSACTION, 2),
    "FltGetContexts": _get_contexts,
    "FltGetContextsEx": _get_contexts_ex,
    "FltReleaseContexts": _release_contexts,
    "FltReleaseContextsEx": _release_contexts_ex,
    "FltSupportsFileContexts": _supports,
    "FltSupportsFileContextsEx": _supports,
    "FltSupportsStreamContexts": _supports,
    "FltSupportsStreamHandleContexts": _supports,
}
