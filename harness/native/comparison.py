"""A taped run repeated by the host's own processor, instruction by instruction, and held against the tape."""

from __future__ import annotations

import enum
import itertools
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stackemu.emu.code.instruction import Decoder
from stackemu.emu.inputs import PAGE
from stackemu.emu.memory import STACK_BASE
from stackemu.emu.tape import REGISTERS, Segment, Tape
from stackemu.harness.native.errors import NativeError
from stackemu.harness.native.process import ADDRESS_LIMIT, DEFAULT_GATE, NativeProcess
from stackemu.harness.native.registers import Registers
from stackemu.harness.native.stepping import Run
from stackemu.harness.native.stops import SI_KERNEL, Signal

_LONGEST = 15
"""Bytes of an instruction at most (Intel SDM volume 2, 2.3.11)."""
_OF_THE_MODEL = frozenset({"cpuid", "rdtsc", "rdtscp", "rdrand", "rdseed", "rdpmc"})
"""Instructions whose results depend on the processor and the moment."""

Place = tuple[int, int]
"""EIP and ESP."""


class Result(enum.Enum):
    """What came of a repetition."""

    AGREES = "agrees"
    DIFFERS = "differs"
    IMPOSSIBLE = "impossible"
    """The run needs something that a process is not allowed to do; what came before it agreed."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A repetition: why it is what it is, and the instructions that agreed.

    `depth` is how far below ESP at the run's entry the processor took the stack, in bytes.
    """

    result: Result
    why: str | None
    instructions: int
    depth: int

    @property
    def is_wrong(self) -> bool:
        """Whether the processor disagrees with the emulator."""
        return self.result is Result.DIFFERS


class _Halted(Exception):  # noqa: N818 -- ends a repetition
    def __init__(self, result: Result, why: str) -> None:
        super().__init__(why)
        self.result = result
        self.why = why


def compare(tape: Tape) -> Comparison:
    """Repeat a run on the host's processor and compare EIP and ESP after every instruction.

    Raises:
        NativeError: the host cannot run such a process (`availability.why_not` tells).
    """
    return _Repetition(tape).run()


