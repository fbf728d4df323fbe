"""Registry callbacks: a driver's routine that hears of every registry operation, with that operation's structure.

REG_NOTIFY_CLASS and the REG_*_INFORMATION structures of wdm.h; pages of CmRegisterCallbackEx, EX_CALLBACK_FUNCTION
and CmCallbackGetKeyObjectIDEx in the WDK. On x86 every field is one word.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.irql import APC_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

STATUS_FLT_INSTANCE_ALTITUDE_COLLISION = 0xC01C0011
_KEY_NAMES = (
    "\\REGISTRY\\MACHINE\\SOFTWARE\\Sample",
    "\\REGISTRY\\MACHINE\\SYSTEM\\CurrentControlSet\\Services\\Sample\\Parameters",
    "\\REGISTRY\\USER\\S-1-5-21-1-2-3-1001\\Software\\Sample",
)
_VALUE_NAMES = ("Start", "ImagePath", "")
_VALUE = "C:\\Windows\\System32\\sample.dll\0".encode("utf-16-le")
_KEY_OBJECT_SIZE = 0x80
_OUTPUT_SIZE = 0x100
_FIRST_COOKIE = 0x01D6_0000_0000_0001

_TAIL = ("zero", "zero", "zero")
"""CallContext, ObjectContext, Reserved."""
_PATHS = ("key name",)
_CREATED = ("key name", "key", "success")
_CREATE = (
    "key name", "key", "object", "zero", "class", "object", "zero", "access", "access",
    "number", "result", "zero", "zero", "zero", "version", "key name", "zero", "attributes", "mode",
)  # fmt: skip
"""REG_CREATE_KEY_INFORMATION_V1, which begins with REG_CREATE_KEY_INFORMATION."""
_QUERY = ("information class", "output", "output size", "number")
_LOAD = ("key name", "key name", "zero", "zero", "zero", "access", "result")

_FIELDS: Mapping[int, tuple[str, ...]] = {
    0: ("key", *_TAIL),
    1: ("key", "value name", "zero", "value type", "value", "value size", *_TAIL),
    2: ("key", "value name", *_TAIL),
    3: ("key", "zero", "output", "output size", *_TAIL),
    4: ("key", "value name", *_TAIL),
    5: ("key", "index", *_QUERY, *_TAIL),
    6: ("key", "index", *_QUERY, *_TAIL),
    7: ("key", *_QUERY, *_TAIL),
    8: ("key", "value name", *_QUERY, *_TAIL),
    9: ("key", "output", "mode", "output", "number", "number", *_TAIL),
    10: _PATHS,
    11: _CREATED,
    12: _PATHS,
    13: _CREATED,
    14: ("key", *_TAIL),
    26: _CREATE,
    28: _CREATE,
    30: ("key", *_TAIL),
    32: ("key", *_LOAD, *_TAIL),
    34: ("key", "zero", *_TAIL),
    36: ("key", "number", "output", "number", *_TAIL),
    38: ("key", "number", "output", *_TAIL),
    40: ("key", "zero", "zero"),
    41: ("key", "file", "zero", *_TAIL),
    43: ("key", "file", "zero", *_TAIL),
    45: ("key", "key name", "key name", *_TAIL),
    47: ("key", "output", "output size", "number", *_TAIL),
}
"""What the words of each class's structure hold."""

_POST_OF: Mapping[int, int] = {
    **{15 + pre: pre for pre in range(10)},
    25: 14,
    **{pre + 1: pre for pre in (26, 28, 30, 32, 34, 36, 38, 41, 43, 45, 47)},
}
"""Classes that are told of an operation after it, with the class that was told before."""
CLASSES = tuple(sorted((*_FIELDS, *_POST_OF)))


@dataclass(slots=True)
class RegistryCallbacks:
    """Routines registered, by cookie, and contexts that were set on key objects, by (cookie, object)."""

    registered: dict[int, int] = field(default_factory=dict)
    contexts: dict[tuple[int, int], int] = field(default_factory=dict)


# -- the driver's calls --


