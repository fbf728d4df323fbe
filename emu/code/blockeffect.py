"""What a run of straight-line code does to the stack pointer: worked out once, committed at every execution.

A translated block is cut into segments at the instructions whose new ESP decoding cannot know. The first
segment is relative to ESP at the block's entry, the last to ESP at its exit (which the next block's entry
shows), and one `and esp, -M` between them is computed from the entry value. Only a block with a further
segment in the middle is inexact; such a run is repeated instruction by instruction.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from stackemu.emu.code.instruction import EBP, ESP, Decoder, Flow, Instruction, Mem, Reg
from stackemu.emu.code.stackeffect import stack_effect


class Transfer(enum.IntEnum):
    """How a block passes control on; the values are those of the native probe."""

    PLAIN = 0
    CALL = 1
    RETURN = 2
    """A return or an indirect jump: control may go back to a caller."""


@dataclass(frozen=True, slots=True)
class BlockEffect:
    """A block's effect in bytes: every `low` is 0 or negative, relative to the segment's base.

    `low` is relative to ESP at entry; `aligned_low` to `(entry + align_at) & -align` (`align` 0: no such
    segment); `tail_low` to ESP at exit, which has to be read when `delta` is None. `exact` is False when a
    segment in the middle has no known base.
    """

    address: int
    size: int
    count: int
    low: int
    delta: int | None
    align: int = 0
    align_at: int = 0
    aligned_low: int = 0
    tail_low: int = 0
    peak: int = 0
    """How far ESP rises above its value at entry before it comes down again, at most; 0: it does not."""
    tail_peak: int = 0
    """The same above its value at exit, when `delta` is None."""
    transfer: Transfer = Transfer.PLAIN
    exact: bool = True
    foreign: str | None = None
    """The first instruction that the emulator is known to run wrongly, None when there is none."""


class _Position(NamedTuple):
    """A value of ESP or EBP: an offset from a segment's base."""

    base: int
    offset: int


_AT_ENTRY = _Position(0, 0)


@dataclass(slots=True)
class _Segments:
    """The segments seen so far; base 0 is ESP at entry."""

    esp: _Position = field(default=_AT_ENTRY)
    ebp: _Position | None = None
    lows: list[int] = field(default_factory=lambda: [0])
    highs: list[int] = field(default_factory=lambda: [0])
    aligned: int | None = None
    align: int = 0
    align_at: int = 0

    def reach(self) -> None:
        base, offset = self.esp
        if offset < self.lows[base]:
            self.lows[base] = offset
        if offset > self.highs[base]:
            self.highs[base] = offset

    def open(self) -> None:
        self.lows.append(0)
        self.highs.append(0)
        self.esp = _Position(len(self.lows) - 1, 0)

    def step(self, instruction: Instruction) -> None:
        effect = stack_effect(instruction)
        if effect.delta is not None:
            self.esp = _Position(self.esp.base, self.esp.offset + effect.delta)
        elif effect.align and self.esp.base == 0 and self.aligned is None:
            self.align, self.align_at = effect.align, self.esp.offset
            self.open()
            self.aligned = self.esp.base
        else:
            self._leave_known(instruction)
        self.reach()
        self._track_ebp(instruction)

    def _leave_known(self, instruction: Instruction) -> None:
        """Follow ESP taken from EBP where EBP was set in this block; else open an unknown segment."""
        offset = _offset_from_ebp(instruction)
        if offset is not None and self.ebp is not None:
            self.esp = _Position(self.ebp.base, self.ebp.offset + offset)
            self.reach()
        else:
            self.open()

    def _track_ebp(self, instruction: Instruction) -> None:
        if instruction.mnemonic == "enter":
            self.ebp = None
        elif EBP in instruction.writes:
            is_frame_setup = instruction.mnemonic == "mov" and instruction.operands == (Reg(EBP, 4), Reg(ESP, 4))
            self.ebp = self.esp if is_frame_setup else None


def block_effect(code: bytes, address: int, decoder: Decoder) -> BlockEffect:
    """Return the effect of the block `code` at `address`; it ends at the first transfer or undecodable byte."""
    segments = _Segments()
    count = 0
    transfer = Transfer.PLAIN
    foreign = None
    end = address
    for instruction in decoder.decode(code, address):
        segments.step(instruction)
        count += 1
        end = instruction.end
        transfer = _transfer(instruction)
        if foreign is None and _is_foreign(instruction):
            foreign = instruction.mnemonic
    effect = _summary(segments, address, end - address, count, transfer, foreign)
    # What the decoder does not know the emulator may run all the same.
    return effect if effect.size == len(code) else replace(effect, exact=False)


def lowest_before(code: bytes, address: int, stop: int, entry_esp: int, decoder: Decoder) -> int | None:
    """Return the lowest ESP that the instructions of a block before `stop` reach.

    Serves a block that a fault cut short at the instruction `stop`. None when the part that ran has a
    segment whose base is not known.
    """
    segments = _Segments()
    for instruction in decoder.decode(code, address):
        if instruction.address >= stop:
            break
        segments.step(instruction)
    low = entry_esp + segments.lows[0]
    for base in range(1, len(segments.lows)):
        if base != segments.aligned:
            return None
        low = min(low, ((entry_esp + segments.align_at) & -segments.align) + segments.lows[base])
    return low


def _summary(
    segments: _Segments, address: int, size: int, count: int, transfer: Transfer, foreign: str | None
) -> BlockEffect:
    last = segments.esp.base
    known = last == 0
    unknown = [base for base in range(1, len(segments.lows)) if base not in (segments.aligned, last)]
    peak = segments.highs[0]
    if segments.aligned is not None:
        peak = max(peak, segments.align_at + segments.highs[segments.aligned])
    return BlockEffect(
        address=address,
        size=size,
        count=count,
        low=segments.lows[0],
        delta=segments.esp.offset if known else None,
        align=segments.align,
        align_at=segments.align_at,
        aligned_low=segments.lows[segments.aligned] if segments.aligned is not None else 0,
        tail_low=0 if known else segments.lows[last] - segments.esp.offset,
        transfer=transfer,
        peak=peak if not known or peak > segments.esp.offset else 0,
        tail_peak=0 if known else segments.highs[last] - segments.esp.offset,
        exact=not unknown,
        foreign=foreign,
    )


def _is_foreign(instruction: Instruction) -> bool:
    """Return whether Unicorn 2.1 is known to run the instruction as another one: AVX code becomes SSE code."""
    return instruction.mnemonic.startswith("v") and instruction.mnemonic not in ("verr", "verw")


def _transfer(instruction: Instruction) -> Transfer:
    if instruction.flow is Flow.CALL:
        return Transfer.CALL
    if instruction.flow is Flow.RETURN or (instruction.flow is Flow.JUMP and instruction.target is None):
        return Transfer.RETURN
    return Transfer.PLAIN


def _offset_from_ebp(instruction: Instruction) -> int | None:
    """Return ESP - EBP after an instruction that sets ESP from EBP, None when it does not."""
    if instruction.mnemonic == "leave":
        return 4
    if instruction.mnemonic == "mov" and instruction.operands == (Reg(ESP, 4), Reg(EBP, 4)):
        return 0
    if instruction.mnemonic == "lea" and instruction.operands[0] == Reg(ESP, 4):
        source = instruction.operands[1]
        if isinstance(source, Mem) and source.base == EBP and source.index is None:
            return (source.disp + 0x80000000) % 0x100000000 - 0x80000000
    return None
