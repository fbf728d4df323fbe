"""What the kernel's exported variables hold when they are more than numbers: object types, identifiers, tables."""

from __future__ import annotations

import struct

from stackemu.emu.kernel.exports import exports
from stackemu.emu.kernel.function_pointers import HAL_DISPATCH, exported_function, function_pointer


class Room:
    """Memory of one protection under construction: what is added lies behind what was added before."""

    def __init__(self, base: int) -> None:
        """Start with nothing at address `base`."""
        self.base = base
        self.data = bytearray()

    @property
    def next(self) -> int:
        """Return the address that the next addition will have."""
        return self.base + (len(self.data) + 7 & -8)

    def add(self, data: bytes) -> int:
        """Add bytes, aligned to eight; returns their address."""
        address = self.next
        self.data += bytes(address - self.base - len(self.data)) + data
        return address


def words(*values: int) -> bytes:
    """Return 32-bit words."""
    return struct.pack(f"<{len(values)}I", *values)


# -- object types --

OBJECT_TYPES = {
    "SeTokenObjectType": ("Token", 5),
    "PsJobType": ("Job", 6),
    "PsProcessType": ("Process", 7),
    "PsThreadType": ("Thread", 8),
    "ExEventObjectType": ("Event", 12),
    "ExSemaphoreObjectType": ("Semaphore", 16),
    "ExWindowStationObjectType": ("WindowStation", 20),
    "ExDesktopObjectType": ("Desktop", 21),
    "IoAdapterObjectType": ("Adapter", 23),
    "IoDeviceObjectType": ("Device", 25),
    "IoDriverObjectType": ("Driver", 26),
    "IoFileObjectType": ("File", 28),
    "TmTransactionManagerObjectType": ("TmTm", 29),
    "TmTransactionObjectType": ("TmTx", 30),
    "TmResourceManagerObjectType": ("TmRm", 31),
    "TmEnlistmentObjectType": ("TmEn", 32),
    "MmSectionObjectType": ("Section", 33),
    "CmKeyObjectType": ("Key", 35),
    "LpcPortObjectType": ("ALPC Port", 36),
    "IoDeviceHandlerObjectType": ("DeviceHandler", 37),
}
"""Name and index of each type by the variable that points to it, as Windows 7 numbers them."""
_OBJECT_TYPE_SIZE = 0x88
_NAME, _INDEX, _KEY, _CALLBACKS = 0x08, 0x14, 0x7C, 0x80
"""Fields of OBJECT_TYPE in Windows 7's public symbols: UNICODE_STRING, UCHAR, ULONG, LIST_ENTRY."""


def object_type(room: Room, variable: str) -> int:
    """Add an OBJECT_TYPE; returns its address."""
    name, index = OBJECT_TYPES[variable]
    text = name.encode("utf-16-le")
    buffer = room.add(text + b"\0\0")
    address = room.next
    data = bytearray(_OBJECT_TYPE_SIZE)
    struct.pack_into("<II", data, 0, address, address)  # TypeList: empty
    struct.pack_into("<HHI", data, _NAME, len(text), len(text) + 2, buffer)
    data[_INDEX] = index
    data[_KEY : _KEY + 4] = name[:4].encode().ljust(4)
    struct.pack_into("<II", data, _CALLBACKS, address + _CALLBACKS, address + _CALLBACKS)
    return room.add(bytes(data))


# -- security --