def _register(context_at: int, cookie_at: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        limit_irql(call, APC_LEVEL)
        function, context, cookie = call.arguments[0], call.arguments[context_at], call.arguments[cookie_at]
        if not call.succeeds:
            call.complete(pick(call, (call.failure(), STATUS_FLT_INSTANCE_ALTITUDE_COLLISION)))
            return
        registered = call.state(RegistryCallbacks).registered
        number = _FIRST_COOKIE + len(registered)
        registered[number] = function
        call.put_u64(cookie, number)
        call.root(function, "registry callback", "registry-callback", context)

    return behaviour


def _unregister(call: ApiCall) -> None:
    """The cookie is passed by value."""
    cookie = call.arguments[0] | call.arguments[1] << 32
    if call.state(RegistryCallbacks).registered.pop(cookie, None) is None:
        call.complete(STATUS_INVALID_PARAMETER)


def _version(call: ApiCall) -> None:
    for address, number in zip(call.arguments[:2], (1, 0), strict=True):
        call.put_optional(address, number)


def _object_name(call: ApiCall) -> None:
    """CmCallbackGetKeyObjectID and its successor: id and full name of a key object, each of them optional."""
    _cookie, key, identifier, name = call.arguments[:4]
    if not call.succeeds or not key:
        call.complete(STATUS_INVALID_PARAMETER)
        return
    call.put_optional(identifier, key)
    call.put_optional(name, _text(call, pick(call, _KEY_NAMES)) if name else 0)


def _set_context(call: ApiCall) -> None:
    key, cookie, new, old = call.arguments[:4]
    if not call.succeeds:
        call.fail()
        return
    contexts = call.state(RegistryCallbacks).contexts
    place = call.u64(cookie), key
    call.put_optional(old, contexts.get(place, 0))
    contexts[place] = new


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see; null for what returns a pointer."""


# -- the kernel's calls --


def _callback(context: Context, root: Root) -> Words:
    """(CallbackContext, Argument1: the class, Argument2: its structure)."""
    kind = pick(context, CLASSES)
    fill = _Fill(context)
    if kind in _POST_OF:
        # Object, Status, PreInformation, ReturnStatus, CallContext, ObjectContext, Reserved
        status = pick(context, (0, 0xC0000034), 1)
        address = fill.words((fill.key, status, fill.structure(_FIELDS[_POST_OF[kind]]), status, 0, 0, 0))
    else:
        address = fill.structure(_FIELDS[kind])
    return Words((root.context[0], kind, address))


class _Fill:
    """Makes the structures of one call."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.key = context.allocate(_KEY_OBJECT_SIZE)

    def words(self, words: tuple[int, ...]) -> int:
        """Return the address of new memory that holds these words."""
        address = self._context.allocate(4 * len(words))
        self._context.write(address, struct.pack(f"<{len(words)}I", *words))
        return address

    def structure(self, fields: tuple[str, ...]) -> int:
        """Return the address of a new structure."""
        return self.words(tuple(self._word(kind) for kind in fields))

    def _word(self, kind: str) -> int:
        context = self._context
        constants = {
            "zero": 0, "key": self.key, "success": 0, "version": 1, "mode": 1, "access": 0x20019, "attributes": 0x40,
            "value size": len(_VALUE), "output size": _OUTPUT_SIZE,
        }  # fmt: skip
        if kind in constants:
            return constants[kind]
        makers: Mapping[str, Callable[[], int]] = {
            "key name": lambda: _text(context, pick(context, _KEY_NAMES, 2)),
            "value name": lambda: _text(context, pick(context, _VALUE_NAMES, 3)),
            "class": lambda: _text(context, ""),
            "value type": lambda: pick(context, (1, 4, 3, 7), 4),
            "information class": lambda: pick(context, (0, 1, 2), 5),
            "index": lambda: pick(context, (0, 1, 7), 6),
            "value": self._value,
            "output": lambda: context.allocate(_OUTPUT_SIZE, zeroed=False),
            "number": lambda: self.words((_OUTPUT_SIZE,)),
            "result": lambda: self.words((self.key,)),
            "object": lambda: context.allocate(_KEY_OBJECT_SIZE),
            "file": lambda: 0x80000124,
        }
        return makers[kind]()

    def _value(self) -> int:
        address = self._context.allocate(len(_VALUE))
        self._context.write(address, _VALUE)
        return address


def _text(context: Context, text: str) -> int:
    address = context.new("UNICODE_STRING").address
    context.put_counted(address, text.encode("utf-16-le"))
    return address


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "CmRegisterCallback": _register(1, 2),
    "CmRegisterCallbackEx": _register(3, 4),
    "CmUnRegisterCallback": _unregister,
    "CmGetCallbackVersion": _version,
    "CmCallbackGetKeyObjectID": _object_name,
    "CmCallbackGetKeyObjectIDEx": _object_name,
    "CmCallbackReleaseKeyObjectIDEx": _nothing,
    "CmGetBoundTransaction": _nothing,
    "CmSetCallbackObjectContext": _set_context,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"registry-callback": _callback}
