"""Framework objects: handles, the tree of parents, context areas, cleanup and destroy callbacks.

Described in "Introduction to Framework Objects" and "Framework Object Life Cycle" (learn.microsoft.com). A handle is
a number that no driver may look behind. One that the framework never gave out, such as an argument that the input
invented, becomes an object of the kind that its first use calls for, with contexts that hold what the input says.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stackemu.emu.kernel.api.wdf.structures import CONTEXT_TYPE_INFO, OBJECT_ATTRIBUTES, Config, config
from stackemu.emu.kernel.call import MAX_COPY, Context

HANDLE_BASE = 0x84000000
HANDLE_STEP = 0x10
MAX_DEPTH = 32
"""Generations of a tree of objects that are deleted at most."""
MAX_OBJECTS = 20_000


@dataclass(slots=True)
class WdfObject:
    """An object; `values` are the kind's own numbers by name, `items` the kind's own list of handles."""

    handle: int
    kind: str
    parent: int = 0
    is_foreign: bool = False
    """Whether the framework never made it: its past is the input's."""
    has_past: bool = False
    """Whether callbacks that did not run here may have given it contexts."""
    is_deleted: bool = False
    references: int = 1
    children: list[int] = field(default_factory=list)
    contexts: dict[int, int] = field(default_factory=dict)
    """Addresses of the context areas by the address of their type."""
    cleanup: list[int] = field(default_factory=list)
    destroy: list[int] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    items: list[int] = field(default_factory=list)
    text: bytes = b""

    def get(self, name: str) -> int:
        """Return one of the kind's own numbers, 0 when it was never set."""
        return self.values.get(name, 0)


@dataclass(slots=True)
class Framework:
    """All objects by handle, and the ones that others are found from."""

    objects: dict[int, WdfObject] = field(default_factory=dict)
    next_handle: int = HANDLE_BASE
    globals: int = 0
    driver: int = 0
    owners: dict[int, int] = field(default_factory=dict)
    """Handles of objects by the address of a context area."""
    completing: int = 0
    """How many completion routines are running."""


def framework(context: Context) -> Framework:
    """Return the framework's state."""
    return context.state(Framework)


def make(context: Context, kind: str, parent: int = 0) -> WdfObject:
    """Return a new object without contexts."""
    state = framework(context)
    while state.next_handle in state.objects:
        state.next_handle += HANDLE_STEP
    made = WdfObject(state.next_handle, kind)
    state.next_handle += HANDLE_STEP
    state.objects[made.handle] = made
    _adopt(state, made, parent)
    return made


def _adopt(state: Framework, child: WdfObject, parent: int) -> None:
    child.parent = parent
    if parent in state.objects and parent != child.handle:
        state.objects[parent].children.append(child.handle)


def find(context: Context, handle: int, kind: str) -> WdfObject:
    """Return the object behind a handle, made up when the framework never gave the handle out."""
    objects = framework(context).objects
    found = objects.get(handle)
    if found is None:
        found = WdfObject(handle, kind, is_foreign=True)
        if len(objects) < MAX_OBJECTS:
            objects[handle] = found
    elif found.kind == "WDFOBJECT":
        found.kind = kind
    return found


def related(context: Context, owner: WdfObject, name: str, kind: str) -> WdfObject:
    """Return the object that `owner` refers to by a name, made up where nothing says which one that is."""
    handle = owner.get(name)
    if handle:
        return find(context, handle, kind)
    made = make(context, kind)
    made.is_foreign = True
    owner.values[name] = made.handle
    return made


# -- attributes --


def attributes(context: Context, address: int) -> Config:
    """Return the WDF_OBJECT_ATTRIBUTES that a driver passed, or none (WDF_NO_OBJECT_ATTRIBUTES)."""
    return config(context, address, OBJECT_ATTRIBUTES)


def create(context: Context, kind: str, attributes_address: int, parent: int = 0) -> WdfObject:
    """Return a new object as its attributes want it, below `parent` unless they name another one."""
    given = attributes(context, attributes_address)
    made = make(context, kind, given["ParentObject"] or parent or framework(context).driver)
    add_context(context, made, given)
    return made


def add_context(context: Context, owner: WdfObject, given: Config, *, zeroed: bool = True) -> int:
    """Give an object the context and the callbacks that attributes describe; returns the context's address or 0."""
    for name, callbacks in (("EvtCleanupCallback", owner.cleanup), ("EvtDestroyCallback", owner.destroy)):
        if given[name]:
            callbacks.append(given[name])
            context.root(given[name], name, name, owner.handle)
    type_address = given["ContextTypeInfo"]
    if not type_address:
        return 0
    info = config(context, type_address, CONTEXT_TYPE_INFO)
    size = given["ContextSizeOverride"] or info["ContextSize"]
    return put_context(context, owner, info["UniqueType"] or type_address, size, zeroed=zeroed)


def put_context(context: Context, owner: WdfObject, unique_type: int, size: int, *, zeroed: bool) -> int:
    """Allocate a context area of a type; returns its address."""
    area = context.allocate(min(size, MAX_COPY), zeroed=zeroed)
    owner.contexts[unique_type] = area
    framework(context).owners[area] = owner.handle
    return area


def typed_context(context: Context, handle: int, type_address: int) -> int:
    """Return the address of an object's context of a type, 0 when it has none."""
    owner = find(context, handle, "WDFOBJECT")
    info = config(context, type_address, CONTEXT_TYPE_INFO)
    unique = info["UniqueType"] or type_address
    if unique in owner.contexts or not (owner.is_foreign or owner.has_past):
        return owner.contexts.get(unique, 0)
    return put_context(context, owner, unique, info["ContextSize"], zeroed=False)


# -- life and death --


def delete(context: Context, doomed: WdfObject, depth: int = 0) -> None:
    """Delete an object: cleanup callbacks of its children and its own, then destroy callbacks without references."""
    if doomed.is_deleted:
        return
    doomed.is_deleted = True
    objects = framework(context).objects
    for handle in list(doomed.children) if depth < MAX_DEPTH else ():
        if handle in objects:
            delete(context, objects[handle], depth + 1)
    for callback in doomed.cleanup:
        context.invoke(callback, doomed.handle)
    release(context, doomed)


def release(context: Context, owner: WdfObject) -> None:
    """Take one reference away; the last one calls the destroy callbacks."""
    owner.references -= 1
    if owner.references == 0 and owner.is_deleted:
        for callback in owner.destroy:
            context.invoke(callback, owner.handle)
