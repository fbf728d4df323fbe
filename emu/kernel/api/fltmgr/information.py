"""What a file system answers about files, directories and volumes, as structures of the information classes.

FILE_INFORMATION_CLASS, FS_INFORMATION_CLASS and their structures: ntifs.h and "File System Structures" in the WDK.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.call import Context

STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_INFO_CLASS = 0xC0000004, 0xC0000003
STATUS_BUFFER_OVERFLOW, STATUS_NO_MORE_FILES, STATUS_NO_SUCH_FILE = 0x80000005, 0x80000006, 0xC000000F
FILE_PATH = "\\Directory\\File.txt"
"""Path of the file that operations are about, behind its volume's name."""
_TIME = 0x01CC_0000_0000_0000
"""In 2011, as intervals of 100 nanoseconds since 1601."""
_TIMES = struct.pack("<QQQQ", _TIME, _TIME + 1, _TIME + 2, _TIME + 3)
_DIRECTORY, _ARCHIVE, _REPARSE = 0x10, 0x20, 0x400
_REPARSE_TAG_SYMLINK = 0xA000000C
_FILE_ID = 0x0001_0000_0000_2A5C
_SIZES = (0x1234, 0, 0x1_0000_0000, 0x10)
_CLUSTER = 0x1000
_ALIGNMENT = 8
_ENTRIES = ("File.txt", "long file name.docx", "Directory", "x")
_LONG_NAME, _SHORT_NAME = "Long Directory Name", "LONGDI~1"
_LABEL, _SYSTEM_NAME = "System", "NTFS"
_SERIAL = 0x5C12A7F3


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of a structure; as many as `fixed` must fit into the caller's buffer, the rest may be cut off."""

    data: bytes
    fixed: int


@dataclass(frozen=True, slots=True)
class _File:
    """What is true of the file that is asked about."""

    size: int
    attributes: int
    is_deleted: bool
    name: bytes

    @property
    def allocated(self) -> int:
        return (self.size + _CLUSTER - 1) & -_CLUSTER

    @property
    def is_directory(self) -> bool:
        return bool(self.attributes & _DIRECTORY)


def _text(text: str) -> bytes:
    return text.encode("utf-16-le")


def _file(context: Context) -> _File:
    return _File(
        size=pick(context, _SIZES, 1),
        attributes=pick(context, (_ARCHIVE, _DIRECTORY, _ARCHIVE | _REPARSE), 2),
        is_deleted=pick(context, (False, False, False, True), 3),
        name=_text(FILE_PATH),
    )


# -- files --


def _basic(file: _File) -> bytes:
    return _TIMES + struct.pack("<II", file.attributes, 0)


def _standard(file: _File) -> bytes:
    return struct.pack("<QQIBBH", file.allocated, file.size, 1, file.is_deleted, file.is_directory, 0)


def _name(file: _File) -> bytes:
    return struct.pack("<I", len(file.name)) + file.name


def _all(file: _File) -> bytes:
    internal_to_alignment = struct.pack("<QIIQII", _FILE_ID, 0, 0x12019F, 0, 0x20, 0)
    return _basic(file) + _standard(file) + internal_to_alignment + _name(file)


def _streams(file: _File) -> bytes:
    """The unnamed stream, and one with a name."""
    names = (_text("::$DATA"), _text(":Zone.Identifier:$DATA"))
    return chain(struct.pack("<IQQ", len(name), file.size, file.allocated) + name for name in names)


def _network_open(file: _File) -> bytes:
    return _TIMES + struct.pack("<QQII", file.allocated, file.size, file.attributes, 0)


def _tag(file: _File) -> bytes:
    return struct.pack("<II", file.attributes, _REPARSE_TAG_SYMLINK if file.attributes & _REPARSE else 0)


def _rename(_file: _File) -> bytes:
    name = _text("\\??\\C:\\Directory\\New.txt")
    return struct.pack("<III", 1, 0, len(name)) + name


def _constant(data: bytes) -> Callable[[_File], bytes]:
    def make(_file: _File) -> bytes:
        return data

    return make


def _file_size(file: _File) -> bytes:
    return struct.pack("<Q", file.size)


_FILE_CLASSES: Mapping[int, tuple[Callable[[_File], bytes], int]] = {
    4: (_basic, 40),
    5: (_standard, 24),
    6: (_constant(struct.pack("<Q", _FILE_ID)), 8),
    7: (_constant(bytes(4)), 4),
    8: (_constant(struct.pack("<I", 0x12019F)), 4),
    9: (_name, 8),
    10: (_rename, 16),
    11: (_rename, 16),
    13: (_constant(b"\1"), 1),
    14: (_constant(bytes(8)), 8),
    16: (_constant(struct.pack("<I", 0x20)), 4),
    17: (_constant(bytes(4)), 4),
    18: (_all, 104),
    19: (_file_size, 8),
    20: (_file_size, 8),
    21: (_constant(struct.pack("<I", 16) + _text("FILE~1.T")), 8),
    22: (_streams, 24),
    34: (_network_open, 56),
    35: (_tag, 8),
    39: (_file_size, 8),
    48: (_name, 8),
    59: (_constant(struct.pack("<QQQ", _SERIAL, _FILE_ID, 0)), 24),
    64: (_constant(struct.pack("<I", 1)), 4),
    65: (_rename, 16),
}
"""Maker and fixed bytes of each FILE_INFORMATION_CLASS that is asked for or set."""


