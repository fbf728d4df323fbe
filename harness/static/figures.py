"""The static figures of one function, with the second opinions of its debug information."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.heights import Heights
from stackemu.emu.code.instruction import EBP, ESP, Reg
from stackemu.emu.code.model import CodeModel
from stackemu.emu.code.semantics import MAX_ALIGNMENT
from stackemu.emu.symbols.function import FrameRecord, Function
from stackemu.harness.results import StaticFigures
from stackemu.harness.static.prologue import Frame, frame_of

_FRAME_POINTER = 4
_SET_POINTER = (Reg(EBP, 4), Reg(ESP, 4))
"""The operands of `mov ebp, esp`."""


def residues(heights: Heights) -> Sequence[int]:
    """Return the entry alignments (ESP modulo 64) that can make a difference to a function."""
    return range(0, min(heights.realigns, MAX_ALIGNMENT), 4) if heights.realigns else (0,)


@dataclass(frozen=True, slots=True)
class StaticResult:
    """The figures, the address of the instruction that reaches own, and the number of basic blocks."""

    figures: StaticFigures
    deepest_at: int
    blocks: int


def static_figures(model: CodeModel, function: Function) -> StaticResult:
    """Return locals, saved, frame and own of a function; own is that of the worst entry alignment.

    The bound is not known from one function alone: it is None.
    """
    image = model.image
    address = image.base + function.rva
    code, heights = model.code(address), model.heights(address)
    frame = frame_of(code, heights)
    reasons = sorted({f"{reason} at {at:#010x}" for at, reason in heights.unknown_since.items()})
    if code.undecodable:
        reasons.append(f"code does not decode at {min(code.undecodable):#010x}")
    worst = min((model.heights(address, residue) for residue in residues(heights)), key=lambda one: one.lowest)
    figures = StaticFigures(
        locals=frame.locals,
        saved=frame.saved,
        frame=frame.total,
        own=None if reasons else -worst.lowest,
        bound=None,
        open=tuple(reasons),
        source="data flow, pops of unknown callees inferred" if heights.guesses else "data flow",
        findings=(*_flow_findings(heights), *_second_opinions(function.frames, frame, code, heights)),
    )
    return StaticResult(figures, worst.lowest_at, len(code.leaders))


def _flow_findings(heights: Heights) -> list[str]:
    findings = [f"{text} at {at:#010x}" for at, text in sorted(heights.findings.items())]
    uneven = sorted({offset for offset in heights.exits.values() if offset not in (0, None)})
    if uneven:
        findings.append(f"returns with ESP {-uneven[0]} bytes below its entry value")
    return findings


def _second_opinions(records: Sequence[FrameRecord], frame: Frame, code: FunctionCode, heights: Heights) -> list[str]:
    """Return a finding for each debug record that speaks of another frame than the code does.

    Records count the frame pointer among the saved registers or not, and the SEH record among the locals or
    not; so either the locals agree, or the whole frame does, with or without the frame pointer.
    """
    findings = []
    has_frame_pointer = _has_frame_pointer(code, heights)
    for record in records:
        if record.locals is None or record.uses_alloca or frame.total is None:
            continue
        if not record.locals and (has_frame_pointer or heights.realigns):
            continue  # LLVM describes such frames only up to the frame pointer or the realignment
        total = record.locals + (record.saved or 0)
        # Padding for a realignment may be counted or not.
        excess = max(0, abs(frame.total - total) - max(0, heights.realigns - 4))
        if record.locals != frame.locals and excess not in (0, _FRAME_POINTER):
            findings.append(
                f"{record.source} says locals {record.locals}, saved {record.saved}; "
                f"the code says {frame.locals}, {frame.saved}"
            )
    return findings


def _has_frame_pointer(code: FunctionCode, heights: Heights) -> bool:
    """Return whether EBP is saved for a frame of its own; a function that never returns does not restore it."""
    if any(register == EBP for _, register in heights.restores):
        return True
    return any(one.mnemonic == "mov" and one.operands == _SET_POINTER for one in code.instructions.values())
