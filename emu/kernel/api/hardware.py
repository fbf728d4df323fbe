"""Buses as the HAL shows them: configuration data from the input, addresses and vectors for devices.

Pages of HalGetBusData, HalTranslateBusAddress and HalGetInterruptVector in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import ApiCall

_MAX_BUS_DATA = 0x100
_VECTOR, _DEVICE_IRQL = 0x5B, 5


def _input_bytes(call: ApiCall, size: int) -> bytes:
    """Return bytes that hardware delivers."""
    words = b"".join(call.draw(key).to_bytes(4, "little") for key in range(8))
    return (words * (size // len(words) + 1))[:size]


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


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "HalGetBusData": _get_bus_data(None),
    "HalGetBusDataByOffset": _get_bus_data(4),
    "HalSetBusData": _set_bus_data(4),
    "HalSetBusDataByOffset": _set_bus_data(5),
    "HalTranslateBusAddress": _translate,
    "HalGetInterruptVector": _vector,
    "HalMakeBeep": _one,
}
