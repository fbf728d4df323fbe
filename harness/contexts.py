"""Functions where their callers call them: a run of one function also shows what its callees reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stackemu.emu.calls import Arguments
from stackemu.emu.inputs import Input
from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Mark, Outcome
from stackemu.harness.explore import Attempt

RUNAWAY = (Outcome.BUDGET, Outcome.OVERFLOW)
"""Runs that ended so say nothing of the frames that still stood: a loop or a recursion on invented memory."""


MAX_STEPS = 8
"""Steps that may come before a run."""


@dataclass(frozen=True, slots=True)
class Step:
    """A call that the kernel makes before a run: what it leaves behind is what comes next starts from."""

    root: Root
    source: Input
    pool: int | None = field(default=None, compare=False)
    """Where pool memory began that the call was given when its input was found (`State.pool`), where that is known:
    so that the input can be fitted to another state."""


@dataclass(frozen=True, slots=True)
class Context:
    """A run of the function at the RVA `caller`, in which another function may be looked at."""

    caller: int
    way: Arguments | Root
    alignment: int
    source: Input
    before: tuple[Step, ...] = ()
    """What came before it; with nothing, the run starts from what bringing the driver up left behind."""


def told_before(steps: Sequence[Step]) -> str:
    """Return the roles of what came before a run, as the beginning of a text about it; empty when nothing did."""
    return f"after {', '.join(step.root.role for step in steps)}: " if steps else ""


@dataclass(frozen=True, slots=True)
class Visit:
    """What the function at the address `function` reached in a run of another, in bytes below its entry's ESP."""

    function: int
    own: int
    depth: int
    returned: bool
    context: Context


def visits_of(
    rva: int,
    address: int,
    variants: Sequence[tuple[Arguments | Root, int]],
    attempts: Sequence[Attempt],
    before: tuple[Step, ...] = (),
) -> tuple[Visit, ...]:
    """Return for each callee the visits of the deepest own and of the deepest depth; `address` is the caller's.

    `before` is what came before all the attempts.
    """
    best: dict[tuple[int, str], tuple[tuple[int, bool, int], Mark, Attempt]] = {}
    for attempt in attempts:
        ran_away = attempt.observation.outcome in RUNAWAY
        for mark in attempt.observation.marks:
            if mark.function == address or (ran_away and not mark.is_over):
                continue
            ranks = {"own": (mark.own, mark.is_over, mark.depth), "depth": (mark.depth, mark.is_over, mark.own)}
            for kind, rank in ranks.items():
                known = best.get((mark.function, kind))
                if known is None or rank > known[0]:
                    best[mark.function, kind] = (rank, mark, attempt)
    return tuple(
        Visit(
            function,
            mark.own,
            mark.depth,
            mark.is_over,
            Context(rva, *variants[attempt.variant], attempt.source, before),
        )
        for (function, _), (_, mark, attempt) in best.items()
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """What a function's own runs showed: bytes, and whether the deepest of them returned."""

    own: int
    depth: int
    returned: bool


def deeper_contexts(visits: Iterable[Visit], measured: Mapping[int, Figures]) -> dict[int, tuple[Context, ...]]:
    """Return by address the contexts in which a function reached deeper than in its own runs.

    As deep is enough where it returned and its own runs did not. `measured` holds what those showed, by address.
    """
    deepest: dict[tuple[int, str], tuple[tuple[int, bool], Context]] = {}
    for visit in visits:
        known = measured.get(visit.function)
        if known is None:
            continue
        for kind, figure, floor in (("own", visit.own, known.own), ("depth", visit.depth, known.depth)):
            rank = (figure, visit.returned)
            best = deepest.get((visit.function, kind))
            if rank > (best[0] if best else (floor, known.returned)):
                deepest[visit.function, kind] = (rank, visit.context)
    found: dict[int, tuple[Context, ...]] = {}
    for (function, _), (_, context) in sorted(deepest.items(), key=lambda item: item[0]):
        found[function] = tuple(dict.fromkeys((*found.get(function, ()), context)))
    return found
