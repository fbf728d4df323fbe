"""What measuring is asked for, what the runs of a function showed, and which of them counts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from stackemu.emu.calls import DEFAULT_BUDGET, Arguments
from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Observation, Outcome
from stackemu.emu.symbols.function import Function
from stackemu.harness.contexts import RUNAWAY, Context, Figures, Step, Visit
from stackemu.harness.explore import Attempt, OpenBranch
from stackemu.harness.forced import ForcedRun

T = TypeVar("T")

DEFAULT_INPUTS = 8
DEFAULT_EXPLORED = 200
"""Inputs worked out from branches that went the other way, per function."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How to measure: all that a result depends on besides the driver itself, and the number of processes."""

    seed: int = 0
    inputs: int = DEFAULT_INPUTS
    explored: int = DEFAULT_EXPLORED
    havoc: int = 0
    """Executions with inputs changed at random, per function."""
    budget: int = DEFAULT_BUDGET
    single_step: bool = False
    initialise: bool = True
    """Whether DriverEntry runs before anything else."""
    jobs: int = 1
    forced: bool = False
    """Whether branches that no run turned are forced, to estimate what lies behind them."""


@dataclass(frozen=True, slots=True)
class RoleRuns:
    """The deepest run of a function in one role: bytes, and how it ended."""

    role: str
    depth: int
    outcome: str


