"""CodeView symbol records: procedures with their extents and frames, thunks, labels and publics.

Layouts follow microsoft-pdb's cvinfo.h and LLVM's SymbolRecord.h. Each record is a 16-bit length
(without itself), a 16-bit kind and its fields; procedures, blocks and inline sites nest and are
closed by an end record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from stackemu.emu.symbols.cursor import Cursor
from stackemu.emu.symbols.function import FrameRecord

MAX_NESTING = 256
"""Scopes inside one another; compilers stay below about 30."""

MAX_PARAMETERS = 255
"""Parameters of one procedure whose names are kept; C promises 127."""

_S_END, _S_INLINESITE_END, _S_PROC_ID_END = 0x0006, 0x114E, 0x114F
_ENDS = frozenset({_S_END, _S_INLINESITE_END, _S_PROC_ID_END})

_S_LPROC32, _S_GPROC32 = 0x110F, 0x1110
_S_LPROC32_ID, _S_GPROC32_ID = 0x1146, 0x1147
_S_LPROC32_DPC, _S_LPROC32_DPC_ID = 0x1155, 0x1156
_S_LPROC32_ST, _S_GPROC32_ST = 0x100A, 0x100B
_ID_PROCEDURES = frozenset({_S_LPROC32_ID, _S_GPROC32_ID, _S_LPROC32_DPC_ID})
_ST_PROCEDURES = frozenset({_S_LPROC32_ST, _S_GPROC32_ST})
_PROCEDURES = frozenset({_S_LPROC32, _S_GPROC32, _S_LPROC32_DPC}) | _ID_PROCEDURES | _ST_PROCEDURES

_S_THUNK32, _S_THUNK32_ST = 0x1102, 0x0206
_S_BLOCK32, _S_BLOCK32_ST, _S_WITH32, _S_SEPCODE = 0x1103, 0x0207, 0x1104, 0x1132
_S_INLINESITE, _S_INLINESITE2 = 0x114D, 0x115D
_OTHER_SCOPES = frozenset({_S_BLOCK32, _S_BLOCK32_ST, _S_WITH32, _S_SEPCODE, _S_INLINESITE, _S_INLINESITE2})

_S_LABEL32, _S_LABEL32_ST = 0x1105, 0x0209
_S_PUB32, _S_PUB32_ST = 0x110E, 0x1009
_S_FRAMEPROC = 0x1012
_S_LOCAL, _S_BPREL32, _S_REGREL32 = 0x113E, 0x110B, 0x1111

_LOCAL_IS_PARAMETER = 0x1
_FRAME_HAS_ALLOCA, _FRAME_HAS_EH, _FRAME_HAS_SEH, _FRAME_HAS_ASYNC_EH = 0x1, 0x10, 0x40, 0x200
_PUBLIC_CODE, _PUBLIC_FUNCTION = 0x1, 0x2

_REGISTER_EBP, _REGISTER_VFRAME = 22, 30006
_FIRST_ARGUMENT = {_REGISTER_EBP: 8, _REGISTER_VFRAME: 4}
"""The lowest offset of a stack argument: past the return address, and past the saved EBP."""


@dataclass(slots=True)
class Procedure:
    """A procedure or thunk at `segment`:`offset`, `size` bytes long, as the compiler recorded it.

    `type_index` refers to TPI, or to IPI when `type_is_id`; 0 means no type. `parameters` are the
    names of its parameters in order, as far as the records told them.
    """

    name: str
    segment: int
    offset: int
    size: int
    type_index: int = 0
    type_is_id: bool = False
    frame: FrameRecord | None = None
    parameters: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Label:
    """A code label; `inside` tells that it stands within a procedure's scope."""

    name: str
    segment: int
    offset: int
    inside: bool


@dataclass(frozen=True, slots=True)
class Public:
    """A linker symbol with its decorated name."""

    name: str
    segment: int
    offset: int
    is_code: bool
    is_function: bool


@dataclass(frozen=True, slots=True)
class ModuleSymbols:
    """What one object file's symbol records say."""

    procedures: tuple[Procedure, ...]
    labels: tuple[Label, ...]


def records(symbols: Cursor) -> Iterator[tuple[int, Cursor]]:
    """Yield each record's kind and a cursor over its fields.

    Raises `FormatError` where a record does not fit. Records of length 0 pad old symbol streams.
    """
    while symbols.remaining >= 2:
        length = symbols.u16()
        if length == 0:
            continue
        if length < 2:
            raise symbols.error(f"expected a symbol record of at least 2 bytes, got {length}")
        record = symbols.sub(length, "CodeView symbol record")
        yield record.u16(), record


def read_publics(symbols: Cursor) -> Iterator[Public]:
    """Yield the S_PUB32 records of the PDB's symbol record stream."""
    for kind, record in records(symbols):
        if kind in (_S_PUB32, _S_PUB32_ST):
            flags, offset, segment = record.u32(), record.u32(), record.u16()
            name = record.pascal() if kind == _S_PUB32_ST else record.cstring()
            yield Public(name, segment, offset, bool(flags & _PUBLIC_CODE), bool(flags & _PUBLIC_FUNCTION))


