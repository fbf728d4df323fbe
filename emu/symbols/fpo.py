"""What the linker wrote of frames: FPO_DATA (old) and FRAMEDATA (new FPO) records of a PDB.

Both give RVAs and code sizes, and stay in a public PDB whose procedures were stripped.
"""

from __future__ import annotations

from dataclasses import dataclass

from stackemu.emu.symbols.cursor import Cursor
from stackemu.emu.symbols.function import FrameRecord

_FPO_SIZE, _FRAMEDATA_SIZE = 16, 32
_HAS_SEH, _HAS_EH, _FUNCTION_START = 0x1, 0x2, 0x4


@dataclass(frozen=True, slots=True)
class FrameAt:
    """A frame record with the place of its function: RVA and code size in bytes."""

    rva: int
    size: int
    frame: FrameRecord


def read_fpo(data: bytes) -> tuple[FrameAt, ...]:
    """Read FPO_DATA records (winnt.h).

    locals = 4·cdwLocals, parameters = 4·cdwParams, saved = 4·cbRegs. cbRegs counts EBP where
    the function pushed it (fUseBP): Breakpad's x86 walker finds EBP's slot inside the saved registers.
    One record an RVA: MSVC repeats those of functions that it folded into one.
    Raises `FormatError` for a last record that is cut short.
    """
    cursor = Cursor(data, "FPO stream")
    frames: dict[int, FrameAt] = {}
    while cursor:
        record = cursor.sub(_FPO_SIZE, "FPO_DATA record")
        rva, size, local_words = record.u32(), record.u32(), record.u32()
        parameter_words, bits = record.u16(), record.u16()
        # bits: prologue size 8, registers 3, SEH 1, uses EBP 1, reserved 1, frame type 2
        frame = FrameRecord(
            source="FPO",
            locals=4 * local_words,
            saved=4 * (bits >> 8 & 7),
            parameters=4 * parameter_words,
            uses_seh=bool(bits & 0x0800),
        )
        frames.setdefault(rva, FrameAt(rva, size, frame))
    return tuple(frames.values())


def read_frame_data(data: bytes) -> tuple[FrameAt, ...]:
    """Read FRAMEDATA records (cvinfo.h), merged to one a function.

    lld and MSVC write one record per push of the prologue, each of them valid from its RVA on, the
    first flagged as the function's start (MSVC repeats that of functions that it folded into one). A
    function's record is the one with the largest locals + saved: the state that the prologue ends
    with. Sizes are the first record's.
    Raises `FormatError` for a last record that is cut short.
    """
    merged: list[FrameAt] = []
    for at, starts in sorted(_frame_data_records(data), key=lambda item: item[0].rva):
        last = merged[-1] if merged else None
        if last is None or (starts and at.rva != last.rva) or at.rva >= last.rva + last.size:
            merged.append(at)
        elif _total(at.frame) >= _total(last.frame):
            merged[-1] = FrameAt(last.rva, last.size, at.frame)
    return tuple(merged)


def _total(frame: FrameRecord) -> int:
    return (frame.locals or 0) + (frame.saved or 0)


def _frame_data_records(data: bytes) -> list[tuple[FrameAt, bool]]:
    """Return every record, and whether it is flagged as a function's start."""
    cursor = Cursor(data, "new FPO stream")
    records: list[tuple[FrameAt, bool]] = []
    while cursor:
        record = cursor.sub(_FRAMEDATA_SIZE, "FRAMEDATA record")
        rva, size, local_bytes, parameter_bytes = record.u32(), record.u32(), record.u32(), record.u32()
        record.skip(8)  # maxStack, always 0; the program string's place in /names
        record.skip(2)  # prologue size
        saved_bytes, flags = record.u16(), record.u32()
        frame = FrameRecord(
            source="FRAMEDATA",
            locals=local_bytes,
            saved=saved_bytes,
            parameters=parameter_bytes,
            uses_seh=bool(flags & (_HAS_SEH | _HAS_EH)),
        )
        records.append((FrameAt(rva, size, frame), bool(flags & _FUNCTION_START)))
    return records
