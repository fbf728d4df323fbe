"""A run told as calls and as a history: the tape is written by hand."""

from __future__ import annotations

import csv
import io
from array import array

from stackemu.emu.observation import Observation, Outcome
from stackemu.emu.tape import Segment, Tape
from stackemu.harness.trace import Call, calls_of, history, told

ESP = 0xF8A12F00
NAMES = {0x1000: "outer", 0x1100: "inner"}
KERNEL = {0x8000: "KeKernel"}
OBSERVATION = Observation(Outcome.RETURNED, None, 8, 24, (), 9, (), 0, (), (), exact=True)


def segment(*steps: tuple[int, int], end: tuple[int, int]) -> Segment:
    words = array("I", [word for step in steps for word in step])
    return Segment((), (0,) * 8, steps[0][0], 0x202, words, end)


def tape(*segments: Segment) -> Tape:
    return Tape(OBSERVATION, {}, segments, ESP, 0xFFDFF000, is_whole=True)


# outer pushes and calls inner twice; inner pushes and calls the kernel, which pops nothing.
RUN = tape(
    segment(
        (0x1000, ESP),
        (0x1001, ESP - 4),
        (0x1100, ESP - 8),
        (0x1101, ESP - 12),
        end=(0x8000, ESP - 16),
    ),
    segment((0x1106, ESP - 12), (0x1107, ESP - 8), (0x1006, ESP - 4), end=(0x1006, ESP - 4)),
    segment((0x1006, ESP - 4), (0x1100, ESP - 8), (0x1107, ESP - 8), (0x100B, ESP - 4), (0x100C, ESP), end=(0x1, 0)),
)


def test_calls_are_told_with_where_they_begin_and_how_deep_they_come() -> None:
    assert calls_of(RUN, NAMES.get, KERNEL.get) == [
        Call("outer", 0, 0, 16),
        Call("inner", 1, 8, 16),
        Call("KeKernel", 2, 16, 16, is_kernel=True),
        Call("inner", 1, 8, 8),
    ]


def test_a_kernel_function_that_stops_the_emulator_twice_is_called_once() -> None:
    run = tape(
        segment((0x1000, ESP), end=(0x8000, ESP - 4)),
        segment((0x8000, ESP - 4), end=(0x8000, ESP - 4)),
        segment((0x1005, ESP), end=(0x1, 0)),
    )
    assert [call.name for call in calls_of(run, NAMES.get, KERNEL.get)] == ["outer", "KeKernel"]


def test_a_jump_back_to_the_entry_is_no_call() -> None:
    run = tape(segment((0x1000, ESP), (0x1001, ESP), (0x1000, ESP), end=(0x1, 0)))
    assert [call.name for call in calls_of(run, NAMES.get, KERNEL.get)] == ["outer"]


def test_equal_calls_in_a_row_are_one_line() -> None:
    calls = [Call("outer", 0, 0, 8), *(Call("inner", 1, 8, 8) for _ in range(3))]
    assert list(told(calls)) == [
        "begins  deepest  call",
        "     0        8  outer",
        "     8        8    inner x3",
    ]


def test_the_history_has_a_line_an_instruction() -> None:
    rows = list(csv.DictReader(io.StringIO(history(RUN, lambda at: NAMES.get(at & ~0xFF)))))
    assert len(rows) == 12
    assert rows[2] == {
        "instruction": "2",
        "eip": "0x00001100",
        "function": "inner",
        "esp": f"{ESP - 8:#010x}",
        "depth": "8",
    }
    assert max(int(row["depth"]) for row in rows) == 12
