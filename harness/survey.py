"""A whole driver surveyed by running it: figures and verdicts of the selected functions in one document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from stackemu.emu.code.model import CodeModel
from stackemu.emu.observation import Observation
from stackemu.emu.symbols.function import Function
from stackemu.harness.bracket import bracket, with_bound
from stackemu.harness.document import document, function_result
from stackemu.harness.explore import leaders_of
from stackemu.harness.forced_survey import with_forced
from stackemu.harness.reconcile import reconcile
from stackemu.harness.results import (
    ChainFrame,
    FunctionResult,
    Initialisation,
    MeasuredFigures,
    Measurement,
    RoleFigures,
)
from stackemu.harness.rounds import measure_in_rounds
from stackemu.harness.runs import FunctionRuns, RunSettings
from stackemu.harness.session import Driver
from stackemu.harness.static.annotations import NO_ANNOTATIONS, Annotations
from stackemu.harness.static.bounds import Bounds
from stackemu.harness.static.callgraph import RunFacts
from stackemu.harness.static.figures import StaticResult, static_figures
from stackemu.harness.static_survey import image_bounds
from stackemu.harness.workers import WorkerPool

__all__ = ["RunSettings", "explained_survey", "run_survey", "surveyed_runs"]

MAX_NAMED = 3
"""Kernel functions that one reason names."""


def run_survey(
    driver: Driver,
    functions: Sequence[Function],
    settings: RunSettings,
    on_progress: Callable[[int, int, str], None],
    annotations: Annotations = NO_ANNOTATIONS,
) -> Measurement:
    """Measure `functions` and reconcile the figures with the static ones, as `surveyed_runs` does."""
    return surveyed_runs(driver, functions, settings, on_progress, annotations)[0]


def surveyed_runs(
    driver: Driver,
    functions: Sequence[Function],
    settings: RunSettings,
    on_progress: Callable[[int, int, str], None],
    annotations: Annotations = NO_ANNOTATIONS,
) -> tuple[Measurement, dict[int, FunctionRuns]]:
    """Measure `functions` and reconcile the figures with the static ones.

    `on_progress` is called with the number of functions done, their total and the last one's name. Returns the
    document, and the runs that it was made of by RVA.
    """
    model = driver.code_model()
    alignments = _worst_alignments(driver, model, functions)
    with WorkerPool(driver, settings) as pool:
        runs = measure_in_rounds(driver, functions, pool, on_progress, alignments=alignments)
        bring_up = pool.bring_up
        facts = RunFacts(
            calls=frozenset().union(*(one.calls for one in runs.values())),
            callbacks=frozenset().union(*(one.callbacks for one in runs.values())),
            roots=frozenset(bring_up.roots).union(*(one.roots for one in runs.values())),
            frames=_most_frames(one.best for one in runs.values()),
        )
        bounds = image_bounds(driver, model, functions, facts, annotations)
        results = _results(driver, model, functions, runs, bounds)
        if settings.forced:
            results = with_forced(pool, functions, results, runs)
    shown = {
        "seed": settings.seed,
        "inputs": settings.inputs,
        "explored": settings.explored,
        "havoc": settings.havoc,
        "budget": settings.budget,
        "initialise": settings.initialise,
        "forced": settings.forced,
    }
    initialisation = Initialisation(
        outcome=bring_up.outcome, status=bring_up.status, why=bring_up.why, roots=len(bring_up.roots)
    )
    return document(driver, shown, results, initialisation), runs


def explained_survey(
    driver: Driver,
    functions: Sequence[Function],
    settings: RunSettings,
    on_progress: Callable[[int, int, str], None],
) -> list[tuple[FunctionResult, FunctionRuns]]:
    """Measure `functions` as `run_survey` does; the runs say what the code not reached waits for."""
    with WorkerPool(driver, settings) as pool:
        runs = measure_in_rounds(driver, functions, pool, on_progress, explain=True)
        model = driver.code_model()
        bounds = image_bounds(driver, model, functions)
        results = with_forced(pool, functions, _results(driver, model, functions, runs, bounds), runs)
    return [(result, runs[result.rva]) for result in results]


def _most_frames(observations: Iterable[Observation | None]) -> dict[int, int]:
    """Return by address how many frames of a function stood at most at one low-water mark."""
    most: dict[int, int] = {}
    for chain in (observation.chain for observation in observations if observation is not None):
        for function, count in Counter(share.function for share in chain).items():
            most[function] = max(most.get(function, 0), count)
    return most


def _worst_alignments(driver: Driver, model: CodeModel, functions: Sequence[Function]) -> dict[int, int]:
    """Return by RVA how far below a multiple of 64 ESP stands at the entry in the worst case."""
    bounds = image_bounds(driver, model, functions)
    return {function.rva: -bounds.worst(driver.image.base + function.rva)[1] % 64 for function in functions}


def _results(
    driver: Driver,
    model: CodeModel,
    functions: Sequence[Function],
    runs: Mapping[int, FunctionRuns],
    bounds: Bounds,
) -> list[FunctionResult]:
    blocks = frozenset().union(*(one.blocks for one in runs.values()))
    return [_reconciled(driver, model, function, runs[function.rva], blocks, bounds) for function in functions]


def _reconciled(
    driver: Driver,
    model: CodeModel,
    function: Function,
    runs: FunctionRuns,
    blocks: frozenset[int],
    bounds: Bounds,
) -> FunctionResult:
    """Return one function's result; `blocks` are the addresses of all blocks that ran, whatever was measured."""
    static = static_figures(model, function)
    figures = with_bound(static.figures, bounds, driver.image.base + function.rva)
    code = model.code(driver.image.base + function.rva)
    seen = leaders_of(code, blocks)
    measured = _measured(runs, static, len(seen))
    reason = "; ".join(filter(None, (runs.reason, _unmodelled([name for name, _ in runs.unmodelled]))))
    is_deepest_seen = code.leader_of(static.deepest_at) in seen
    verdict, why = reconcile(figures, measured, static.deepest_at, reason, is_deepest_seen=is_deepest_seen)
    state, remedy = bracket(figures, measured)
    reasons = "; ".join(filter(None, (why, remedy)))
    roles = [RoleFigures(role=one.role, depth=one.depth, outcome=one.outcome) for one in runs.roles]
    return function_result(driver, function, figures, measured, verdict, reasons or None, runs.witness, state, roles)


def _unmodelled(names: Sequence[str]) -> str:
    """Return which kernel functions answered as the input said, without doing their work."""
    if not names:
        return ""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"answered by the input alone: {', '.join(names[:MAX_NAMED])}{more}"


def _measured(runs: FunctionRuns, static: StaticResult, seen: int) -> MeasuredFigures | None:
    best = runs.best
    if best is None:
        return None
    return MeasuredFigures(
        outcome=best.outcome.value,
        own=runs.own,
        depth=best.depth,
        chain=tuple(ChainFrame(function=name, bytes=share) for name, share in runs.chain),
        instructions=best.instructions,
        runs=runs.runs,
        blocks_seen=seen,
        blocks=static.blocks,
        findings=runs.findings,
    )
