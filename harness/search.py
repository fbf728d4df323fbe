"""The search for a function's inputs: fixed ones, ones that solve its branches, ones changed at random."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from stackemu.emu.calls import Arguments, Recording
from stackemu.emu.code.model import CodeModel
from stackemu.emu.fuzzing import FuzzMachine
from stackemu.emu.inputs import Input
from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Observation
from stackemu.harness.explore import Attempt, Explorer
from stackemu.harness.fuzz.dictionary import tokens_of
from stackemu.harness.havoc import Havoc
from stackemu.harness.static.figures import residues
from stackemu.harness.turns import take_turns

MAX_ONWARD = 400
"""Inputs that are tried from one run."""
DEEP_FACTOR = 2
"""How many more inputs a root is given, whose callees are explored with it."""
PATIENCE, SHORT_PATIENCE = 0.5, 0.2
"""Which part of all batches of changed inputs may find nothing in a row; the latter where only a callee may still go
deeper."""

Variant: TypeAlias = tuple[Arguments | Root, int]
"""How a function is called, and how far below a multiple of 64 ESP stands then."""


class _TimeIsUpError(Exception):
    """There is no time for another run."""


@dataclass(slots=True)
class _Clock:
    """Says when a search is over."""

    until: float = math.inf

    def check(self) -> None:
        if time.monotonic() >= self.until:
            raise _TimeIsUpError


@dataclass(slots=True)
class Search:
    """The search for one function's inputs: what was tried, and what is left to try."""

    rva: int
    variants: Sequence[Variant]
    explorer: Explorer
    last: int
    """How many attempts there may be, with those that fixed inputs are."""
    is_deep: bool
    clock: _Clock
    is_over: bool = False
    """Whether nothing is left to try."""


@dataclass(frozen=True, slots=True)
class InputSearch:
    """Looks for inputs on one machine."""

    machine: FuzzMachine
    model: CodeModel
    explored: int
    """Inputs solved from branches, per function."""
    havoc: int
    """Executions with inputs changed at random, per function."""
    budget: int
    """Instructions of a run."""
    seed: int

    def begin(self, rva: int, variants: Sequence[Variant], inputs: Sequence[Input]) -> Search:
        """Run a function on fixed inputs, from what the machine starts from now."""
        # A root's depth is what the stack is spent on: its callees are explored with it.
        is_root = any(isinstance(way, Root) for way, _ in variants)
        clock = _Clock()
        explorer = self._explorer(rva, variants, clock, is_deep=is_root)
        explorer.try_all(inputs, len(variants))
        last = len(explorer.attempts) + self.explored * (DEEP_FACTOR if is_root else 1)
        return Search(rva, variants, explorer, last, is_root, clock)

    def go_on(self, search: Search, until: float = math.inf) -> None:
        """Look for more inputs, from what the machine starts from now: what the search began from.

        `until`, by `time.monotonic`, ends that; then there may be something left to try.
        """
        explorer, search.clock.until = search.explorer, until
        with contextlib.suppress(_TimeIsUpError):
            explorer.explore(search.last - len(explorer.attempts))
            is_done = self._is_done(search.rva, explorer)
            if search.is_deep or not is_done:
                patience = SHORT_PATIENCE if is_done else PATIENCE
                limit = search.last - len(explorer.attempts)
                self._change_inputs(search.rva, search.variants, explorer, limit, patience)
            search.is_over = True

    def onward(
        self, rva: int, variant: Variant, source: Input, seen: Iterable[int], until: float
    ) -> tuple[list[Attempt], bool]:
        """Return the runs that were tried to get from an input to blocks that are not among `seen`, itself the first.

        Also returns whether more would have been tried but for `until`.
        """
        explorer = self._explorer(rva, [variant], _Clock(until), is_deep=True)
        try:
            explorer.try_all([source], 1)
            explorer.know(seen)
            explorer.explore(MAX_ONWARD)
        except _TimeIsUpError:
            return explorer.attempts, True
        return explorer.attempts, False

    def _explorer(self, rva: int, variants: Sequence[Variant], clock: _Clock, *, is_deep: bool) -> Explorer:
        def run(source: Input, variant: int) -> Observation:
            clock.check()
            way, alignment = variants[variant]
            return self.machine.call(rva, source, way, alignment=alignment, budget=self.budget)

        def record(source: Input, variant: int) -> Recording:
            clock.check()
            way, alignment = variants[variant]
            return self.machine.record(rva, source, way, alignment=alignment, budget=self.budget)

        return Explorer(self.model, self.model.image.base + rva, run, record, is_deep=is_deep)

    def _is_done(self, rva: int, explorer: Explorer) -> bool:
        """Return whether all of a function's code ran, as deep as it goes itself."""
        address = self.model.image.base + rva
        heights = self.model.heights(address)
        lowest = min(self.model.heights(address, residue).lowest for residue in residues(heights))
        is_deepest = not heights.unknown_since and max(one.observation.own for one in explorer.attempts) >= -lowest
        return explorer.is_complete and is_deepest

    def _change_inputs(
        self, rva: int, variants: Sequence[Variant], explorer: Explorer, limit: int, patience: float
    ) -> None:
        """Go on from an exploration with inputs changed at random."""
        words = tokens_of(self.model, self.model.image.base + rva)
        havocs = [Havoc(self.machine, rva, *variant, budget=self.budget, dictionary=words) for variant in variants]
        with self.machine.knowing_nothing():  # so that it makes no difference what was measured before
            take_turns(explorer, havocs, executions=self.havoc, limit=limit, patience=patience, seed=self.seed)