def file_information(context: Context, kind: int) -> Answer | None:
    """Return what the file system says of a file, None for a class that it does not know."""
    known = _FILE_CLASSES.get(kind)
    return Answer(known[0](_file(context)), known[1]) if known is not None else None


# -- directories --


def chain(bodies: Iterable[bytes]) -> bytes:
    """Join entries that each begin with NextEntryOffset: bytes to the next one, 0 in the last."""
    entries = list(bodies)
    data = b""
    for index, body in enumerate(entries):
        size = (4 + len(body) + _ALIGNMENT - 1) & -_ALIGNMENT
        is_last = index == len(entries) - 1
        data += struct.pack("<I", 0 if is_last else size) + body
        if not is_last:
            data += bytes(size - 4 - len(body))
    return data


def _entry_head(name: str) -> bytes:
    attributes = _ARCHIVE if "." in name.strip(".") else _DIRECTORY
    size = 0x1234 if attributes == _ARCHIVE else 0
    sizes = struct.pack("<QQ", size, (size + _CLUSTER - 1) & -_CLUSTER)
    return bytes(4) + _TIMES + sizes + struct.pack("<II", attributes, 2 * len(name))


def _short_name(name: str) -> bytes:
    short = _text(name if len(name) <= 12 else _SHORT_NAME)
    return struct.pack("<Bx24s", len(short), short)


_ENTRY_CLASSES: Mapping[int, Callable[[str], bytes]] = {
    1: lambda name: _entry_head(name) + _text(name),
    2: lambda name: _entry_head(name) + bytes(4) + _text(name),
    3: lambda name: _entry_head(name) + bytes(4) + _short_name(name) + _text(name),
    12: lambda name: struct.pack("<II", 0, 2 * len(name)) + _text(name),
    37: lambda name: (
        _entry_head(name) + bytes(4) + _short_name(name) + bytes(2) + struct.pack("<Q", _FILE_ID) + _text(name)
    ),
    38: lambda name: _entry_head(name) + bytes(8) + struct.pack("<Q", _FILE_ID) + _text(name),
}
"""What makes an entry of each class, without its NextEntryOffset."""


def directory_entries(kind: int, room: int, pattern: str, *, single: bool) -> Answer | None:
    """Return the entries of a directory that fit into `room` bytes, None for a class that it does not know.

    A pattern without wildcards names one entry; its short name is answered with the long one.
    """
    make = _ENTRY_CLASSES.get(kind)
    if make is None:
        return None
    names = list(_ENTRIES)
    if pattern and not set(pattern) & set('*?<>"'):
        names = [_LONG_NAME if "~" in pattern else pattern]
    bodies = [make(name) for name in names[: 1 if single else None]]
    fixed = 4 + len(make(""))
    while len(bodies) > 1 and len(chain(bodies)) > room:
        bodies.pop()
    return Answer(chain(bodies), fixed)


# -- volumes --


_VOLUME_CLASSES: Mapping[int, tuple[bytes, int]] = {
    1: (struct.pack("<QIIBx", _TIME, _SERIAL, 2 * len(_LABEL), 1) + _text(_LABEL), 18),
    2: (struct.pack("<I", 2 * len(_LABEL)) + _text(_LABEL), 4),
    3: (struct.pack("<QQII", 0x100000, 0x40000, 8, 512), 24),
    4: (struct.pack("<II", 7, 0x20), 8),
    5: (struct.pack("<III", 0x00C706FF, 255, 2 * len(_SYSTEM_NAME)) + _text(_SYSTEM_NAME), 12),
    6: (bytes(48), 48),
    7: (struct.pack("<QQQII", 0x100000, 0x40000, 0x40000, 8, 512), 32),
    8: (struct.pack("<QQ48x", _FILE_ID, _SERIAL), 64),
    11: (struct.pack("<IIIIIII", 512, 4096, 512, 4096, 3, 0, 0), 28),
}
"""Structure and fixed bytes of each FS_INFORMATION_CLASS."""


def volume_information(kind: int) -> Answer | None:
    """Return what the file system says of its volume, None for a class that it does not know."""
    known = _VOLUME_CLASSES.get(kind)
    return Answer(*known) if known is not None else None


def deliver(context: Context, answer: Answer | None, address: int, length: int) -> tuple[int, int]:
    """Write an answer into a buffer of `length` bytes; returns the status and how many bytes were written."""
    if answer is None:
        return STATUS_INVALID_INFO_CLASS, 0
    if length < answer.fixed:
        return STATUS_INFO_LENGTH_MISMATCH, 0
    data = answer.data[:length]
    context.write(address, data)
    return (STATUS_BUFFER_OVERFLOW if len(data) < len(answer.data) else 0), len(data)
