"""A driver opened: image, symbols, every function, and the model of its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stackemu.emu.code.instruction import Instruction
from stackemu.emu.code.model import CodeModel
from stackemu.emu.image import Image
from stackemu.emu.load_image import load_image
from stackemu.emu.symbols.discovery import complete
from stackemu.emu.symbols.function import Function
from stackemu.emu.symbols.structure import Structure
from stackemu.emu.symbols.table import load_functions


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver image with all its functions, sorted by RVA, and where their names came from."""

    image: Image
    functions: tuple[Function, ...]
    symbols_source: str
    symbols_path: Path | None
    warnings: tuple[str, ...]
    structures: Mapping[str, Structure] = field(default_factory=dict)
    """The structures of the driver's source, by their tags, where its symbols describe them."""
    decoded: dict[int, Instruction] = field(default_factory=dict, repr=False, compare=False)
    """Instructions that were decoded so far, by address."""

    def code_model(self) -> CodeModel:
        """Return a new model of the driver's code."""
        base = self.image.base
        names = {base + function.rva: function.name for function in self.functions}
        return CodeModel(self.image, names, names, self.decoded)

    def function_ranges(self) -> list[tuple[int, int]]:
        """Return the (start, end) addresses of all functions, ascending."""
        base = self.image.base
        return [(base + function.rva, base + function.end) for function in self.functions]


def open_driver(path: Path, symbols: Path | None = None) -> Driver:
    """Load a driver and find all its functions.

    Raises:
        InputError: the file cannot be used; the message says why and what to do.
    """
    image = load_image(path)
    table = load_functions(image, symbols)
    decoded: dict[int, Instruction] = {}
    return Driver(
        image=image,
        functions=complete(image, table.functions, decoded),
        decoded=decoded,
        symbols_source=table.source,
        symbols_path=table.path,
        warnings=table.warnings,
        structures=table.structures,
    )
