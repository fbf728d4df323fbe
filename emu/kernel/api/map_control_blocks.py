"""Map control blocks (MCB): which logical blocks of a volume the virtual blocks of a file lie in, run by run.

Pages of FsRtlAddLargeMcbEntry, FsRtlLookupLargeMcbEntry, FsRtlGetNextLargeMcbEntry and FsRtlSplitLargeMcb in the WDK;
BASE_MCB and LARGE_MCB: ntifs.h. A gap below the last mapped block is a hole, a run of its own whose logical block
is -1.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from stackemu.emu.inputs import STATUS_INSUFFICIENT_RESOURCES
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.call import ApiCall, Raised

HOLE = -1
_MAX_RUNS = 0x4000
"""Runs of one MCB at most: more are refused as if there were no pool left."""
_PAIRS = 15
"""MaximumPairCount of a new MCB."""


class Run(NamedTuple):
    """`length` virtual blocks from `vbn` on that lie in logical blocks from `lbn` on."""

    vbn: int
    lbn: int
    length: int

    @property
    def end(self) -> int:
        """Return the first virtual block behind the run."""
        return self.vbn + self.length


@dataclass(slots=True)
class MapControlBlocks:
    """Mapped runs by the address of their MCB, in the order of their virtual blocks."""

    mapped: dict[int, list[Run]] = field(default_factory=dict)


_UNKNOWN = (Run(0, 0x100, 0x10), Run(0x20, 0x400, 0x8))
"""What an MCB holds that nobody here has initialised."""


# -- runs --


def with_holes(mapped: list[Run]) -> list[Run]:
    """Return all runs: the mapped ones and the holes between them."""
    runs: list[Run] = []
    at = 0
    for run in mapped:
        if run.vbn > at:
            runs.append(Run(at, HOLE, run.vbn - at))
        runs.append(run)
        at = run.end
    return runs


def add(mapped: list[Run], new: Run) -> bool:
    """Map blocks; blocks that are mapped already stay as they are, and must lie where the new run says."""
    first = bisect.bisect_left(mapped, new.vbn, key=lambda run: run.end)
    last = bisect.bisect_right(mapped, new.end, key=lambda run: run.vbn)
    near = [run for run in mapped[first:last] if run.end > new.vbn and run.vbn < new.end]
    if any(run.lbn - run.vbn != new.lbn - new.vbn for run in near):
        return False
    alike = [run for run in mapped[first:last] if run.lbn - run.vbn == new.lbn - new.vbn]
    start = min([new.vbn, *(run.vbn for run in alike)])
    end = max([new.end, *(run.end for run in alike)])
    others = [run for run in mapped[first:last] if run not in alike]
    mapped[first:last] = sorted([*others, Run(start, start + new.lbn - new.vbn, end - start)])
    return True


def remove(mapped: list[Run], vbn: int, count: int) -> None:
    """Make blocks a hole."""
    end = vbn + count
    kept: list[Run] = []
    for run in mapped:
        if run.vbn < vbn:
            kept.append(run._replace(length=min(run.end, vbn) - run.vbn))
        if run.end > end:
            start = max(run.vbn, end)
            kept.append(Run(start, run.lbn + start - run.vbn, run.end - start))
    if count > 0:
        mapped[:] = kept


def split(mapped: list[Run], vbn: int, amount: int) -> None:
    """Move everything from a block on up, so that a hole of `amount` blocks opens."""
    moved: list[Run] = []
    for run in mapped:
        if run.vbn < vbn:
            moved.append(run._replace(length=min(run.end, vbn) - run.vbn))
        if run.end > vbn:
            start = max(run.vbn, vbn)
            moved.append(Run(start + amount, run.lbn + start - run.vbn, run.end - start))
    mapped[:] = moved


# -- the functions --


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the three interfaces: how many words a number takes, and where the BASE_MCB lies in the structure."""

    words: int
    base: int

    def mapped(self, call: ApiCall) -> list[Run]:
        """Return the mapped runs of the MCB that is the first argument."""
        return call.state(MapControlBlocks).mapped.setdefault(call.arguments[0], list(_UNKNOWN))

    def numbers(self, call: ApiCall, count: int) -> tuple[int, ...]:
        """Return the numbers that follow the MCB."""
        words = call.arguments[1 : 1 + count * self.words]
        size = 4 * self.words
        data = struct.pack(f"<{len(words)}I", *words)
        return tuple(int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size))

    def put(self, call: ApiCall, address: int, value: int) -> None:
        """Write a number through an out-parameter that may be null."""
        if address and self.words == 2:
            call.put_u64(address, value)
        elif address:
            call.put_u32(address, value)

    def counted(self, call: ApiCall) -> None:
        """Let the structure say how many runs there are."""
        call.put_u32(call.arguments[0] + self.base + 4, len(with_holes(self.mapped(call))))

    # -- behaviours --

    def initialize(self, call: ApiCall) -> None:
        """(Mcb, PoolType): no block is mapped."""
        address, pool = call.arguments[:2]
        call.state(MapControlBlocks).mapped[address] = []
        header = struct.pack("<IIHHI", _PAIRS, 0, pool & 0xFFFF, 0, call.allocate(8 * _PAIRS))
        call.write(address + self.base, header)
        call.eax = 1

    def uninitialize(self, call: ApiCall) -> None:
        """(Mcb): what it held is forgotten."""
        call.state(MapControlBlocks).mapped.pop(call.arguments[0], None)

    def reset(self, call: ApiCall) -> None:
        """(Mcb, ...): no block is mapped any more."""
        self.mapped(call).clear()
        self.counted(call)

    def add(self, call: ApiCall) -> None:
        """(Mcb, Vbn, Lbn, SectorCount): without pool, FALSE or an exception."""
        mapped = self.mapped(call)
        if not call.succeeds or len(mapped) >= _MAX_RUNS:
            if pick(call, (False, True)):
                raise Raised(STATUS_INSUFFICIENT_RESOURCES)
            return
        vbn, lbn, count = self.numbers(call, 3)
        call.eax = int(count > 0 and add(mapped, Run(vbn, lbn, count)))
        self.counted(call)

    def add_status(self, call: ApiCall) -> None:
        """(Mcb, Vbn, Lbn, SectorCount), with a status as result."""
        if not call.succeeds:
            call.fail()
            return
        vbn, lbn, count = self.numbers(call, 3)
        if not add(self.mapped(call), Run(vbn, lbn, max(count, 1))):
            call.complete(_STATUS_UNSUCCESSFUL)
        self.counted(call)

    def remove(self, call: ApiCall) -> None:
        """(Mcb, Vbn, SectorCount)."""
        remove(self.mapped(call), *self.numbers(call, 2))
        self.counted(call)
        call.eax = 1

    def truncate(self, call: ApiCall) -> None:
        """(Mcb, Vbn): nothing from the block on stays mapped."""
        (vbn,) = self.numbers(call, 1)
        mapped = self.mapped(call)
        remove(mapped, vbn, max([1, *(run.end - vbn for run in mapped)]))
        self.counted(call)

    def split(self, call: ApiCall) -> None:
        """(Mcb, Vbn, Amount)."""
        if not call.succeeds:
            return
        split(self.mapped(call), *self.numbers(call, 2))
        self.counted(call)
        call.eax = 1

    def lookup(self, call: ApiCall) -> None:
        """(Mcb, Vbn, Lbn, SectorCountFromLbn, StartingLbn, SectorCountFromStartingLbn, Index).

        A small MCB does not ask for the start of the run. FALSE for blocks above all that are mapped.
        """
        (vbn,) = self.numbers(call, 1)
        runs = with_holes(self.mapped(call))
        index = bisect.bisect_right(runs, vbn, key=lambda run: run.end)
        if index == len(runs):
            return
        run = runs[index]
        offset = vbn - run.vbn
        lbn = HOLE if run.lbn == HOLE else run.lbn + offset
        values = [lbn, run.length - offset, run.lbn, run.length] if self.words == 2 else [lbn, run.length - offset]
        outs = call.arguments[1 + self.words :]
        for out, value in zip(outs, values, strict=False):
            self.put(call, out, value)
        call.put_optional(outs[len(values)], index)
        call.eax = 1

    def last(self, call: ApiCall) -> None:
        """(Mcb, Vbn, Lbn): the last block that is mapped."""
        mapped = self.mapped(call)
        if mapped:
            run = mapped[-1]
            self.put(call, call.arguments[1], run.end - 1)
            self.put(call, call.arguments[2], run.lbn + run.length - 1)
            call.eax = 1

    def last_and_index(self, call: ApiCall) -> None:
        """(Mcb, Vbn, Lbn, Index)."""
        self.last(call)
        if call.eax:
            call.put_optional(call.arguments[3], len(with_holes(self.mapped(call))) - 1)

    def next(self, call: ApiCall) -> None:
        """(Mcb, RunIndex, Vbn, Lbn, SectorCount): FALSE behind the last run."""
        index, *outs = call.arguments[1:5]
        runs = with_holes(self.mapped(call))
        if index < len(runs):
            for out, value in zip(outs, runs[index], strict=True):
                self.put(call, out, value)
            call.eax = 1

    def count(self, call: ApiCall) -> None:
        """(Mcb): runs, holes among them."""
        call.eax = len(with_holes(self.mapped(call)))


