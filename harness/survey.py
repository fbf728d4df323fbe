"""A whole driver surveyed: static figures, runs and verdicts of the selected functions in one document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from stackemu.emu.code.model import CodeModel
from stackemu.emu.symbols.function import Function
from stackemu.harness.measure import FunctionRuns, RunSettings
from stackemu.harness.reconcile import NOT_RUN, reconcile
from stackemu.harness.results import (
    ChainFrame,
    DriverInfo,
    FunctionResult,
    MeasuredFigures,
    Measurement,
    StaticFigures,
    Summary,
    SymbolsInfo,
)
from stackemu.harness.session import Driver
from stackemu.harness.static.figures import StaticResult, static_figures
from stackemu.harness.workers import measure_all

__all__ = ["RunSettings", "run_survey", "static_survey"]


def static_survey(driver: Driver, functions: Sequence[Function]) -> Measurement:
    """Return the static figures of `functions`; nothing is run."""
    model = driver.code_model()
    results = [
        _result(
            driver,
            function,
            static_figures(model, function).figures,
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
) -> Measurement:
    """Measure `functions` and reconcile the figures with the static ones.

    `on_progress` is called with the number of functions done, their total and the last one's name.
    """
    runs: dict[int, FunctionRuns] = {}
    for function, observed in measure_all(driver, functions, settings):
        runs[function.rva] = observed
        on_progress(len(runs), len(functions), function.name)
    model = driver.code_model()
    results = [_reconciled(driver, model, function, runs[function.rva]) for function in functions]
    shown = {"seed": settings.seed, "inputs": settings.inputs, "budget": settings.budget}
    return _document(driver, shown, results)


def _reconciled(driver: Driver, model: CodeModel, function: Function, runs: FunctionRuns) -> FunctionResult:
    static = static_figures(model, function)
    measured = _measured(runs, static)
    verdict, why = reconcile(static.figures, measured, static.deepest_at, runs.reason)
    return _result(driver, function, static.figures, measured, verdict, why, runs.witness)


def _measured(runs: FunctionRuns, static: StaticResult) -> MeasuredFigures | None:
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
        blocks_seen=runs.blocks_seen,
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
) -> FunctionResult:
    return FunctionResult(
        name=function.name,
        module=driver.image.module,
        rva=function.rva,
        address=driver.image.base + function.rva,
        size=function.size,
        prototype=str(function.prototype) if function.prototype is not None else None,
        root=None,
        static=static,
        measured=measured,
        verdict=verdict,
        why=why,
        witness=witness,
    )


def _document(
    driver: Driver, settings: Mapping[str, int | str | bool | None], results: Sequence[FunctionResult]
) -> Measurement:
    image = driver.image
    symbols_path = str(driver.symbols_path) if driver.symbols_path is not None else None
    return Measurement(
        driver=DriverInfo(
            path=str(image.path),
            name=image.path.name,
            sha256=image.sha256,
            machine=image.machine,
            base=image.base,
            symbols=SymbolsInfo(source=driver.symbols_source, path=symbols_path),
        ),
        settings=dict(settings),
        functions=tuple(results),
        summary=_summary(driver, results),
    )


def _summary(driver: Driver, results: Sequence[FunctionResult]) -> Summary:
    measured = [(one.measured.depth, one.name) for one in results if one.measured and one.measured.depth is not None]
    deepest = max(measured, default=None)
    return Summary(
        functions=len(results),
        measured=len(measured),
        outcomes=dict(sorted(Counter(one.measured.outcome for one in results if one.measured).items())),
        verdicts=dict(sorted(Counter(one.verdict for one in results).items())),
        deepest=deepest[1] if deepest else None,
        deepest_bytes=deepest[0] if deepest else None,
        warnings=driver.warnings,
    )
