"""A PDB 7.00 file: the identity that ties it to an image, and its functions.

pdbparse reads the container and demangles; its readers of the DBI and type streams fail on
current PDBs, so those are read here, through bounded cursors.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stackemu.emu.symbols.codeview import Procedure, Public, read_module, read_publics
from stackemu.emu.symbols.codeview_structures import read_structures
from stackemu.emu.symbols.codeview_types import VERSION, Types, TypeStream
from stackemu.emu.symbols.cursor import Cursor, FormatError
from stackemu.emu.symbols.dbi import NO_STREAM, DebugInfo, Module, SegmentMap, read_dbi
from stackemu.emu.symbols.fpo import FrameAt, read_fpo, read_frame_data
from stackemu.emu.symbols.function import FrameRecord, Function, Kind, Prototype, Source
from stackemu.emu.symbols.msf import Container
from stackemu.emu.symbols.names import undecorate
from stackemu.emu.symbols.structure import Structure

MAX_WARNINGS = 20
"""Warnings kept for one file; a corrupt one can have one for each module."""

_PDB_STREAM, _TPI_STREAM, _DBI_STREAM, _IPI_STREAM = 1, 2, 3, 4
_MODULE_SIGNATURE, _MODULE_SIGNATURE_SIZE = 4, 4
"""CV_SIGNATURE_C13, which stands before a module's symbols, and its size in bytes."""
_FUNCLET_PREFIXES = ("?dtor$", "?catch$", "?filt$", "?fin$", "__catch$", "__unwindfunclet$", "__ehhandler$")
"""Names that LLVM and MSVC give to the pieces of a function that only exception handling enters."""


@dataclass(frozen=True, slots=True)
class PdbInfo:
    """What a PDB says.

    `guid` is written as in `DebugId`. `age` is the DBI stream's, which the linkers (MSVC, lld,
    GNU ld) write into the image as well; the info stream's own age also grows when tools add
    streams to the PDB afterwards, and is used only where the DBI stream has none.
    """

    path: Path
    guid: str
    age: int
    functions: tuple[Function, ...]
    warnings: tuple[str, ...]
    structures: Mapping[str, Structure]
    """The source's structures by their tags; none in a public PDB."""

    @property
    def has_procedures(self) -> bool:
        """Return whether it is a private PDB, with extents and types, or a public one with names only."""
        return any(function.name_source is Source.PDB_PROCEDURE for function in self.functions)


def read_pdb(path: Path) -> PdbInfo:
    """Read the PDB at `path`.

    Raises `FormatError` where it is unusable: no PDB 7.00, or without its identity, its DBI stream or
    its section headers; `OSError` where it cannot be read. A part that cannot be used is left out, and a
    warning says so.
    """
    return _Reader(path).read()


def read_identity(path: Path) -> tuple[str, int]:
    """Return only the GUID and the age of the PDB at `path`; raises as `read_pdb` does."""
    reader = _Reader(path)
    return reader.guid, reader.dbi.age or reader.info_age


