"""The registry: a tree of keys in memory, opened by handle, made, renamed and deleted with ZwCreateKey and its kin.

Pages of ZwCreateKey, ZwOpenKeyEx, ZwDeleteKey, ZwNotifyChangeKey and IoOpenDriverRegistryKey in the WDK. The driver's
service key exists; whether there are others that it did not make is the input's to say. What is in a key that the
driver made is known: nothing but what it put there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from stackemu.emu.inputs import STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.object_manager import OBJ_KERNEL_HANDLE, STATUS_INVALID_HANDLE
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.handles import Handles, object_of, open_handle
from stackemu.emu.kernel.objects import registry_path

STATUS_OBJECT_NAME_NOT_FOUND, STATUS_CANNOT_DELETE, STATUS_KEY_DELETED = 0xC0000034, 0xC0000121, 0xC000017C
STATUS_PENDING, STATUS_NOTIFY_ENUM_DIR = 0x103, 0x10C
_CREATED_NEW_KEY, _OPENED_EXISTING_KEY = 1, 2
_MAX_KEYS = 1024
_MAX_PATH = 0x7FFF
"""Characters of the longest path of a key."""
_KEY_OBJECT_SIZE = 0x40
_EVENT_SIGNAL = 4
_ELSEWHERE = "\\REGISTRY\\MACHINE\\SYSTEM\\CurrentControlSet\\Enum\\ROOT\\SAMPLE\\{:04}\\Device Parameters"
"""Keys whose handles came from elsewhere, such as those of devices."""
_DRIVER_KEYS = ("Parameters", "State")
"""Below the service key: DriverRegKeyParameters, DriverRegKeyPersistentState."""


@dataclass(slots=True)
class Value:
    """A value of a key; `kind` is REG_SZ, REG_DWORD and so on."""

    name: str
    kind: int
    data: bytes


@dataclass(slots=True)
class Key:
    """A key; values are found by their names in lower case."""

    path: str
    class_name: str = ""
    is_new: bool = False
    """Whether the driver made it: nobody else has put anything into it."""
    is_deleted: bool = False
    values: dict[str, Value] = field(default_factory=dict)
    absent: dict[str, None] = field(default_factory=dict)
    """Values that the driver deleted."""
    listed: dict[str, None] = field(default_factory=dict)
    """What somebody else put here and is known in full: "keys", "values"."""

    @property
    def name(self) -> str:
        """Return the last element of the path."""
        return self.path.rpartition("\\")[2]


@dataclass(slots=True)
class Registry:
    """Keys by their paths in lower case, and by the address of the object that a handle stands for."""

    keys: dict[str, Key] = field(default_factory=dict)
    objects: dict[int, Key] = field(default_factory=dict)


# -- the tree --


def _joined(*paths: str) -> str:
    return "\\" + "\\".join(part for path in paths for part in path.split("\\") if part)


def _parent(path: str) -> str:
    return path.rpartition("\\")[0]


def add_key(context: Context, path: str, *, is_new: bool = False) -> Key:
    """Return a new key of the tree, which replaces one that was deleted."""
    key = Key(path, is_new=is_new)
    context.state(Registry).keys[path.lower()] = key
    return key


def subkeys(context: Context, key: Key) -> Iterator[Key]:
    """Yield the keys that are known to lie directly below a key."""
    parent = key.path.lower()
    for path, other in context.state(Registry).keys.items():
        if _parent(path) == parent and not other.is_deleted:
            yield other


def _is_of_service(context: Context, path: str) -> bool:
    """Return whether a key exists on every system that this driver is installed on."""
    service = context.unicode(registry_path(context)).lower()
    return path.lower() in (service, f"{service}\\parameters") or service.startswith(path.lower() + "\\")


def _is_missing(context: Context, path: str) -> bool:
    """Return whether there can be no such key: it was deleted, or the driver made its parent and not it."""
    keys = context.state(Registry).keys
    key, parent = keys.get(path.lower()), keys.get(_parent(path.lower()))
    if key is not None:
        return key.is_deleted
    return parent is not None and (parent.is_new or parent.is_deleted)


def existing_key(call: ApiCall, path: str) -> Key | None:
    """Return the key at a path; None when the call is complete, there being no such key."""
    path = _joined(path)
    if _is_missing(call, path):
        call.complete(STATUS_OBJECT_NAME_NOT_FOUND)
        return None
    return call.state(Registry).keys.get(path.lower()) or _made(call, path, is_new=False)


def created_key(call: ApiCall, path: str) -> tuple[Key | None, int]:
    """Return the key at a path, made if it must be, and its disposition; no key when the call is complete."""
    path = _joined(path)
    key = call.state(Registry).keys.get(path.lower())
    if key is not None and not key.is_deleted:
        return key, _OPENED_EXISTING_KEY
    if _is_missing(call, path):
        disposition = _CREATED_NEW_KEY
    elif _is_of_service(call, path):
        disposition = _OPENED_EXISTING_KEY
    else:
        disposition = pick(call, (_CREATED_NEW_KEY, _OPENED_EXISTING_KEY))
    return _made(call, path, is_new=disposition == _CREATED_NEW_KEY), disposition


def _made(call: ApiCall, path: str, *, is_new: bool) -> Key | None:
    if len(path) > _MAX_PATH:
        call.complete(STATUS_INVALID_PARAMETER)
        return None
    if len(call.state(Registry).keys) >= _MAX_KEYS:
        call.complete(STATUS_INSUFFICIENT_RESOURCES)
        return None
    return add_key(call, path, is_new=is_new)


# -- handles --


def key_handle(call: ApiCall, key: Key, *, is_kernel: bool = True) -> int:
    """Return a new handle to a key."""
    address = call.allocate(_KEY_OBJECT_SIZE)
    call.state(Registry).objects[address] = key
    return open_handle(call, address, is_kernel=is_kernel)


def _key_of(call: ApiCall, handle: int) -> Key:
    """Return the key that a handle stands for; one from elsewhere stands for a key that nobody here opened."""
    registry = call.state(Registry)
    address = object_of(call, handle)
    if address is None:
        address = call.state(Handles).objects[handle] = call.allocate(_KEY_OBJECT_SIZE)
    if address not in registry.objects:
        registry.objects[address] = add_key(call, _ELSEWHERE.format(len(registry.objects)))
    return registry.objects[address]


def open_key(call: ApiCall, handle: int) -> Key | None:
    """Return the key of a handle; None when the call is complete, the handle or the key being gone."""
    limit_irql(call, PASSIVE_LEVEL)
    is_closed = handle in call.state(Handles).closed
    if is_closed:
        call.note(f"{call.name}: the handle {handle:#x} was closed before")
    if is_closed or not handle:
        call.complete(STATUS_INVALID_HANDLE)
        return None
    key = _key_of(call, handle)
    if key.is_deleted:
        call.complete(STATUS_KEY_DELETED)
        return None
    return key


def usable_key(call: ApiCall) -> Key | None:
    """Return the key that the first argument stands for; None when the call is complete, or the input is against."""
    key = open_key(call, call.arguments[0])
    if key is not None and not call.succeeds:
        call.fail()
        return None
    return key


def _asked_path(call: ApiCall, attributes: int) -> tuple[str | None, int]:
    """Return path and flags of OBJECT_ATTRIBUTES; no path when the call is complete."""
    asked = call.view("OBJECT_ATTRIBUTES", attributes)
    name, flags, root = call.unicode(asked["ObjectName"]), asked["Attributes"], asked["RootDirectory"]
    if not root:
        return name, flags
    parent = open_key(call, root)
    return (None if parent is None else _joined(parent.path, name)), flags


# -- the driver's calls --


def _create(disposition_at: int) -> Callable[[ApiCall], None]:
    """(KeyHandle, DesiredAccess, ObjectAttributes, TitleIndex, Class, CreateOptions, ..., Disposition)."""

    def behaviour(call: ApiCall) -> None:
        limit_irql(call, PASSIVE_LEVEL)
        path, flags = _asked_path(call, call.arguments[2])
        class_name = call.unicode(call.arguments[4])
        if path is None:
            return
        if not call.succeeds:
            call.fail()
            return
        key, disposition = created_key(call, path)
        if key is None:
            return
        if disposition == _CREATED_NEW_KEY:
            key.class_name = class_name
        call.put_optional(call.arguments[disposition_at], disposition)
        call.put_u32(call.arguments[0], key_handle(call, key, is_kernel=bool(flags & OBJ_KERNEL_HANDLE)))

    return behaviour


def _open(call: ApiCall) -> None:
    """(KeyHandle, DesiredAccess, ObjectAttributes, ...)."""
    limit_irql(call, PASSIVE_LEVEL)
    path, flags = _asked_path(call, call.arguments[2])
    if path is None:
        return
    if not call.succeeds:
        call.fail()
        return
    key = existing_key(call, path)
    if key is not None:
        call.put_u32(call.arguments[0], key_handle(call, key, is_kernel=bool(flags & OBJ_KERNEL_HANDLE)))


def _open_of_driver(call: ApiCall) -> None:
    """IoOpenDriverRegistryKey(DriverObject, RegKeyType, DesiredAccess, Flags, DriverRegKey)."""
    which, out = call.arguments[1], call.arguments[4]
    limit_irql(call, PASSIVE_LEVEL)
    if which >= len(_DRIVER_KEYS):
        call.complete(STATUS_INVALID_PARAMETER)
    elif not call.succeeds:
        call.fail()
    else:
        key, _disposition = created_key(call, _joined(call.unicode(registry_path(call)), _DRIVER_KEYS[which]))
        if key is not None:
            call.put_u32(out, key_handle(call, key))


def _delete(call: ApiCall) -> None:
    """Handles to a deleted key stay open, and are good for nothing but closing."""
    key = usable_key(call)
    if key is None:
        return
    if any(subkeys(call, key)):
        call.complete(STATUS_CANNOT_DELETE)
    else:
        key.is_deleted = True


def _rename(call: ApiCall) -> None:
    """(KeyHandle, NewName): the keys below it move along."""
    name = call.unicode(call.arguments[1])
    key = usable_key(call)
    if key is None:
        return
    new, old = f"{_parent(key.path)}\\{name}", key.path
    keys = call.state(Registry).keys
    if not name or "\\" in name or len(new) > _MAX_PATH:
        call.complete(STATUS_INVALID_PARAMETER)
    elif new.lower() in keys and not keys[new.lower()].is_deleted:
        call.complete(STATUS_CANNOT_DELETE)
    else:
        for moved in [one for one in keys.values() if f"{one.path}\\".lower().startswith(f"{old}\\".lower())]:
            del keys[moved.path.lower()]
            moved.path = new + moved.path[len(old) :]
            keys[moved.path.lower()] = moved
        keys[old.lower()] = Key(old, is_deleted=True)


def _notify(call: ApiCall) -> None:
    """(KeyHandle, Event, ApcRoutine: a WORK_QUEUE_ITEM for callers in the kernel, ..., IoStatusBlock, ...).

    Somebody changes the key soon: who waits goes on.
    """
    event, item, _queue, block = call.arguments[1:5]
    is_asynchronous = call.arguments[9] & 0xFF
    if usable_key(call) is None:
        return
    status = call.view("IO_STATUS_BLOCK", block)
    status["Status"], status["Information"] = STATUS_NOTIFY_ENUM_DIR, 0
    known = object_of(call, event) if event else None
    if known is not None:
        call.put_u32(known + _EVENT_SIGNAL, 1)
    if item:
        work = call.view("WORK_QUEUE_ITEM", item)
        call.root(work["WorkerRoutine"], "registry change", "worker-routine", work["Parameter"])
    call.complete(STATUS_PENDING if is_asynchronous else STATUS_NOTIFY_ENUM_DIR)


def _load(call: ApiCall) -> None:
    """(TargetKey, SourceFile, ...), both OBJECT_ATTRIBUTES: the root of a hive is there from now on."""
    limit_irql(call, PASSIVE_LEVEL)
    path, _flags = _asked_path(call, call.arguments[0])
    if path is None:
        return
    if call.succeeds:
        created_key(call, path)
    else:
        call.fail()


def _on_key(call: ApiCall) -> None:
    """Work on an open key that no driver can see."""
    usable_key(call)


def _status(call: ApiCall) -> None:
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()


_SERVICES: Mapping[str, Callable[[ApiCall], None]] = {
    "CreateKey": _create(6),
    "CreateKeyTransacted": _create(7),
    "OpenKey": _open,
    "OpenKeyEx": _open,
    "OpenKeyTransacted": _open,
    "OpenKeyTransactedEx": _open,
    "DeleteKey": _delete,
    "RenameKey": _rename,
    "FlushKey": _on_key,
    "SaveKey": _on_key,
    "SaveKeyEx": _on_key,
    "RestoreKey": _on_key,
    "SetInformationKey": _on_key,
    "NotifyChangeKey": _notify,
    "LoadKey": _load,
    "LoadKeyEx": _load,
    "UnloadKey": _status,
    "UnloadKeyEx": _status,
    "ReplaceKey": _status,
}

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **{prefix + name: behaviour for name, behaviour in _SERVICES.items() for prefix in ("Zw", "Nt")},
    "IoOpenDriverRegistryKey": _open_of_driver,
}
