"""A taped run told as the calls that it made, with the stack at each level, or as the history of ESP."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stackemu.emu.memory import STACK_BASE
from stackemu.emu.tape import Tape

MAX_LINES = 20_000
"""Calls that are told; the rest is counted."""


@dataclass(slots=True)
class Call:
    """One call: bytes below ESP at the run's entry where it begins, and the deepest it came until it returned."""

    name: str
    level: int
    begins: int
    deepest: int
    is_kernel: bool = False


@dataclass(slots=True)
class _Frame:
    call: Call
    esp: int


def calls_of(
    tape: Tape, name_of: Callable[[int], str | None], kernel_name_of: Callable[[int], str | None]
) -> list[Call]:
    """Return the calls of a run in the order of their beginnings.

    `name_of` tells the function that begins at an address, `kernel_name_of` what the stub at an address stands for.
    """
    return _Teller(tape, name_of, kernel_name_of).tell()


class _Teller:
    def __init__(
        self, tape: Tape, name_of: Callable[[int], str | None], kernel_name_of: Callable[[int], str | None]
    ) -> None:
        self._tape = tape
        self._name_of = name_of
        self._kernel_name_of = kernel_name_of
        self._frames: list[_Frame] = []
        self._calls: list[Call] = []

    def tell(self) -> list[Call]:
        before: tuple[int, int] | None = None
        for segment, following in itertools.zip_longest(self._tape.segments, self._tape.segments[1:]):
            steps = segment.steps
            for eip, esp in zip(steps[::2], steps[1::2], strict=True):
                self._arrive(eip, esp, before)
                before = (eip, esp)
            address, esp = segment.end
            kernel = self._kernel_name_of(address)
            # A segment that begins where the one before stopped goes on with it.
            if kernel is not None and (following is None or following.address != address):
                self._settle(esp)
                self._begin(kernel, esp, is_kernel=True)
                self._frames.pop()
            before = None  # where the code goes on, the kernel decides
        return self._calls

    def _arrive(self, eip: int, esp: int, before: tuple[int, int] | None) -> None:
        if esp < STACK_BASE:
            return  # on a callout's own stack
        self._settle(esp)
        name = self._name_of(eip)
        # A call lowers ESP by the return address; code that the kernel calls begins without one of the driver's.
        if name is not None and (before is None or esp == before[1] - 4 or not self._frames):
            is_new = before is not None or not self._frames or esp < self._frames[-1].esp
            if is_new:
                self._begin(name, esp)
                return
        self._reach(esp)

    def _begin(self, name: str, esp: int, *, is_kernel: bool = False) -> None:
        depth = self._tape.entry_esp - esp
        call = Call(name, len(self._frames), depth, -1, is_kernel)
        self._calls.append(call)
        self._frames.append(_Frame(call, esp))
        self._reach(esp)

    def _settle(self, esp: int) -> None:
        while len(self._frames) > 1 and esp > self._frames[-1].esp:
            self._frames.pop()

    def _reach(self, esp: int) -> None:
        depth = self._tape.entry_esp - esp
        for frame in reversed(self._frames):
            if frame.call.deepest >= depth:
                break
            frame.call.deepest = depth


def told(calls: Sequence[Call]) -> Iterator[str]:
    """Yield a line a call: where it begins, how deep it came, its name by its level; equal calls in a row are one."""
    yield "begins  deepest  call"
    shown = calls[:MAX_LINES]
    at = 0
    while at < len(shown):
        call, end = shown[at], at + 1
        while end < len(shown) and shown[end] == call:
            end += 1
        times = f" x{end - at}" if end - at > 1 else ""
        kind = " (kernel)" if call.is_kernel else ""
        yield f"{call.begins:>6}  {call.deepest:>7}  {'  ' * call.level}{call.name}{kind}{times}"
        at = end
    if len(calls) > MAX_LINES:
        yield f"... and {len(calls) - MAX_LINES} calls more"


def history(tape: Tape, function_of: Callable[[int], str | None]) -> str:
    """Return ESP before every instruction as CSV; `function_of` tells the function that an address lies in."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("instruction", "eip", "function", "esp", "depth"))
    number = 0
    for segment in tape.segments:
        for eip, esp in zip(segment.steps[::2], segment.steps[1::2], strict=True):
            writer.writerow((number, f"{eip:#010x}", function_of(eip) or "", f"{esp:#010x}", tape.entry_esp - esp))
            number += 1
    return stream.getvalue()
