"""Results of kernel functions without behaviour of their own: what their prototypes say, as the input decides."""

from __future__ import annotations

from stackemu.emu.kernel.call import ApiCall, BadAddress
from stackemu.emu.kernel.exports import Api

_SCALAR_SIZES = {
    "UInt32": 4,
    "Int32": 4,
    "UInt64": 8,
    "Int64": 8,
    "LARGE_INTEGER": 8,
    "UInt16": 2,
    "BOOLEAN": 1,
    "Byte": 1,
}
_OBJECT_SIZE = 0x400
"""Room, in bytes, for an object that nobody knows the type of."""


def answer(call: ApiCall) -> None:
    """Set the result by its documented type, and fill out-parameters when the call succeeds."""
    api = call.api
    if api is None or api.returns in ("?", ""):
        call.eax = call.source.status(call.ordinal)
        return
    kind = api.returns
    if kind in ("NTSTATUS", "HRESULT"):
        call.eax = call.source.status(call.ordinal)
    elif kind == "BOOLEAN":
        call.eax = int(call.succeeds)
    elif kind == "void":
        call.eax = call.call_registers[0]
    elif is_pointer(kind):
        call.eax = call.allocate(_OBJECT_SIZE, zeroed=False) if call.succeeds else 0
    else:
        call.eax = call.draw()
    if kind in ("Int64", "UInt64"):
        call.edx = 0
    if call.succeeds:
        _fill_out_parameters(call, api)


def is_pointer(kind: str) -> bool:
    """Return whether a type of the export table is a pointer or a handle."""
    return kind.endswith("*") or kind == "HANDLE" or kind.startswith(("P", "WDF", "NDIS_HANDLE"))


def _fill_out_parameters(call: ApiCall, api: Api) -> None:
    for index, (parameter, value) in enumerate(zip(api.parameters, call.arguments, strict=False)):
        if parameter.direction != "out" or not parameter.type.endswith("*") or not value:
            continue
        pointee = parameter.type[:-1]
        try:
            if is_pointer(pointee):
                call.put_u32(value, call.allocate(_OBJECT_SIZE, zeroed=False))
            elif pointee in _SCALAR_SIZES:
                size = _SCALAR_SIZES[pointee]
                number = call.draw(1 + index % 7) % (1 << 8 * size)
                call.write(value, number.to_bytes(size, "little"))
        except BadAddress:
            continue  # an optional out-parameter that is no pointer: nothing to fill