def read_module(symbols: Cursor) -> ModuleSymbols:
    """Read one module's records; `symbols` begins after the stream's 4-byte signature.

    Raises `FormatError` for records that do not fit or scopes that do not nest.
    """
    reader = _ModuleReader()
    for kind, record in records(symbols):
        reader.take(kind, record)
    return ModuleSymbols(tuple(reader.procedures), tuple(reader.labels))


class _ModuleReader:
    """Keeps the open scopes while the records of one module pass by."""

    def __init__(self) -> None:
        self.procedures: list[Procedure] = []
        self.labels: list[Label] = []
        self._scopes: list[Procedure | None] = []
        """The open scopes, outermost first: a procedure, or None for a block or an inline site."""
        self._by_offset: dict[int, str] = {}
        """The current procedure's frame-relative parameters: offset → name."""

    def take(self, kind: int, record: Cursor) -> None:
        """Handle one record."""
        if kind in _PROCEDURES:
            self._open(_procedure(kind, record), record)
        elif kind in (_S_THUNK32, _S_THUNK32_ST):
            self._open(_thunk(kind, record), record)
        elif kind in _OTHER_SCOPES:
            self._open(None, record)
        elif kind in _ENDS:
            self._close(record)
        elif kind in (_S_LABEL32, _S_LABEL32_ST):
            offset, segment = record.u32(), record.u16()
            record.skip(1)
            name = record.pascal() if kind == _S_LABEL32_ST else record.cstring()
            self.labels.append(Label(name, segment, offset, self._enclosing() is not None))
        elif kind == _S_FRAMEPROC:
            enclosing = self._enclosing()
            if enclosing is not None:
                enclosing.frame = _frame(record)
        elif self._scopes and self._scopes[-1] is not None:
            # Only the procedure's own scope: blocks and inline sites have locals, not its parameters.
            self._local(self._scopes[-1], kind, record)

    def _open(self, scope: Procedure | None, record: Cursor) -> None:
        if len(self._scopes) >= MAX_NESTING:
            raise record.error(f"expected at most {MAX_NESTING} nested scopes, got more")
        self._scopes.append(scope)
        if scope is not None:
            self.procedures.append(scope)
            self._by_offset = {}

    def _close(self, record: Cursor) -> None:
        if not self._scopes:
            raise record.error("an end record closes no scope")
        self._scopes.pop()

    def _enclosing(self) -> Procedure | None:
        return next((scope for scope in reversed(self._scopes) if scope is not None), None)

    def _local(self, procedure: Procedure, kind: int, record: Cursor) -> None:
        """Note the name when the record is a parameter of the procedure."""
        if kind == _S_LOCAL:
            record.skip(4)
            if record.u16() & _LOCAL_IS_PARAMETER and len(procedure.parameters) < MAX_PARAMETERS:
                procedure.parameters.append(record.cstring())
        elif kind == _S_BPREL32:
            offset = record.s32()
            record.skip(4)
            self._stack_parameter(procedure, offset, _REGISTER_EBP, record)
        elif kind == _S_REGREL32:
            offset = record.s32()
            record.skip(4)
            self._stack_parameter(procedure, offset, record.u16(), record)

    def _stack_parameter(self, procedure: Procedure, offset: int, register: int, record: Cursor) -> None:
        """Keep frame-relative parameters in the order of their offsets: the order of the arguments."""
        first = _FIRST_ARGUMENT.get(register)
        if first is not None and offset >= first and offset not in self._by_offset:
            if len(self._by_offset) >= MAX_PARAMETERS:
                raise record.error(f"expected at most {MAX_PARAMETERS} parameters, got more")
            self._by_offset[offset] = record.cstring()
            procedure.parameters = [name for _, name in sorted(self._by_offset.items())]


def _procedure(kind: int, record: Cursor) -> Procedure:
    """Read a PROCSYM32."""
    record.skip(12)  # parent, end, next: offsets that the nesting tells as well
    size = record.u32()
    record.skip(8)  # where the prologue ends and the epilogue begins: 0 from LLVM
    type_index, offset, segment = record.u32(), record.u32(), record.u16()
    record.skip(1)
    name = record.pascal() if kind in _ST_PROCEDURES else record.cstring()
    return Procedure(name, segment, offset, size, type_index, kind in _ID_PROCEDURES)


def _thunk(kind: int, record: Cursor) -> Procedure:
    """Read a THUNKSYM32."""
    record.skip(12)
    offset, segment, size = record.u32(), record.u16(), record.u16()
    record.skip(1)
    name = record.pascal() if kind == _S_THUNK32_ST else record.cstring()
    return Procedure(name, segment, offset, size)


def _frame(record: Cursor) -> FrameRecord:
    """Read a FRAMEPROCSYM: cbFrame as locals, cbSaveRegs as saved; both in bytes."""
    local_bytes = record.u32()
    record.skip(8)  # cbPad, offPad
    saved_bytes = record.u32()
    record.skip(6)  # the exception handler's address
    flags = record.u32()
    return FrameRecord(
        source="S_FRAMEPROC",
        locals=local_bytes,
        saved=saved_bytes,
        uses_alloca=bool(flags & _FRAME_HAS_ALLOCA),
        uses_seh=bool(flags & (_FRAME_HAS_EH | _FRAME_HAS_SEH | _FRAME_HAS_ASYNC_EH)),
    )