class _Repetition:
    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._decoder = Decoder()
        self._instructions = 0
        self._low = tape.entry_esp

    def run(self) -> Comparison:
        result, why = Result.AGREES, None
        with NativeProcess(gate_address=_free_page(self._tape.memory)) as process:
            _map(process, self._tape.memory)
            process.set_fs_base(self._tape.fs_base)
            process.confine()
            try:
                segments = self._tape.segments
                for segment, following in zip(segments, (*segments[1:], None), strict=True):
                    self._repeat(process, segment)
                    self._repeat_iterations(process, segment, following)
                self._check_depth()
            except _Halted as halted:
                result, why = halted.result, halted.why
        return Comparison(result, why, self._instructions, self._tape.entry_esp - self._low)

    def _repeat(self, process: NativeProcess, segment: Segment) -> None:
        for address, data in segment.writes:
            process.write(address, data)
        values = dict(zip((name.lower() for name in REGISTERS), segment.registers, strict=True))
        process.registers = Registers(**values, eip=segment.address, eflags=segment.flags)
        self._reach(segment.registers[REGISTERS.index("ESP")])
        expected = _places(segment)[1:]
        found = 0
        while found < len(expected):
            run = process.run_steps(len(expected) - found, collapse=True)
            self._check(run, expected[found:], process)
            found += len(run.eip)

    def _repeat_iterations(self, process: NativeProcess, segment: Segment, following: Segment | None) -> None:
        """Repeat the iterations of a string instruction in whose midst the emulator stopped and then went on.

        It stops there to learn the instruction, which is a block of its own once it repeats.
        """
        if following is None or following.address != segment.end[0] or following.writes:
            return
        iterations = _iterations_at_end(segment)
        if iterations:
            run = process.run_steps(iterations)
            if isinstance(run.ended, Signal):
                raise self._refused(run.ended, process)

    def _check(self, run: Run, expected: Sequence[Place], process: NativeProcess) -> None:
        for place, wanted in zip(zip(run.eip, run.esp, strict=True), expected, strict=False):
            if place != wanted:
                raise _Halted(Result.DIFFERS, self._difference(place, wanted))
            self._reach(place[1])
            self._instructions += 1
        if isinstance(run.ended, Signal):
            raise self._refused(run.ended, process)

    def _reach(self, esp: int) -> None:
        if esp >= STACK_BASE:  # neither on a callout's own stack nor off every stack
            self._low = min(self._low, esp)

    def _difference(self, place: Place, wanted: Place) -> str:
        return (
            f"after {self._instructions} instructions the processor is at {place[0]:#010x} "
            f"with ESP {place[1]:#010x}, the emulator at {wanted[0]:#010x} with {wanted[1]:#010x}"
        )

    def _refused(self, stopped: Signal, process: NativeProcess) -> _Halted:
        """Return what to make of an instruction that the processor refused in a process."""
        at = process.registers.eip
        code = process.read(at, min(_LONGEST, PAGE - at % PAGE))
        instruction = next(self._decoder.decode(code, at, 1), None)
        name = instruction.mnemonic if instruction is not None else "an instruction"
        if (stopped.number == signal.SIGSEGV and stopped.code == SI_KERNEL) or name in _OF_THE_MODEL:
            return _Halted(Result.IMPOSSIBLE, f"`{name}` at {at:#010x} is not for a process")
        if stopped.address is not None and stopped.address >= ADDRESS_LIMIT:
            return _Halted(Result.IMPOSSIBLE, f"{stopped.address:#010x}, which Linux keeps, is touched at {at:#010x}")
        where = f", touching {stopped.address:#010x}" if stopped.address is not None else ""
        return _Halted(Result.DIFFERS, f"the processor refuses `{name}` at {at:#010x}{where}")

    def _check_depth(self) -> None:
        depth, measured = self._tape.entry_esp - self._low, self._tape.observation.depth
        if depth != measured:
            raise _Halted(Result.DIFFERS, f"the processor's low-water mark is {depth}, the emulator's {measured}")


def _places(segment: Segment) -> list[Place]:
    """Return where the code stood, one place for a repeated string instruction, the last where it stopped."""
    steps = segment.steps
    begun = [(segment.address, segment.registers[REGISTERS.index("ESP")])]
    begun += zip(steps[::2], steps[1::2], strict=True)
    return [place for place, _ in itertools.groupby([*begun, segment.end])]


def _iterations_at_end(segment: Segment) -> int:
    """Return how often an instruction that left EIP and ESP as they were was begun last."""
    places = zip(segment.steps[-2::-2], segment.steps[-1::-2], strict=True)
    return sum(1 for _ in itertools.takewhile(lambda place: place == segment.end, places))


def _free_page(memory: Mapping[int, bytes]) -> int:
    """Return the address of a page that a run does not use: drivers may well look at the one that is usual."""
    return next(page for page in itertools.count(DEFAULT_GATE, -PAGE) if page not in memory)


def _map(process: NativeProcess, memory: Mapping[int, bytes]) -> None:
    """Give the process the tape's memory, pages in a row at once."""
    for start, pages in _rows({page: data for page, data in memory.items() if page < ADDRESS_LIMIT}):
        process.map(start, len(pages) * PAGE)
        process.write(start, b"".join(pages))


def _rows(memory: Mapping[int, bytes]) -> Iterator[tuple[int, list[bytes]]]:
    row: list[bytes] = []
    start = 0
    for page in sorted(memory):
        if row and page != start + len(row) * PAGE:
            yield start, row
            row = []
        if not row:
            start = page
        row.append(memory[page])
    if row:
        yield start, row


__all__ = ["Comparison", "NativeError", "Result", "compare"]
