"""Shapes that many framework functions share: creators, readers and writers of an object's own values."""

from __future__ import annotations

from collections.abc import Callable

from stackemu.emu.kernel.api.wdf.handles import WdfObject, create, find, related
from stackemu.emu.kernel.call import ApiCall, Context

Behaviour = Callable[[ApiCall], None]

STATUS_BUFFER_TOO_SMALL = 0xC0000023
STATUS_INVALID_DEVICE_REQUEST = 0xC0000010
STATUS_NO_MORE_ENTRIES = 0x8000001A
STATUS_NOT_FOUND = 0xC0000225
STATUS_INVALID_BUFFER_SIZE = 0xC0000206


def nothing(_call: ApiCall) -> None:
    """Do what the driver cannot see."""


def status_only(call: ApiCall) -> None:
    """Succeed or fail as the input says, with no effect that the driver sees."""
    if not call.succeeds:
        call.fail()


def creator(kind: str, *, attributes: int, result: int, parent: int = 0) -> Behaviour:
    """Return a behaviour that makes an object; the numbers are the indexes of its arguments, `parent` 0 for none."""

    def behave(call: ApiCall) -> None:
        if call.succeeds:
            above = call.arguments[parent] if parent else 0
            made = create(call, kind, call.arguments[attributes], above)
            call.put_optional(call.arguments[result], made.handle)
        else:
            call.fail()

    return behave


def refers_to(kind: str, name: str, target: str) -> Behaviour:
    """Return a behaviour that answers with the handle that the object of argument 1 refers to."""

    def behave(call: ApiCall) -> None:
        call.eax = related(call, find(call, call.arguments[1], kind), name, target).handle

    return behave


def parent_of(kind: str) -> Behaviour:
    """Return a behaviour that answers with the parent of the object of argument 1."""

    def behave(call: ApiCall) -> None:
        call.eax = parent_object(call, find(call, call.arguments[1], kind)).handle

    return behave


def parent_object(context: Context, child: WdfObject, kind: str = "WDFOBJECT") -> WdfObject:
    """Return an object's parent, made up where nothing says which one that is."""
    if not child.parent:
        child.parent = related(context, child, "parent", kind).handle
    return find(context, child.parent, kind)


def setter(kind: str, name: str, index: int = 2) -> Behaviour:
    """Return a behaviour that keeps an argument as a value of the object of argument 1."""

    def behave(call: ApiCall) -> None:
        find(call, call.arguments[1], kind).values[name] = call.arguments[index]

    return behave


def getter(kind: str, name: str) -> Behaviour:
    """Return a behaviour that answers with a value of the object of argument 1, 0 when it was never set."""

    def behave(call: ApiCall) -> None:
        owner = find(call, call.arguments[1], kind)
        call.eax = call.draw() if owner.is_foreign and name not in owner.values else owner.get(name)

    return behave


def drawn(low: int, high: int) -> Behaviour:
    """Return a behaviour that answers with a number of the input's choice in a range."""

    def behave(call: ApiCall) -> None:
        call.eax = choose(call, 0, low, high)

    return behave


def choose(context: Context, key: int, low: int, high: int) -> int:
    """Return a number of the input's choice from `low` to `high`; one that lies there is taken as it is."""
    value = context.draw(key)
    return value if low <= value <= high else low + value % (high - low + 1)
