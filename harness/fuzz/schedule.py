"""What to do next: functions get time by what they still yield, their inputs by how deep they went."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from stackemu.emu.kernel.roots import Root
from stackemu.harness.contexts import Context, Step
from stackemu.harness.fuzz.share import Mutate, Rearrange, Solve, Work

T = TypeVar("T")

MAX_STEPS_OFFERED = 64
"""Calls worth having again that one share is told of: the latest."""
_MEMORY = 0.8
"""How much of what a function yielded still counts after another share of work on it."""
_LEAST = 0.02
"""What even a function that yields nothing is worth."""
_ROOT_FACTOR = 2.0
"""How much more a function is worth that the kernel calls."""


@dataclass(slots=True)
class Entry:
    """An input that is kept."""

    context: Context
    depth: int
    """How deep its run went, in bytes."""
    chosen: int = 0
    is_solved: bool = False
    """Whether the branches that its run left aside were turned."""

    def energy(self, deepest: int) -> float:
        """Return how likely it is to be chosen among its function's inputs, of which one went `deepest`."""
        nearness = (1 + self.depth) / (1 + deepest)
        return nearness * nearness * nearness / (1 + self.chosen)


@dataclass(slots=True)
class Target:
    """A function under test, and what came of the time that it got."""

    rva: int
    entries: list[Entry] = field(default_factory=list)
    shares: int = 0
    gain: float = 0.0
    """What the last shares yielded, older ones counting less."""

    @property
    def is_root(self) -> bool:
        """Whether the kernel calls it."""
        return any(isinstance(entry.context.way, Root) for entry in self.entries)

    @property
    def worth(self) -> float:
        """Return how likely the function is to be chosen."""
        worth = _LEAST + self.gain + 1 / (1 + self.shares)
        return worth * (_ROOT_FACTOR if self.is_root else 1.0)


class Schedule:
    """Decides which function, which of its inputs, and what is done with it."""

    def __init__(self, seed: int) -> None:
        """Everything follows from the seed and from what is added and noted."""
        self._generator = random.Random(seed)
        self._targets: dict[int, Target] = {}
        self._steps: dict[Step, None] = {}

    def add(self, context: Context, depth: int, step: Step | None) -> None:
        """Take in an input worth keeping; `step` is its run as one for others to come after."""
        target = self._targets.setdefault(context.caller, Target(context.caller))
        target.entries.append(Entry(context, depth))
        if step is not None:
            self._steps[step] = None

    def contexts(self, rva: int) -> tuple[Context, ...]:
        """Return the inputs of a function that are kept, in the order in which they came."""
        target = self._targets.get(rva)
        return tuple(entry.context for entry in target.entries) if target is not None else ()

    def note(self, work: Work, news: int) -> None:
        """Remember how much that was new came of some work."""
        if isinstance(work, Mutate | Solve | Rearrange):
            target = self._targets[work.parent.caller]
            target.gain = _MEMORY * target.gain + (1 - _MEMORY) * news

    def lose(self, work: Work) -> None:
        """Forget an input that took its worker down or kept it from answering: the next would go the same way."""
        if isinstance(work, Mutate | Solve | Rearrange):
            target = self._targets[work.parent.caller]
            target.entries = [entry for entry in target.entries if entry.context != work.parent]

    def again(self, parent: Context) -> None:
        """Let the branches that a run left aside be turned once more: there was no time for all of them."""
        for entry in self._targets[parent.caller].entries:
            if entry.context == parent:
                entry.is_solved = False

    def next(self) -> Work | None:
        """Return what to do next, None while there is no input at all."""
        targets = [target for target in self._targets.values() if target.entries]
        if not targets:
            return None
        target = self._draw(targets, (target.worth for target in targets))
        deepest = max(entry.depth for entry in target.entries)
        entry = self._draw(target.entries, (entry.energy(deepest) for entry in target.entries))
        entry.chosen += 1
        target.shares += 1
        return self._work(target, entry)

    def _work(self, target: Target, entry: Entry) -> Work:
        turn = target.shares % 3
        if turn == 2 and not entry.is_solved:
            entry.is_solved = True
            return Solve(entry.context)
        if turn == 0 and isinstance(entry.context.way, Root):
            return Rearrange(entry.context, tuple(self._steps)[-MAX_STEPS_OFFERED:])
        return Mutate(entry.context)

    def _draw(self, items: list[T], weights: Iterable[float]) -> T:
        return self._generator.choices(items, list(weights))[0]
