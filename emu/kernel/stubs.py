"""The stubs that stand in for the kernel's functions: one address each, and what a driver's imports are bound to."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from stackemu.emu.image import Image, Import
from stackemu.emu.kernel.exports import Api, exports, find_api, kmdf_functions
from stackemu.emu.kernel.families import BEHAVIOURS
from stackemu.emu.kernel.function_pointers import POINTERS, UNKNOWN_POINTERS, api_address
from stackemu.emu.kernel.kmdf import find_binding
from stackemu.emu.kernel.variables import variable_address
from stackemu.emu.memory import KMDF_TABLE, STUB_BASE, STUB_SIZE

RETURN_STUB, CALLBACK_STUB, DISPATCH_STUB = 0, 1, 2
"""Where a measured call returns, where code that the kernel calls returns, and what stands for the kernel's
exception dispatcher in chains."""


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
        return self.name in BEHAVIOURS


@functools.cache
def _fixed_stubs() -> tuple[Stub, ...]:
    """Return the stubs that every machine has, at the addresses that `function_pointers` gives."""
    return (
        Stub("return", "", None),
        Stub("return from a callback", "", None),
        Stub("KiDispatchException", "ntoskrnl.exe", None),
        *(Stub(api.name, api.module, api) for api in POINTERS),
        *(Stub(name, "", None) for name in UNKNOWN_POINTERS),
        *(Stub(api.name, api.module, api) for api in exports()),
    )


class StubTable:
    """Every stub of a machine by index; index 0 is where measured calls return."""

    def __init__(self, image: Image) -> None:
        """Bind each of the image's imports to a stub or a variable; make stubs for unknown ones and for KMDF."""
        self._base = image.base
        self.stubs: list[Stub] = list(_fixed_stubs())
        self.slots: list[tuple[int, int]] = [(entry.slot, self._bind(entry)) for entry in image.imports]
        """Pairs of an IAT slot's RVA and the address that it is bound to."""
        self.kmdf_first = len(self.stubs)
        self.kmdf = find_binding(image)
        if self.kmdf is not None:
            self.stubs += [Stub(api.name, api.module, api) for api in kmdf_functions()]

    def _bind(self, entry: Import) -> int:
        """Return the address that an import is bound to."""
        variable = variable_address(entry.name)
        if variable is not None:
            return variable
        api = find_api(entry.library, entry.name)
        if api is not None:
            return api_address(api)
        self.stubs.append(Stub(entry.label, entry.library, None))
        return self.address(len(self.stubs) - 1)

    @staticmethod
    def address(index: int) -> int:
        """Return the address of the stub with this index."""
        return STUB_BASE + index * STUB_SIZE

    @property
    def return_address(self) -> int:
        """Return the address that measured calls return to."""
        return self.address(RETURN_STUB)

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
