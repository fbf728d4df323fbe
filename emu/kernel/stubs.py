"""The stubs behind a driver's imports and the KMDF table: one address each, and what a call of it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stackemu.emu.image import Image
from stackemu.emu.kernel.exports import Api, find_api, kmdf_functions
from stackemu.emu.kernel.families import BEHAVIOURS
from stackemu.emu.kernel.function_pointers import POINTERS
from stackemu.emu.kernel.kmdf import find_binding
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


class StubTable:
    """Every stub of a machine by index; index 0 is where measured calls return."""

    def __init__(self, image: Image) -> None:
        """Make a stub for each of the image's imports and, for a KMDF driver, each framework function."""
        self._base = image.base
        self.stubs: list[Stub] = [
            Stub("return", "", None),
            Stub("return from a callback", "", None),
            Stub("KiDispatchException", "ntoskrnl.exe", None),
            *(Stub(api.name, api.module, api) for api in POINTERS),
        ]
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
