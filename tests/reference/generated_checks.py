"""stackemu's figures of generated functions beside the truth about them.

This module alone knows stackemu. Static figures are compared once a function; every path through a function is
run in single-step mode and in block mode, at entry alignments that make a difference.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from generated_images import build
from generated_scope import Program
from generated_truth import ENTRIES, SPAN, Argument, Generated, Run, Values, Variable

from stackemu.emu.engine import Mode
from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.kernel_host import MAX_ARGUMENT_WORDS
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Observation
from stackemu.emu.symbols.function import Function, Source
from stackemu.emu.tape import Tape
from stackemu.harness.results import StaticFigures
from stackemu.harness.session import open_driver
from stackemu.harness.static_survey import static_survey

Opinion = Callable[[Tape], str | None]
"""Somebody else's word on a run: what is wrong with it, None when nothing is."""
INVENTED = "functions found in it"
UNDRIVEN = 7
"""What arguments are that no condition is on."""


class Disagreement(NamedTuple):
    """One figure that is not what it should be."""

    function: Generated
    figure: str
    expected: object
    seen: object


@dataclass
class Report:
    """What came of programs: functions and runs compared, and all disagreements."""

    functions: int = 0
    runs: int = 0
    opinions: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take over what another report says."""
        self.functions += other.functions
        self.runs += other.runs
        self.opinions += other.opinions
        self.disagreements += other.disagreements

    @property
    def agreed(self) -> int:
        """Return the number of functions about which everybody agrees on everything."""
        return self.functions - len({id(one.function) for one in self.disagreements})


def check(program: Program, opinion: Opinion | None = None) -> Report:
    """Build a program and compare everything; `opinion` is asked about the deepest run of each function."""
    with tempfile.TemporaryDirectory(prefix="stackemu-generated-") as name:
        checker = Checker(program, build(program, Path(name)), opinion)
    for function in program.functions:
        checker.check(function)
    return checker.report


class Checker:
    """One program, opened and ready to run."""

    def __init__(self, program: Program, path: Path, opinion: Opinion | None = None) -> None:
        """Open the driver file of a program."""
        self.report = Report()
        self._program = program
        self._opinion = opinion
        self._driver = driver = open_driver(path)
        self._model = model = driver.code_model()
        self._machines = {
            mode: Machine(driver.image, driver.function_ranges(), model.pops_at_call, mode)
            for mode in (Mode.STEPS, Mode.BLOCKS)
        }
        self._functions: dict[str, Function] = {one.name: one for one in driver.functions}
        self._invented = _invented(driver.functions)
        self._names = {driver.image.base + one.rva: one.name for one in driver.functions}
        (data,) = (section for section in driver.image.sections if section.name == ".data")
        self._variables = driver.image.base + data.rva
        document = static_survey(driver, [self._functions[one.name] for one in program.functions])
        self._static: Mapping[str, StaticFigures] = {one.name: one.static for one in document.functions}

    def check(self, function: Generated) -> None:
        """Compare everything about one function."""
        self.report.functions += 1
        self.report.disagreements += [
            Disagreement(function, figure, expected, seen)
            for figure, expected, seen in (*self._check_static(function), *self._check_runs(function))
            if expected != seen
        ]

    # -- static --

    def _check_static(self, function: Generated) -> Iterator[tuple[str, object, object]]:
        static = self._static[function.name]
        address = self._driver.image.base + self._functions[function.name].rva
        yield "static own", function.own, static.own
        yield "static pops", function.pops, self._model.pops(address)
        for figure in ("locals", "saved", "frame"):
            if getattr(function, figure) is not None:
                yield f"static {figure}", getattr(function, figure), getattr(static, figure)
        yield "static findings", (), static.findings
        yield INVENTED, (), self._invented.get(function.name, ())
        if not static.open:
            assert static.bound is not None
            worst = function.worst
            # A pointer may lead to more functions than the run knows of: the bound is that of the deepest.
            yield "static bound", worst, static.bound if function.is_bounded else min(worst, static.bound)

    # -- measured --

    def _check_runs(self, function: Generated) -> Iterator[tuple[str, object, object]]:
        """Run every path, and the one that goes deepest by the function's own doing at every alignment."""
        alignments = random.Random(function.name)
        deepest, where = Run(-1, 0, ()), (0, Input(0, Style.SMALL, True))
        for path in function.paths():
            entry = alignments.choice(ENTRIES)
            values, source = self._values(function, path), self._input(function, path)
            for at in dict.fromkeys((entry, *range(0, function.realigns, 4))):
                expected = function.run(at, values)
                yield from self._check_run(function, expected, at, source)
                if expected.own > deepest.own:
                    deepest, where = expected, (at, source)
        if function.own is not None:
            yield "the truth's own", function.own, deepest.own
        if self._opinion is not None:
            entry, source = where
            tape = self._machines[Mode.BLOCKS].tape(self._rva(function), source, alignment=-entry % SPAN)
            self.report.opinions += 1
            yield "opinion", None, self._opinion(tape)

    def _check_run(
        self, function: Generated, expected: Run, entry: int, source: Input
    ) -> Iterator[tuple[str, object, object]]:
        self.report.runs += 1
        label = f"E % 64 = {entry}, {source.label}"
        for mode, machine in self._machines.items():
            seen = machine.call(self._rva(function), source, alignment=-entry % SPAN)
            yield f"{mode.name} ({label})", self._wanted(function, expected), self._figures(seen)

    def _wanted(self, function: Generated, expected: Run) -> tuple[object, ...]:
        return ("returned", None, function.pops, (), expected.own, expected.depth, expected.chain)

    def _figures(self, seen: Observation) -> tuple[object, ...]:
        chain = tuple((self._names[one.function].lstrip("_"), one.bytes) for one in seen.chain if one.bytes)
        return (seen.outcome.value, seen.why, seen.popped, seen.clobbered, seen.own, seen.depth, chain)

    def _rva(self, function: Generated) -> int:
        return self._functions[function.name].rva

    # -- driving --

    def _values(self, function: Generated, path: Mapping[Variable, int]) -> Values:
        """Return what a run down a path finds."""
        arguments = [path.get(Argument(index), UNDRIVEN) for index in range(function.words)]
        words = list(self._program.globals)
        for variable, value in path.items():
            if not isinstance(variable, Argument):
                words[variable.index] = value
        return Values(arguments, words)

    def _input(self, function: Generated, path: Mapping[Variable, int]) -> Input:
        """Return the input that makes it find that."""
        overrides = []
        for index in range(function.words):
            number = index - function.in_registers
            key = number if number >= 0 else MAX_ARGUMENT_WORDS + index
            overrides.append(Override(Place.ARGUMENT, key, path.get(Argument(index), UNDRIVEN)))
        for variable, value in path.items():
            if not isinstance(variable, Argument):
                overrides.append(Override(Place.MEMORY, self._variables + 4 * variable.index, value))
        return Input(0, Style.SMALL, True, tuple(overrides))


def _invented(functions: Sequence[Function]) -> dict[str, tuple[str, ...]]:
    """Return the functions that no symbol names, by the named one before them: the programs have none."""
    found: dict[str, tuple[str, ...]] = {}
    named = ""
    for function in functions:
        if function.name_source is Source.COFF:
            named = function.name
        else:
            found[named] = (*found.get(named, ()), function.name)
    return found


def native_opinion(tape: Tape) -> str | None:
    """Return how the host's processor differs from a run, and from how deep it went; an Opinion."""
    # Only Linux has what the native process is made of.
    from stackemu.harness.native.comparison import Result, compare

    repeated = compare(tape)
    if repeated.result is not Result.AGREES:
        return f"{repeated.result.value}: {repeated.why}"
    expected = tape.observation.depth
    return None if repeated.depth == expected else f"the processor goes {repeated.depth} bytes deep, not {expected}"