_STATUS_UNSUCCESSFUL = 0xC0000001


def _common(name: str, kind: _Kind) -> Mapping[str, Callable[[ApiCall], None]]:
    return {
        f"FsRtlInitialize{name}": kind.initialize,
        f"FsRtlUninitialize{name}": kind.uninitialize,
        f"FsRtlAdd{name}Entry": kind.add,
        f"FsRtlRemove{name}Entry": kind.remove,
        f"FsRtlTruncate{name}": kind.truncate,
        f"FsRtlLookup{name}Entry": kind.lookup,
        f"FsRtlLookupLast{name}Entry": kind.last,
        f"FsRtlGetNext{name}Entry": kind.next,
        f"FsRtlNumberOfRunsIn{name}": kind.count,
    }


def _wide(name: str, kind: _Kind) -> Mapping[str, Callable[[ApiCall], None]]:
    return {
        **_common(name, kind),
        f"FsRtlReset{name}": kind.reset,
        f"FsRtlSplit{name}": kind.split,
        f"FsRtlLookupLast{name}EntryAndIndex": kind.last_and_index,
    }


_BASE = _Kind(words=2, base=0)

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **_wide("LargeMcb", _Kind(words=2, base=4)),
    **_wide("BaseMcb", _BASE),
    "FsRtlInitializeBaseMcbEx": _BASE.initialize,
    "FsRtlAddBaseMcbEntryEx": _BASE.add_status,
    **_common("Mcb", _Kind(words=1, base=4)),
}
