"""The container of a PDB 7.00 file (MSF): checked before pdbparse reads it, streams handed out bounded."""

from __future__ import annotations

import struct
from pathlib import Path

import pdbparse

from stackemu.emu.symbols.cursor import Cursor, FormatError

MAX_FILE_SIZE = 4 << 30
"""Bytes; the format itself ends there for pages of 4 KiB in the versions that drivers are built with."""
MAX_DIRECTORY_SIZE = 4 << 20
"""Bytes of the stream directory; a PDB of 2 GiB has about half of it."""
MAX_STREAMS = 0xFFFF
"""Streams are numbered with 16 bits, and 0xFFFF means none."""

_SIGNATURE = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
_OLD_SIGNATURE = b"Microsoft C/C++ program database 2.00"
_SUPERBLOCK_SIZE = 56
_PAGE_SIZES = frozenset({512, 1024, 2048, 4096, 8192, 16384, 32768, 65536})


class Container:
    """The streams of one PDB file, each read when it is asked for.

    All the streams together may be asked for no more than twice the file's size, so that a file
    whose streams share their pages cannot fill the memory.
    """

    def __init__(self, path: Path) -> None:
        """Read the stream directory of `path`.

        Raises `FormatError` where it is no PDB 7.00 file, or one that is cut short before its
        directory, and `OSError` where it cannot be read.
        """
        self._path = path
        self._what = f"PDB {path.name}"
        self.warnings: list[str] = []
        self.file_size = path.stat().st_size
        self._budget = 2 * self.file_size
        with path.open("rb") as file:
            head = file.read(_SUPERBLOCK_SIZE)
        self._page_size, pages = _check_superblock(head, self.file_size, self._what)
        if pages * self._page_size > self.file_size:
            self.warnings.append(
                f"{self._what} is cut short: expected {pages * self._page_size} bytes, got {self.file_size}"
            )
        self._streams = self._read_directory()

    def _read_directory(self) -> list[tuple[int, tuple[int, ...]]]:
        """Return size and pages of every stream, as pdbparse reads them."""
        with self._path.open("rb") as file:
            try:
                pdb = pdbparse.PDB7(file, fast_load=True)
            except (struct.error, ValueError, IndexError, AssertionError, OverflowError) as error:
                # Only pdbparse's reading of the directory stands here: short reads and bad counts.
                problem = f"the stream directory cannot be read ({error})"
                raise FormatError(self._what, None, problem) from error
        if len(pdb.streams) > MAX_STREAMS:
            problem = f"expected at most {MAX_STREAMS} streams, got {len(pdb.streams)}"
            raise FormatError(self._what, None, problem)
        return [(int(stream.size), tuple(stream.pages)) for stream in pdb.streams]

    def stream(self, index: int, name: str) -> bytes | None:
        """Return the bytes of a stream, None where there is no such stream.

        A stream with pages past the end of the file raises `FormatError`, which names it as `name`.
        The pages are joined here: pdbparse's own `data` takes time quadratic in their number.
        """
        if not 0 <= index < len(self._streams):
            return None
        size, pages = self._streams[index]
        if size > self.file_size:
            raise FormatError(self._what, None, f"{name} stream: expected at most {self.file_size} bytes, got {size}")
        last = max(pages, default=0)
        if (last + 1) * self._page_size > self.file_size and pages:
            raise FormatError(self._what, None, f"{name} stream: page {last} lies past the end of the file")
        self._budget -= size
        if self._budget < 0:
            raise FormatError(self._what, None, "the streams together are larger than twice the file")
        with self._path.open("rb") as file:
            parts: list[bytes] = []
            for page in pages:
                file.seek(page * self._page_size)
                parts.append(file.read(self._page_size))
        data = b"".join(parts)[:size]
        if len(data) != size:
            raise FormatError(self._what, None, f"{name} stream: expected {size} bytes, got {len(data)}")
        return data


def _check_superblock(head: bytes, file_size: int, what: str) -> tuple[int, int]:
    """Return page size and number of pages, having checked all that pdbparse takes for granted.

    Raises `FormatError`.
    """
    if head.startswith(_OLD_SIGNATURE):
        raise FormatError(what, 0, "expected PDB 7.00, got PDB 2.00, which is not supported")
    if not head.startswith(_SIGNATURE):
        raise FormatError(what, 0, "expected the signature of a PDB 7.00 file, got something else")
    if file_size > MAX_FILE_SIZE:
        raise FormatError(what, None, f"expected at most {MAX_FILE_SIZE} bytes, got {file_size}")
    cursor = Cursor(head, what, len(_SIGNATURE))
    page_size = cursor.u32()
    if page_size not in _PAGE_SIZES:
        raise cursor.error(f"expected a page size from 512 to 65536, got {page_size}")
    cursor.skip(4)  # which free-page map is in use
    pages, directory_size = cursor.u32(), cursor.u32()
    limit = min(MAX_DIRECTORY_SIZE, file_size)
    if directory_size > limit:
        raise cursor.error(f"expected a directory of at most {limit} bytes, got {directory_size}")
    return page_size, pages