@dataclass(frozen=True, slots=True)
class FunctionRuns:
    """What all runs of one function showed.

    `best` and `own` are those of `representative`; `chain` is that of `best` by name.
    """

    rva: int
    best: Observation | None
    chain: tuple[tuple[str, int], ...] = ()
    witness: str | None = None
    context: Context | None = None
    """The run that `best` is: what repeats it."""
    own: int = 0
    runs: int = 0
    reason: str = ""
    """Why nothing was measured, or how runs ended that did not return; empty when all returned."""
    findings: tuple[str, ...] = ()
    roles: tuple[RoleRuns, ...] = ()
    """The deepest run in each role that the kernel calls the function in."""
    blocks: frozenset[int] = frozenset()
    """Addresses of all translated blocks that ran, in callees too."""
    roots: frozenset[Root] = frozenset()
    """Functions that the driver was seen to register."""
    unmodelled: tuple[tuple[str, int], ...] = ()
    """Kernel functions called whose results were the input's alone, with the address behind a call."""
    endings: tuple[tuple[str, int], ...] = ()
    """Every way that runs ended in which did not return, with the number of runs, the most frequent first."""
    open_branches: tuple[OpenBranch, ...] = ()
    """Branches that never went on to code not seen, where the task asked for them."""
    visits: tuple[Visit, ...] = ()
    """How deep the functions went that it called."""
    calls: frozenset[tuple[int, int]] = frozenset()
    """Calls seen, as (address behind the call, entry called); a call that earlier runs had shown may be missing."""
    callbacks: frozenset[tuple[int, int, int]] = frozenset()
    """Callbacks that kernel functions made: the address behind their call, the callback, words of arguments."""

    corpus: tuple[Context, ...] = ()
    """Runs that together ran all blocks that any of the function's own did."""
    forced: ForcedRun | None = None
    """What lies behind branches that no run turned, where the task asked for it: no measurement. Its chain by name
    is `chain` of the same record, which holds no other figures."""

    @classmethod
    def lost(cls, rva: int, reason: str) -> FunctionRuns:
        """Return the record of a function whose worker process died."""
        return cls(rva, None, reason=f"crashed: {reason}")

    def joined(self, others: FunctionRuns) -> FunctionRuns:
        """Return these runs with the figures of `others` where those are deeper."""
        if self.best is None or others.best is None:
            return self
        own = max(self.own, others.own)
        deepest = max((self, others), key=lambda runs: rank(runs.best, own))
        return replace(
            self,
            best=deepest.best,
            chain=deepest.chain,
            witness=deepest.witness,
            context=deepest.context,
            own=own,
            runs=self.runs + others.runs,
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A function to measure, and the roles that the kernel calls it in."""

    function: Function
    roles: tuple[Root, ...] = ()
    explain: bool = False
    """Whether to say what the code that was not reached waits for."""
    alignment: int = 0
    """How far below a multiple of 64 ESP stands at the entry when callees realign the most; tried besides 0."""
    contexts: tuple[Context, ...] = ()
    """Runs of other functions to look at this one in; it is not run by itself then."""
    before: tuple[Step, ...] = ()
    """What comes before each of its runs."""
    beyond: Figures | None = None
    """What was measured, to force branches in `contexts` and see what more lies behind them."""


def by_role(variants: Sequence[tuple[Arguments | Root, int]], attempts: Sequence[Attempt]) -> tuple[RoleRuns, ...]:
    """Return the representative run of each role, in the order of the roles."""
    observations: dict[str, list[Observation]] = {}
    for attempt in attempts:
        way, _ = variants[attempt.variant]
        if isinstance(way, Root):
            observations.setdefault(way.role, []).append(attempt.observation)
    best = {role: representative(runs)[0] for role, runs in observations.items()}
    return tuple(RoleRuns(role, one.depth, one.outcome.value) for role, one in best.items())


def union(items: Iterable[Iterable[T]]) -> tuple[T, ...]:
    """Return all items once, in the order of their first appearance."""
    return tuple(dict.fromkeys(itertools.chain.from_iterable(items)))


def breaches(observations: Sequence[Observation], pops: int | None, restored: frozenset[str]) -> tuple[str, ...]:
    """Return how runs that returned broke the calling convention.

    `pops` is what the function's code says it pops, `restored` which callee-saved registers it gives back. A
    register that it never gives back belongs to a convention of its own, such as whole-program optimisation
    makes. A function that leaves its frame to its caller is a helper and keeps no convention at all.
    """
    returned = [one for one in observations if one.outcome is Outcome.RETURNED]
    if any(one.popped is not None and one.popped < 0 for one in returned):
        return ("returns with its frame left on its caller's stack",)
    found = []
    changed = {name for one in returned for name in one.clobbered or ()}
    if changed & restored:
        found.append(f"{', '.join(sorted(changed & restored))} came back changed though the code restores it")
    if changed - restored:
        found.append(f"does not keep {', '.join(sorted(changed - restored))}: a calling convention of its own")
    popped = {one.popped for one in returned} - {None, pops}
    if popped and pops is not None:
        found.append(f"popped {sorted(map(str, popped))[0]} bytes of arguments where its code says {pops}")
    return tuple(found)


def representative(observations: Sequence[Observation]) -> tuple[Observation, int]:
    """Return the run to report and the deepest own of all runs, in bytes.

    What a run reached counts however it ended, except for runs that ran away: on invented memory a loop or
    a recursion may have no end, which says nothing about the driver; they count when there are no others.
    Among the runs as deep as that own, one that returned is preferred, then the deepest.
    """
    settled = [one for one in observations if one.outcome not in RUNAWAY] or observations
    own = max(one.own for one in settled)
    return max(settled, key=lambda one: rank(one, own)), own


def rank(observation: Observation | None, own: int) -> tuple[bool, bool, int]:
    """Return what the run to report is the greatest of: as deep as `own`, one that returned, the deepest."""
    if observation is None:
        return False, False, 0
    return observation.depth >= own, observation.outcome is Outcome.RETURNED, observation.depth


def endings(observations: Sequence[Observation]) -> tuple[tuple[str, int], ...]:
    """Return the ways that runs ended in which did not return, with their numbers, the most frequent first."""
    others = Counter(
        f"{one.outcome.value}: {one.why}" if one.why else one.outcome.value
        for one in observations
        if one.outcome is not Outcome.RETURNED
    )
    return tuple(sorted(others.items(), key=lambda item: (-item[1], item[0])))


def reason_of(observations: Sequence[Observation]) -> str:
    """Return how runs ended that did not return, in one line; empty when all returned."""
    found = endings(observations)
    if not found:
        return ""
    total = sum(count for _, count in found)
    more = "; …" if len(found) > 1 else ""
    return f"{total} of {len(observations)} runs did not return ({found[0][0]}{more})"
