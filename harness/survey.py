"""A whole driver surveyed: static figures, runs and verdicts of the selected functions in one document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from stackemu.emu.code.model import CodeModel
from stackemu.emu.observation import Observation
from stackemu.emu.symbols.function import Function
from stackemu.harness.bracket import bracket, with_bound
from stackemu.harness.explore import leaders_of
from stackemu.harness.forced_survey import with_forced
from stackemu.harness.printable import path_text, printable
from stackemu.harness.reconcile import NOT_RUN, reconcile
from stackemu.harness.results import (
    ChainFrame,
    DriverInfo,
    FunctionResult,
    Initialisation,
    MeasuredFigures,
    Measurement,
    RoleFigures,
    StaticFigures,
    Summary,
    SymbolsInfo,
)
from stackemu.harness.rounds import measure_in_rounds
from stackemu.harness.runs import FunctionRuns, RoleRuns, RunSettings
from stackemu.harness.session import Driver
from stackemu.harness.static.annotations import NO_ANNOTATIONS, Annotations
from stackemu.harness.static.bounds import Bounds, bounds_of
from stackemu.harness.static.callgraph import CallGraph, RunFacts
from stackemu.harness.static.figures import StaticResult, static_figures
from stackemu.harness.static.registrations import registered
from stackemu.harness.workers import WorkerPool

__all__ = ["RunSettings", "run_survey", "static_survey"]

MAX_NAMED = 3
"""Kernel functions that one reason names."""


def static_survey(
    driver: Driver, functions: Sequence[Function], annotations: Annotations = NO_ANNOTATIONS
) -> Measurement:
    """Return the static figures of `functions`; nothing is run."""
    model = driver.code_model()
    bounds = _bounds(driver, model, functions, RunFacts(), annotations)
    base = driver.image.base
    results = [
        _result(
            driver,
            function,
            with_bound(static_figures(model, function).figures, bounds, base + function.rva),
            None,
            NOT_RUN,
            "only static figures were asked for",
        )
        for function in functions
    ]
    return _document(driver, {}, results)


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
        bounds = _bounds(driver, model, functions, facts, annotations)
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
    return _document(driver, shown, results, initialisation), runs


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
        bounds = _bounds(driver, model, functions, RunFacts(), NO_ANNOTATIONS)
        results = with_forced(pool, functions, _results(driver, model, functions, runs, bounds), runs)
    return [(result, runs[result.rva]) for result in results]


def _bounds(
    driver: Driver, model: CodeModel, functions: Sequence[Function], facts: RunFacts, annotations: Annotations
) -> Bounds:
    base = driver.image.base
    names = {base + function.rva: function.name for function in driver.functions}
    known = replace(facts, roots=facts.roots | registered(model, names))
    graph = CallGraph(model, driver.functions, known, annotations)
    return bounds_of(graph, [base + function.rva for function in functions], names)


def _most_frames(observations: Iterable[Observation | None]) -> dict[int, int]:
    """Return by address how many frames of a function stood at most at one low-water mark."""
    most: dict[int, int] = {}
    for chain in (observation.chain for observation in observations if observation is not None):
        for function, count in Counter(share.function for share in chain).items():
            most[function] = max(most.get(function, 0), count)
    return most


def _worst_alignments(driver: Driver, model: CodeModel, functions: Sequence[Function]) -> dict[int, int]:
    """Return by RVA how far below a multiple of 64 ESP stands at the entry in the worst case."""
    bounds = _bounds(driver, model, functions, RunFacts(), NO_ANNOTATIONS)
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
    return _result(driver, function, figures, measured, verdict, reasons or None, runs.witness, state, runs.roles)


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


def _result(
    driver: Driver,
    function: Function,
    static: StaticFigures,
    measured: MeasuredFigures | None,
    verdict: str,
    why: str | None,
    witness: str | None = None,
    state: str | None = None,
    roles: Sequence[RoleRuns] = (),
) -> FunctionResult:
    deepest = max(roles, key=lambda one: one.depth, default=None)
    return FunctionResult(
        name=function.name,
        module=driver.image.module,
        rva=function.rva,
        address=driver.image.base + function.rva,
        size=function.size,
        prototype=str(function.prototype) if function.prototype is not None else None,
        root=deepest.role if deepest is not None else None,
        static=static,
        measured=measured,
        verdict=verdict,
        why=why,
        witness=witness,
        bracket=state,
        roles=tuple(RoleFigures(role=one.role, depth=one.depth, outcome=one.outcome) for one in roles),
    )


def _document(
    driver: Driver,
    settings: Mapping[str, int | str | bool | None],
    results: Sequence[FunctionResult],
    initialisation: Initialisation | None = None,
) -> Measurement:
    image = driver.image
    symbols_path = path_text(driver.symbols_path) if driver.symbols_path is not None else None
    return Measurement(
        driver=DriverInfo(
            path=path_text(image.path),
            name=printable(image.path.name),
            sha256=image.sha256,
            machine=image.machine,
            base=image.base,
            symbols=SymbolsInfo(source=driver.symbols_source, path=symbols_path),
        ),
        settings=dict(settings),
        functions=tuple(results),
        summary=_summary(driver, results),
        initialisation=initialisation,
    )


def _summary(driver: Driver, results: Sequence[FunctionResult]) -> Summary:
    measured = [(one.measured.depth, one.name) for one in results if one.measured and one.measured.depth is not None]
    deepest = max(measured, default=None)
    return Summary(
        functions=len(results),
        measured=len(measured),
        outcomes=dict(sorted(Counter(one.measured.outcome for one in results if one.measured).items())),
        verdicts=dict(sorted(Counter(one.verdict for one in results).items())),
        brackets=dict(sorted(Counter(one.bracket for one in results if one.bracket).items())),
        deepest=deepest[1] if deepest else None,
        deepest_bytes=deepest[0] if deepest else None,
        warnings=driver.warnings,
    )