class _Reader:
    """Reads one file; parts that fail become warnings."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container = Container(path)
        self._warnings = list(self._container.warnings)
        info = Cursor(self._required(_PDB_STREAM, "info"), "PDB info stream")
        info.skip(8)  # version, time stamp
        self.info_age = info.u32()
        self.guid = info.guid()
        self.dbi: DebugInfo = read_dbi(self._required(_DBI_STREAM, "DBI"))

    def read(self) -> PdbInfo:
        """Return everything that could be read."""
        segments = self._segments()
        frames = self._frames()
        stream = self._type_stream()
        types = Types(stream, self._ids()) if stream is not None else None
        procedures = self._procedures(segments, types)
        publics = self._publics(segments, procedures)
        functions = _join(procedures, publics, frames)
        return PdbInfo(
            self._path,
            self.guid,
            self.dbi.age or self.info_age,
            functions,
            tuple(self._warnings),
            read_structures(stream, types) if stream is not None and types is not None else {},
        )

    def _warn(self, error: FormatError) -> None:
        if len(self._warnings) < MAX_WARNINGS:
            self._warnings.append(f"{self._path.name}: {error}")

    def _required(self, index: int, name: str) -> bytes:
        data = self._container.stream(index, name)
        if not data:
            raise FormatError(f"PDB {self._path.name}", None, f"it has no {name} stream")
        return data

    def _optional(self, index: int, name: str) -> bytes:
        """Return a stream's bytes; none where it is missing or, with a warning, unreadable."""
        try:
            return (self._container.stream(index, name) if index != NO_STREAM else None) or b""
        except FormatError as error:
            self._warn(error)
            return b""

    def _segments(self) -> SegmentMap:
        if self.dbi.omap_from_source != NO_STREAM and self.dbi.original_section_headers != NO_STREAM:
            return SegmentMap(
                self._required(self.dbi.original_section_headers, "original section headers"),
                self._required(self.dbi.omap_from_source, "OMAP"),
            )
        return SegmentMap(self._required(self.dbi.section_headers, "section headers"))

    def _frames(self) -> dict[int, list[FrameAt]]:
        """Return the FPO and FRAMEDATA records by RVA."""
        frames: dict[int, list[FrameAt]] = {}
        sources = ((self.dbi.fpo, "FPO", read_fpo), (self.dbi.new_fpo, "new FPO", read_frame_data))
        for index, name, read in sources:
            try:
                for at in read(self._optional(index, name)):
                    frames.setdefault(at.rva, []).append(at)
            except FormatError as error:
                self._warn(error)
        return frames

    def _type_stream(self) -> TypeStream | None:
        try:
            tpi = self._optional(_TPI_STREAM, "TPI")
            return TypeStream(tpi, "TPI") if tpi else None
        except FormatError as error:
            self._warn(error)
            return None

    def _ids(self) -> TypeStream | None:
        """Return the IPI stream; before Visual Studio 2012 there was none, and stream 4 is any other."""
        ipi = self._optional(_IPI_STREAM, "IPI")
        if not ipi.startswith(VERSION.to_bytes(4, "little")):
            return None
        try:
            return TypeStream(ipi, "IPI")
        except FormatError as error:
            self._warn(error)
            return None

    def _procedures(self, segments: SegmentMap, types: Types | None) -> dict[int, Function]:
        """Return the functions that the modules' records tell of, by RVA."""
        functions: dict[int, Function] = {}
        for module in self.dbi.modules:
            try:
                procedures = self._module(module)
            except FormatError as error:
                self._warn(FormatError(f"module {module.name}", None, str(error)))
                continue
            for procedure in procedures:
                rva = segments.rva(procedure.segment, procedure.offset)
                if rva is not None and segments.is_executable(procedure.segment):
                    prototype = self._prototype(types, procedure)
                    functions.setdefault(rva, _procedure(rva, procedure, prototype, segments.moved))
        return functions

    def _module(self, module: Module) -> tuple[Procedure, ...]:
        if module.stream == NO_STREAM or module.symbol_bytes <= _MODULE_SIGNATURE_SIZE:
            return ()
        data = self._container.stream(module.stream, module.name)
        if data is None:
            raise FormatError("module list", None, f"there is no stream {module.stream}")
        symbols = Cursor(data, "module symbols").sub(module.symbol_bytes)
        signature = symbols.u32()
        if signature != _MODULE_SIGNATURE:
            raise symbols.error(f"expected signature {_MODULE_SIGNATURE}, got {signature}")
        return read_module(symbols).procedures

    def _prototype(self, types: Types | None, procedure: Procedure) -> Prototype | None:
        if types is None or procedure.type_index == 0:
            return None
        try:
            return types.prototype(procedure.type_index, procedure.type_is_id, tuple(procedure.parameters))
        except FormatError as error:
            self._warn(FormatError(f"type of {procedure.name}", None, str(error)))
            return None

    def _publics(self, segments: SegmentMap, procedures: dict[int, Function]) -> dict[int, Function]:
        """Return the public symbols that name functions, by RVA.

        Those flagged as functions are kept; others in executable sections (code labels, and
        everything in PDBs of linkers that set no flag) only where no procedure spans them.
        """
        extents = _Extents(procedures.values())
        functions: dict[int, Function] = {}
        data = self._optional(self.dbi.symbol_records, "symbol records")
        try:
            for public in read_publics(Cursor(data, "symbol records")):
                rva = segments.rva(public.segment, public.offset)
                if rva is None or not segments.is_executable(public.segment):
                    continue
                if public.is_function or rva in procedures or not extents.inside(rva):
                    functions.setdefault(rva, _public(rva, public))
        except FormatError as error:
            self._warn(error)
        return functions


class _Extents:
    """Tells whether an address lies inside a procedure."""

    def __init__(self, functions: Iterable[Function]) -> None:
        self._spans = sorted((function.rva, function.end) for function in functions)

    def inside(self, rva: int) -> bool:
        """Return whether the last procedure that begins at or before `rva` spans it."""
        index = bisect_right(self._spans, rva, key=lambda span: span[0]) - 1
        return index >= 0 and rva < self._spans[index][1]


def _procedure(rva: int, procedure: Procedure, prototype: Prototype | None, moved: bool) -> Function:
    """Return a procedure as a function; its extent is unknown where a post-link tool moved the code."""
    size = procedure.size if procedure.size and not moved else None
    return Function(
        rva=rva,
        name=procedure.name,
        name_source=Source.PDB_PROCEDURE,
        size=size,
        extent_source=Source.PDB_PROCEDURE if size else None,
        prototype=prototype,
        kind=_kind(procedure.name),
        frames=(procedure.frame,) if procedure.frame else (),
    )


def _public(rva: int, public: Public) -> Function:
    return Function(
        rva=rva,
        name=undecorate(public.name),
        name_source=Source.PDB_PUBLIC,
        decorated=public.name,
        kind=_kind(public.name),
    )


def _kind(name: str) -> Kind:
    return Kind.FUNCLET if name.startswith(_FUNCLET_PREFIXES) else Kind.FUNCTION


def _join(
    procedures: dict[int, Function], publics: dict[int, Function], frames: dict[int, list[FrameAt]]
) -> tuple[Function, ...]:
    """Return one function an RVA: procedures take the public's decorated name, both the frame records.

    A public symbol takes its extent from the linker's frame record, where it has one.
    """
    functions: list[Function] = []
    for rva in sorted(procedures.keys() | publics.keys()):
        public = publics.get(rva)
        function = procedures.get(rva) or public
        if function is None:
            continue
        here = frames.get(rva, [])
        records: tuple[FrameRecord, ...] = tuple(at.frame for at in here)
        size = function.size or next((at.size for at in here if at.size), None)
        functions.append(
            replace(
                function,
                decorated=public.decorated if public else None,
                size=size,
                extent_source=function.extent_source or (function.name_source if size else None),
                frames=function.frames + records,
            )
        )
    return tuple(functions)
