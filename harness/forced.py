"""What lies behind branches that no run turned: estimated by runs in which they are forced, which measure nothing.

A forced run shows figures of a program that is not quite the driver: what holds behind a branch in the driver need
not hold here. So its figures stand beside the measured ones, as a class of evidence of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import TypeAlias

from stackemu.emu.forced_branches import ForcedBranch, forced_branch
from stackemu.emu.observation import Observation, Outcome
from stackemu.harness.contexts import RUNAWAY, Context
from stackemu.harness.explore import leaders_of
from stackemu.harness.paths import frontier
from stackemu.harness.static.behind import CodeBehind
from stackemu.harness.static.callgraph import CallGraph

MAX_RUNS = 64
"""Forced runs of one function."""
MAX_CONTEXTS = 200
"""Runs of a function whose open branches are looked at."""
MAX_TRIES = 3
"""Contexts in which one branch is forced."""
MAX_BRANCHES = 16
"""Branches that are forced in one run."""

Run: TypeAlias = Callable[[Context, Sequence[ForcedBranch]], Observation]
"""Repeats a run with branches forced; the figures are those of the function in question."""


@dataclass(frozen=True, slots=True)
class ForcedRun:
    """A run with branches forced, and what it showed of the function in question."""

    context: Context
    branches: tuple[ForcedBranch, ...]
    observation: Observation


@dataclass(frozen=True, slots=True)
class _OpenBranch:
    """A transfer that ran in `run`, made to go where none of the function's runs went."""

    branch: ForcedBranch
    run: ForcedRun
    gain: int
    """How many bytes deeper the code behind it may go than the run did."""


@dataclass(slots=True)
class _Queue:
    """Branches to force: each in one context before any in a second, then what may gain most, then the latest."""

    _items: list[tuple[tuple[int, int, int], _OpenBranch]] = field(default_factory=list)
    _tries: Counter[tuple[int, int]] = field(default_factory=Counter)
    _order: Iterator[int] = field(default_factory=count)

    def add(self, one: _OpenBranch) -> None:
        """Add a branch unless it is there in enough contexts."""
        key = (one.branch.address, one.branch.target)
        if self._tries[key] < MAX_TRIES:
            heappush(self._items, ((self._tries[key], -one.gain, -next(self._order)), one))
            self._tries[key] += 1

    def __iter__(self) -> Iterator[_OpenBranch]:
        """Yield the branches, those included that are added meanwhile."""
        while self._items:
            yield heappop(self._items)[1]


class ForcedSearch:
    """Forces branches of one function and of its callees, in runs that reached them."""

    def __init__(self, behind: CodeBehind, address: int, run: Run) -> None:
        """`behind` must know the function at `address`; `run` repeats runs with branches forced."""
        self._behind = behind
        self._model = behind.bounds.graph.model
        self._address = address
        self._run = run
        self._callees = _callees(behind.bounds.graph, address)
        self._seen: set[int] = set()
        """Leaders of the blocks that ran without any branch forced."""

    def deepest(self, contexts: Sequence[Context], own: int, depth: int) -> ForcedRun | None:
        """Return the deepest forced run that did not run away, with the branches that it takes.

        `contexts` are runs of the function, or of one that calls it; `own` and `depth` are the most that was
        measured. None when no forced run showed more of either.
        """
        runs = [ForcedRun(one, (), self._run(one, ())) for one in contexts[:MAX_CONTEXTS]]
        for run in runs:
            for function in self._ran(run):
                self._seen |= leaders_of(self._model.code(function), run.observation.blocks)
        queue = _Queue()
        for run in sorted(runs, key=_promise, reverse=True):
            for one in self._open(run, only_behind=False):
                queue.add(one)
        best = None
        for _, one in zip(range(MAX_RUNS), queue, strict=False):
            found = self._forced(one)
            if found is None:
                continue
            for further in self._open(found, only_behind=True):
                queue.add(further)
            if _is_deeper(found, own, depth) and (best is None or _rank(found) > _rank(best)):
                best = found
        return best

    def _forced(self, one: _OpenBranch) -> ForcedRun | None:
        branches = (*one.run.branches, one.branch)
        if len(branches) > MAX_BRANCHES:
            return None
        return ForcedRun(one.run.context, branches, self._run(one.run.context, branches))

    def _ran(self, run: ForcedRun) -> Iterator[int]:
        """Yield the function and those of its callees that ran, by address."""
        marked = {mark.function for mark in run.observation.marks}
        yield from sorted(marked & self._callees)

    def _open(self, run: ForcedRun, *, only_behind: bool) -> Iterator[_OpenBranch]:
        """Yield the transfers of a run that could go deeper, where no run without force went.

        `only_behind`: only those of code that runs only with branches forced.
        """
        forced = {branch.address for branch in run.branches}
        marks = {mark.function: mark for mark in run.observation.marks}
        for function in self._ran(run):
            code, mark = self._model.code(function), marks[function]
            ran = leaders_of(code, run.observation.blocks)
            for address, target in sorted(frontier(code, ran - self._seen if only_behind else ran, self._seen)):
                behind = self._behind.of(function, target)
                gain = behind.depth - mark.depth
                if function == self._address:
                    gain = max(gain, behind.own - mark.own)
                branch = forced_branch(code.instructions[address], target)
                if branch is not None and gain > 0 and address not in forced:
                    yield _OpenBranch(branch, run, gain)


def _callees(graph: CallGraph, address: int) -> frozenset[int]:
    """Return the function at `address` and all that it may come to call."""
    found, pending = {address}, [address]
    while pending:
        for site in graph.sites(pending.pop()):
            callees = {edge.callee for edge in graph.all_edges(site)} - found
            found |= callees
            pending += callees
    return frozenset(found)


def _figures(run: ForcedRun) -> tuple[int, int]:
    return run.observation.depth, run.observation.own


def _is_deeper(run: ForcedRun, own: int, depth: int) -> bool:
    """Return whether a run showed more than was measured, without having run away."""
    observation = run.observation
    return observation.outcome not in RUNAWAY and (observation.depth > depth or observation.own > own)


def _rank(run: ForcedRun) -> tuple[int, int, bool, int]:
    """Return what the run to keep is the greatest of: the deepest, one that returned, few branches forced."""
    return *_figures(run), run.observation.outcome is Outcome.RETURNED, -len(run.branches)


def _promise(run: ForcedRun) -> tuple[bool, bool, int]:
    """Return what orders the contexts to force branches in: those that returned first, the deepest of them."""
    observation = run.observation
    return observation.outcome not in RUNAWAY, observation.outcome is Outcome.RETURNED, observation.depth
