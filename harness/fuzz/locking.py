"""A lock on a directory that the system lets go of when its process is gone, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO


class LockedError(Exception):
    """Another process holds the lock."""


if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _give(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _take(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _give(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


def lock(path: Path) -> IO[bytes]:
    """Take the lock that a file stands for, which is made where it is missing; returns what holds it.

    Raises:
        LockedError: another process has it.
        OSError: the file cannot be opened.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    try:
        _take(file)
    except OSError as error:
        file.close()
        raise LockedError from error
    return file


def unlock(file: IO[bytes]) -> None:
    """Give the lock back."""
    _give(file)
    file.close()
