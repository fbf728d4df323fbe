"""Hardware as the HAL shows it: ports, registers and bus data. Writes are absorbed, reads come from the input.

READ_PORT_ and WRITE_PORT_ functions and HalGetBusData: their pages in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import ApiCall

_MAX_UNITS = 0x1000
"""Units that a buffer read transfers at most."""
_MAX_BUS_DATA = 0x100
_VECTOR, _DEVICE_IRQL = 0x5B, 5
_WIDTHS = {"UCHAR": 1, "USHORT": 2, "ULONG": 4}


def _nothing(_call: ApiCall) -> None:
    """What is written to hardware is gone."""


def _read(width: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = call.draw() & ((1 << 8 * width) - 1)

    return behaviour


def _input_bytes(call: ApiCall, size: int) -> bytes:
    """Return bytes that hardware delivers."""
    words = b"".join(call.draw(key).to_bytes(4, "little") for key in range(8))
    return (words * (size // len(words) + 1))[:size]


def _read_buffer(width: int) -> Callable[[ApiCall], None]:
    """(Port or Register, Buffer, Count)."""

    def behaviour(call: ApiCall) -> None:
        _port, buffer, count = call.arguments[:3]
        call.write(buffer, _input_bytes(call, min(count, _MAX_UNITS) * width))

    return behaviour


def _get_bus_data(offset_at: int | None) -> Callable[[ApiCall], None]:
    """The result is the bytes read; 0 where there is no such bus."""

    def behaviour(call: ApiCall) -> None:
        buffer, size = call.arguments[3], call.arguments[4 if offset_at is None else offset_at + 1]
        if call.succeeds:
            size = min(size, _MAX_BUS_DATA)
            call.write(buffer, _input_bytes(call, size))
            call.eax = size

    return behaviour


def _set_bus_data(size_at: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = call.arguments[size_at] if call.succeeds else 0

    return behaviour


def _translate(call: ApiCall) -> None:
    """Bus addresses are the processor's own on x86."""
    _kind, _bus, low, high, _space, translated = call.arguments[:6]
    if call.succeeds:
        call.put_u64(translated, low | high << 32)
        call.eax = 1


def _vector(call: ApiCall) -> None:
    """0 where the interrupt cannot be connected."""
    irql, affinity = call.arguments[4:6]
    if call.succeeds:
        call.put_u8(irql, _DEVICE_IRQL)
        call.put_u32(affinity, 1)
        call.eax = _VECTOR


def _one(call: ApiCall) -> None:
    call.eax = 1


def _accesses() -> dict[str, Callable[[ApiCall], None]]:
    """Return the behaviours of all port and register functions: they differ in names and widths only."""
    found: dict[str, Callable[[ApiCall], None]] = {}
    for place in ("PORT", "REGISTER"):
        for name, width in _WIDTHS.items():
            found[f"READ_{place}_{name}"] = _read(width)
            found[f"READ_{place}_BUFFER_{name}"] = _read_buffer(width)
            found[f"WRITE_{place}_{name}"] = found[f"WRITE_{place}_BUFFER_{name}"] = _nothing
    return found


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **_accesses(),
    "HalGetBusData": _get_bus_data(None),
    "HalGetBusDataByOffset": _get_bus_data(4),
    "HalSetBusData": _set_bus_data(4),
    "HalSetBusDataByOffset": _set_bus_data(5),
    "HalTranslateBusAddress": _translate,
    "HalGetInterruptVector": _vector,
    "HalMakeBeep": _one,
    "KeFlushIoBuffers": _nothing,
}
