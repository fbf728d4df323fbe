"""Functions that the code registers for roles, read off structures and stores without running anything.

A minifilter hands the Filter Manager an FLT_REGISTRATION in its data; other drivers store their dispatch routines
into their DRIVER_OBJECT, which DriverEntry and what it calls gets to see.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stackemu.emu.code.instruction import Instruction
from stackemu.emu.code.model import CodeModel
from stackemu.emu.image import Image
from stackemu.emu.kernel.api.fltmgr import registration_tables
from stackemu.emu.kernel.driver_roots import MAJOR_FUNCTION_NAMES
from stackemu.emu.kernel.layouts import View, layout
from stackemu.emu.kernel.roots import Root

_REGISTER_FILTER = "FltRegisterFilter"
_UNLOAD_POPS, _DISPATCH_POPS = 4, 8


def registered(model: CodeModel, functions: Iterable[int]) -> frozenset[Root]:
    """Return what the functions at the addresses `functions` register, as far as it can be read off their code."""
    found: set[Root] = set()
    for address in functions:
        passed = model.heights(address).passed
        for call in model.code(address).calls:
            if call.address in passed and _REGISTER_FILTER in _names(model, call):
                for constant in passed[call.address]:
                    found.update(_minifilter(model.image, constant))
    if model.image.entry is not None:
        for function in _set_up_by(model, model.image.base + model.image.entry):
            found.update(_dispatch_routines(model, function))
    return frozenset(root for root in found if model.image.is_code(root.address - model.image.base))


def _names(model: CodeModel, call: Instruction) -> set[str | None]:
    """Return the import that a call goes to, at once or through a thunk."""
    if call.target is None:
        return {model.import_name(call)}
    return {model.import_name(jump) for jump in model.code(call.target).tail_jumps}


# -- FLT_REGISTRATION --


@dataclass(frozen=True, slots=True)
class _ImageBytes:
    """The image as memory: zeros where it has nothing."""

    image: Image

    def read(self, address: int, size: int) -> bytes:
        return self.image.read(address - self.image.base, size).ljust(size, b"\0")

    def write(self, address: int, data: bytes) -> None:
        raise PermissionError(f"{address:#010x}: an image that is only read cannot take {len(data)} bytes")


def _minifilter(image: Image, address: int) -> Iterator[Root]:
    memory = _ImageBytes(image)
    registration = View(memory, address, layout("FLT_REGISTRATION"))
    if 0 < address - image.base < image.size and registration_tables.is_known(registration):
        yield from registration_tables.roots(registration)


# -- DRIVER_OBJECT --


def _set_up_by(model: CodeModel, entry: int) -> list[int]:
    """Return DriverEntry and the functions that it calls: the loader's stub calls the driver's own one."""
    code = model.code(entry)
    called = [transfer.target for transfer in (*code.calls, *code.tail_jumps)]
    return [entry, *(target for target in called if target and model.image.is_code(target - model.image.base))]


def _dispatch_routines(model: CodeModel, address: int) -> Iterator[Root]:
    """Yield what is stored where a DRIVER_OBJECT has its dispatch routines and DriverUnload."""
    driver = layout("DRIVER_OBJECT")
    unload, table = driver.offset("DriverUnload"), driver.offset("MajorFunction")
    for place, routine in model.stored_constants(address):
        number, rest = divmod(place.disp - table, 4)
        if not model.image.is_code(routine - model.image.base):
            continue
        if place.disp == unload and model.pops(routine) == _UNLOAD_POPS:
            yield Root(routine, "DriverUnload", "driver-unload")
        elif rest == 0 and 0 <= number < len(MAJOR_FUNCTION_NAMES) and model.pops(routine) == _DISPATCH_POPS:
            yield Root(routine, f"IRP_MJ_{MAJOR_FUNCTION_NAMES[number]}", "irp")
