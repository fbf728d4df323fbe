"""The stubs behind a driver's imports and the KMDF table: one address each, and what a call of it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from stackemu.emu.image import Image
from stackemu.emu.kernel import basics, runtime
from stackemu.emu.kernel.call import ApiCall, BadAddress
from stackemu.emu.kernel.exports import Api, find_api, kmdf_functions
from stackemu.emu.kernel.kmdf import find_binding
from stackemu.emu.memory import KMDF_TABLE, STUB_BASE, STUB_SIZE

_BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {**basics.BEHAVIOURS, **runtime.BEHAVIOURS}

_RETURN_STUB = 0
"""The stub at which a measured call returns."""


@dataclass(frozen=True, slots=True)
class Stub:
    """A stand-in for a kernel function; `api` is None where the export table does not know it."""

    name: str
    library: str
    api: Api | None

    @property
    def pops(self) -> int | None:
        """Return the bytes of arguments the function pops, None when that is not known."""
        return self.api.pops if self.api else None

    @property
    def has_behaviour(self) -> bool:
        """Whether the stub does more than return a result of the documented type."""
        return self.name in _BEHAVIOURS


class StubTable:
    """Every stub of a machine by index; index 0 is where measured calls return."""

    def __init__(self, image: Image) -> None:
        """Make a stub for each of the image's imports and, for a KMDF driver, each framework function."""
        self._base = image.base
        self.stubs: list[Stub] = [Stub("return", "", None)]
        self.slots: list[tuple[int, int]] = []
        """Pairs of an IAT slot's RVA and the address of its stub."""
        for entry in image.imports:
            self.slots.append((entry.slot, self.address(len(self.stubs))))
            self.stubs.append(Stub(entry.label, entry.library, find_api(entry.library, entry.name)))
        self.kmdf_first = len(self.stubs)
        self.kmdf = find_binding(image)
        if self.kmdf is not None:
            self.stubs += [Stub(api.name, api.module, api) for api in kmdf_functions()]

    @staticmethod
    def address(index: int) -> int:
        """Return the address of the stub with this index."""
        return STUB_BASE + index * STUB_SIZE

    @property
    def return_address(self) -> int:
        """Return the address that measured calls return to."""
        return self.address(_RETURN_STUB)

    @property
    def kmdf_addresses(self) -> range:
        """Return the addresses of the KMDF functions in table order."""
        return range(self.address(self.kmdf_first), self.address(len(self.stubs)), STUB_SIZE)

    def pointers(self) -> Iterator[tuple[int, int]]:
        """Yield `(address, word)` for all that the loader writes: IAT slots and the KMDF binding."""
        for slot, address in self.slots:
            yield self._base + slot, address
        if self.kmdf is None:
            return
        if not self.kmdf.is_array:
            yield self.kmdf.address, KMDF_TABLE
            return
        for index, address in zip(range(self.kmdf.count), self.kmdf_addresses, strict=False):
            yield self.kmdf.address + 4 * index, address

    def index_at(self, address: int) -> int | None:
        """Return the index of the stub at `address`, None where there is none."""
        index, rest = divmod(address - STUB_BASE, STUB_SIZE)
        return index if rest == 0 and 0 <= index < len(self.stubs) else None


def perform(call: ApiCall) -> None:
    """Carry out the call: the documented work where a behaviour exists, else a result of the right type.

    Raises:
        BadAddress: a behaviour was given an address that cannot be accessed.
        Bugcheck, Raised: the call ends the run.
    """
    behaviour = _BEHAVIOURS.get(call.name)
    if behaviour is not None:
        behaviour(call)
    elif call.api is None or call.api.returns in ("?", ""):
        call.eax = call.source.status(call.ordinal)
    else:
        _typed_result(call, call.api)


def _typed_result(call: ApiCall, api: Api) -> None:
    """Set the result by its documented type, and fill out-parameters when the call succeeds."""
    kind = api.returns
    succeeded = call.source.succeeds(call.ordinal)
    if kind in ("NTSTATUS", "HRESULT"):
        call.eax = call.source.status(call.ordinal)
    elif kind == "BOOLEAN":
        call.eax = int(succeeded)
    elif kind == "void":
        call.eax = call.registers[0]
    elif _is_pointer(kind):
        call.eax = call.source.object(call.ordinal) if succeeded else 0
    else:
        call.eax = call.source.result(call.ordinal)
    if kind in ("Int64", "UInt64"):
        call.edx = 0
    if succeeded:
        _fill_out_parameters(call, api)


def _is_pointer(kind: str) -> bool:
    return kind.endswith("*") or kind == "HANDLE" or kind.startswith(("P", "WDF", "NDIS_HANDLE"))


_SCALAR_SIZES = {"UInt32": 4, "Int32": 4, "UInt64": 8, "Int64": 8, "UInt16": 2, "BOOLEAN": 1, "Byte": 1}


def _fill_out_parameters(call: ApiCall, api: Api) -> None:
    for index, (parameter, value) in enumerate(zip(api.parameters, call.arguments, strict=False)):
        if parameter.direction != "out" or not parameter.type.endswith("*") or not value:
            continue
        pointee = parameter.type[:-1]
        if _is_pointer(pointee):
            data = call.source.object(call.ordinal * 8 + index).to_bytes(4, "little")
        elif pointee in _SCALAR_SIZES:
            size = _SCALAR_SIZES[pointee]
            data = (call.source.result(call.ordinal * 8 + index) % (1 << 8 * size)).to_bytes(size, "little")
        else:
            continue
        try:
            call.memory.write(value, data)
        except BadAddress:
            continue  # an optional out-parameter that is no pointer: nothing to fill
