"""All named functions of an image, one an address, from every source that knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stackemu.emu.image import Image
from stackemu.emu.load_image import read_input
from stackemu.emu.symbols.coff import read_coff
from stackemu.emu.symbols.cursor import FormatError
from stackemu.emu.symbols.function import Function, Kind, Source
from stackemu.emu.symbols.locate import find_symbols
from stackemu.emu.symbols.names import undecorate
from stackemu.emu.symbols.structure import Structure

ENTRY_NAME = "DriverEntry"
"""What the entry point is called where nothing names it; with /GS it is really GsDriverEntry."""

_PRIORITY = {source: order for order, source in enumerate(Source)}
_JUMP_INDIRECT = b"\xff\x25"


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """The functions, sorted by RVA; `source` is the best one that named any of them.

    `source` is 'pdb', 'public pdb', 'coff', 'map', 'exports' or 'discovery'; `path` is the symbol file's.
    """

    functions: tuple[Function, ...]
    source: str
    path: Path | None
    warnings: tuple[str, ...]
    structures: Mapping[str, Structure] = field(default_factory=dict)
    """The structures that the symbol file describes, by their tags."""


def load_functions(image: Image, symbols: Path | None = None) -> SymbolTable:
    """Return the functions that symbol files, the image's own symbols, exports and entry point name.

    `symbols` is what `--symbols` gave: a file or a directory. Raises `InputError` where it does
    not exist; symbol files that cannot be used become warnings.
    """
    file, found_warnings = find_symbols(image, symbols)
    warnings = list(found_warnings)
    coff: tuple[Function, ...] = ()
    try:
        coff = read_coff(image, read_input(image.path))
    except FormatError as error:
        warnings.append(f"{image.path.name}: its symbol table is not used: {error}")
    exports = _exported(image)
    named = [*(file.functions if file else ()), *coff, *exports]
    functions = merge(function for function in [*named, *_entry(image)] if image.is_code(function.rva))
    slots = frozenset(imported.slot for imported in image.imports)
    fallback = "coff" if coff else "exports" if exports else "discovery"
    return SymbolTable(
        functions=tuple(_with_thunk_kind(image, slots, function) for function in functions),
        source=file.source if file else fallback,
        path=file.path if file else None,
        warnings=tuple(warnings),
        structures=file.structures if file else {},
    )


def merge(functions: Iterable[Function]) -> tuple[Function, ...]:
    """Return one function an RVA, sorted: the most trusted name, and what only the others know.

    Size, decorated name, prototype and frame records come from the most trusted source that has them.
    """
    by_rva: dict[int, list[Function]] = {}
    for function in functions:
        by_rva.setdefault(function.rva, []).append(function)
    return tuple(_join(by_rva[rva]) for rva in sorted(by_rva))


def _join(functions: list[Function]) -> Function:
    best, *others = sorted(functions, key=lambda function: _PRIORITY[function.name_source])
    for other in others:
        best = replace(
            best,
            size=best.size if best.size is not None else other.size,
            extent_source=best.extent_source if best.size is not None else other.extent_source,
            decorated=best.decorated or other.decorated,
            prototype=best.prototype or other.prototype,
            kind=best.kind if best.kind is not Kind.FUNCTION else other.kind,
            frames=best.frames or other.frames,
        )
    return best


def _exported(image: Image) -> list[Function]:
    """Return the exports that are code of this image; exports by ordinal alone are named `#ordinal`."""
    functions: list[Function] = []
    for export in image.exports:
        if export.rva is None or not image.is_code(export.rva):
            continue
        name = export.name if export.name is not None else f"#{export.ordinal}"
        # An export's leading underscore is part of its name, unless an argument size follows.
        source_name = undecorate(name) if "@" in name else name
        decorated = name if source_name != name else None
        functions.append(Function(export.rva, source_name, Source.EXPORT, decorated=decorated))
    return functions


def _entry(image: Image) -> list[Function]:
    if image.entry is None:
        return []
    return [Function(image.entry, ENTRY_NAME, Source.ENTRY)]


def _with_thunk_kind(image: Image, slots: frozenset[int], function: Function) -> Function:
    """Return the function, marked as an import thunk where its code is `jmp [IAT slot]`."""
    code = image.read(function.rva, 6)
    if function.kind is Kind.FUNCTION and code.startswith(_JUMP_INDIRECT) and len(code) == 6:
        slot = int.from_bytes(code[2:], "little") - image.base
        if slot in slots:
            return replace(function, kind=Kind.IMPORT_THUNK)
    return function
