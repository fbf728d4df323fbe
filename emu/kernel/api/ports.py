"""Ports and registers of devices: reads return what the input says, writes are absorbed.

READ_PORT_ULONG, READ_REGISTER_BUFFER_UCHAR and their kin: wdm.h and their pages in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from stackemu.emu.kernel.call import MAX_COPY, ApiCall

_SIZES = {"UCHAR": 1, "USHORT": 2, "ULONG": 4}


def _read(size: int, *, is_memory: bool) -> Callable[[ApiCall], None]:
    """A device may answer each read with something else, as polling loops expect."""

    def behaviour(call: ApiCall) -> None:
        if is_memory:
            call.read(call.arguments[0], size)
        call.eax = call.draw() & ((1 << 8 * size) - 1)

    return behaviour


def _write(size: int, *, is_memory: bool) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        if is_memory:
            call.read(call.arguments[0], size)

    return behaviour


def _read_many(size: int) -> Callable[[ApiCall], None]:
    """(Port or register, Buffer, Count)."""

    def behaviour(call: ApiCall) -> None:
        _, buffer, count = call.arguments[:3]
        length = min(count * size, MAX_COPY)
        if length:
            call.write(buffer, call.read(call.allocate(length, zeroed=False), length))

    return behaviour


def _write_many(size: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        _, buffer, count = call.arguments[:3]
        call.read(buffer, min(count * size, MAX_COPY))

    return behaviour


def _behaviours() -> Iterator[tuple[str, Callable[[ApiCall], None]]]:
    for place, is_memory in (("PORT", False), ("REGISTER", True)):
        for name, size in _SIZES.items():
            yield f"READ_{place}_{name}", _read(size, is_memory=is_memory)
            yield f"WRITE_{place}_{name}", _write(size, is_memory=is_memory)
            yield f"READ_{place}_BUFFER_{name}", _read_many(size)
            yield f"WRITE_{place}_BUFFER_{name}", _write_many(size)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = dict(_behaviours())
