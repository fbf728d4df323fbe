"""Forced branches for the functions of a survey that they can tell something of, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from stackemu.emu.symbols.function import Function
from stackemu.harness.bracket import CLOSED
from stackemu.harness.contexts import Figures
from stackemu.harness.forced import ForcedRun
from stackemu.harness.reconcile import EXACT
from stackemu.harness.results import ChainFrame, ForcedBranchFigures, ForcedFigures, FunctionResult
from stackemu.harness.runs import FunctionRuns, Task
from stackemu.harness.workers import WorkerPool


def can_tell(result: FunctionResult) -> bool:
    """Return whether there may be more than was measured: own below static own, or depth below the bound."""
    measured = result.measured
    return measured is not None and (result.verdict != EXACT or result.bracket != CLOSED)


def with_forced(
    pool: WorkerPool,
    functions: Sequence[Function],
    results: Sequence[FunctionResult],
    runs: Mapping[int, FunctionRuns],
) -> list[FunctionResult]:
    """Return `results` with what forced branches showed where it is deeper; `runs` are those they were made of."""
    wanted = {result.rva for result in results if can_tell(result)}
    tasks = [_task(one, runs[one.rva]) for one in functions if one.rva in wanted]
    found = {task.function.rva: forced_figures(one.forced, one.chain) for task, one in pool.measure(tasks)}
    return [msgspec.structs.replace(one, forced=found[one.rva]) if one.rva in found else one for one in results]


def _task(function: Function, runs: FunctionRuns) -> Task:
    """Return the task to force branches in a function's own runs and in the deepest, which may be a caller's."""
    deepest = (runs.context,) if runs.context is not None else ()
    depth = runs.best.depth if runs.best is not None else 0
    contexts = tuple(dict.fromkeys((*deepest, *runs.corpus)))
    return Task(function, contexts=contexts, beyond=Figures(runs.own, depth, returned=True))


def forced_figures(run: ForcedRun | None, chain: Sequence[tuple[str, int]]) -> ForcedFigures | None:
    """Return a forced run as a record; `chain` is its deepest chain by name."""
    if run is None:
        return None
    return ForcedFigures(
        own=run.observation.own,
        depth=run.observation.depth,
        branches=tuple(
            ForcedBranchFigures(address=one.address, taken=one.is_taken, target=one.target) for one in run.branches
        ),
        outcome=run.observation.outcome.value,
        chain=tuple(ChainFrame(function=name, bytes=share) for name, share in chain),
    )
