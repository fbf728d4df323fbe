"""The document of a survey: a record of each function, of the driver, and what they come to together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from stackemu.emu.symbols.function import Function
from stackemu.harness.printable import path_text, printable
from stackemu.harness.results import (
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
from stackemu.harness.session import Driver


def function_result(
    driver: Driver,
    function: Function,
    static: StaticFigures,
    measured: MeasuredFigures | None,
    verdict: str,
    why: str | None,
    witness: str | None = None,
    state: str | None = None,
    roles: Sequence[RoleFigures] = (),
) -> FunctionResult:
    """Return the record of one function; `state` is that of its bracket, `roles` those that it was run in."""
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
        roles=tuple(roles),
    )


def document(
    driver: Driver,
    settings: Mapping[str, int | str | bool | None],
    results: Sequence[FunctionResult],
    initialisation: Initialisation | None = None,
) -> Measurement:
    """Return the whole document; `settings` are what the figures depend on besides the driver."""
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