_SE_EXPORTS: tuple[int | str, ...] = (
    2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 14, 11, 12, 13, 16, 17, 18, 19, 20, 21, 22, 23, 24,
    "S-1-0-0", "S-1-1-0", "S-1-2-0", "S-1-3-0", "S-1-3-1", "S-1-5", "S-1-5-1", "S-1-5-2", "S-1-5-3", "S-1-5-4",
    "S-1-5-18", "S-1-5-32-544", "S-1-5-32-545", "S-1-5-32-546", "S-1-5-32-547", "S-1-5-32-548", "S-1-5-32-549",
    "S-1-5-32-550", "S-1-5-32-551", "S-1-5-11", "S-1-5-12", "S-1-5-7",
    25, 26, 27, "S-1-5-19", "S-1-5-20", 28, 29, 30, 31, 32, 33, 34, 35,
    "S-1-5-17", "S-1-16-0", "S-1-16-4096", "S-1-16-8192", "S-1-16-12288", "S-1-16-16384", "S-1-3-4",
)  # fmt: skip
"""SE_EXPORTS (ntifs.h): privileges as LUIDs (numbers: wdm.h) and pointers to well-known SIDs, in their order."""
_ACL_REVISION = 2
_GENERIC_ALL, _GENERIC_EXECUTE, _READ_EXECUTE_CONTROL = 0x10000000, 0x20000000, 0xA0020000
_WORLD, _SYSTEM, _ADMINISTRATORS = "S-1-1-0", "S-1-5-18", "S-1-5-32-544"
PUBLIC_DACL = ((_WORLD, _GENERIC_EXECUTE), (_SYSTEM, _GENERIC_ALL), (_ADMINISTRATORS, _GENERIC_ALL))
SYSTEM_DACL = ((_SYSTEM, _GENERIC_ALL), (_ADMINISTRATORS, _READ_EXECUTE_CONTROL))


def sid(text: str) -> bytes:
    """Return the SID of a text such as S-1-5-18."""
    revision, authority, *rest = (int(part) for part in text.split("-")[1:])
    return bytes((revision, len(rest))) + authority.to_bytes(6, "big") + words(*rest)


def security_exports(room: Room) -> int:
    """Add SE_EXPORTS and the SIDs that it points to; returns its address."""
    fields = (words(one, 0) if isinstance(one, int) else words(room.add(sid(one))) for one in _SE_EXPORTS)
    return room.add(b"".join(fields))


def access_list(room: Room, entries: tuple[tuple[str, int], ...]) -> int:
    """Add an ACL that allows; `entries` are SID and access mask. Returns its address."""
    body = b"".join(struct.pack("<BBHI", 0, 0, 8 + len(sid(who)), mask) + sid(who) for who, mask in entries)
    return room.add(struct.pack("<BBHHH", _ACL_REVISION, 0, 8 + len(body), len(entries), 0) + body)


# -- characters --

_FAT, _HPFS, _NTFS, _WILD, _OLE = 0x01, 0x02, 0x04, 0x08, 0x10
"""FSRTL_FAT_LEGAL and its kin (ntifs.h)."""
_EVERYWHERE = _FAT | _HPFS | _NTFS | _OLE
_CHARACTERS = {
    "\0/\\": 0,
    '"*<>?': _WILD | _OLE,
    "+,;=[]": _HPFS | _NTFS | _OLE,
    "!.": _FAT | _HPFS | _NTFS,
    ":": _NTFS,
    "|": _OLE,
    "".join(map(chr, range(1, 0x20))): _OLE,
}
"""Where the characters that are not legal everywhere are."""


def legal_characters(room: Room) -> int:
    """Add the 128 bytes that say where each ANSI character is legal in names; returns their address."""
    legal = bytearray([_EVERYWHERE] * 0x80)
    for characters, flags in _CHARACTERS.items():
        for character in characters:
            legal[ord(character)] = flags
    return room.add(bytes(legal))


# -- tables of functions --

_HAL_DISPATCH_VERSION = 4
_PRIVATE_DISPATCH_ENTRIES = 0x40


def hal_dispatch() -> bytes:
    """Return HAL_DISPATCH (ntddk.h): version, three functions, a spare word, the other functions."""
    functions = [function_pointer(api.name) for api in HAL_DISPATCH]
    return words(_HAL_DISPATCH_VERSION, *functions[:3], 0, *functions[3:])


def hal_private_dispatch() -> bytes:
    """Return the HAL's private table: what its functions are is not public, so all have one stub."""
    return words(1, *[function_pointer("HAL_PRIVATE_DISPATCH")] * _PRIVATE_DISPATCH_ENTRIES)


def service_table(room: Room) -> bytes:
    """Return KSERVICE_TABLE_DESCRIPTOR[2]: base, counters, services, bytes of arguments; the second is unused.

    The services are the exported ones in alphabetical order, which is how Windows 7 numbers them.
    """
    services = sorted((api.name, api.stack_bytes) for api in exports() if api.name.startswith("Nt"))
    base = room.add(words(*(exported_function(name) or 0 for name, _ in services)))
    sizes = room.add(bytes(size for _, size in services))
    return words(base, 0, len(services), sizes, 0, 0, 0, 0)
