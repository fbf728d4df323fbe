"""The listing of the debugger extension `!ace.stack_usage` (2011): one line a function, its locals first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stackemu.harness.printable import printable
from stackemu.harness.report.figures import address
from stackemu.harness.results import DriverInfo, FunctionResult, Measurement


def listed(functions: Iterable[FunctionResult]) -> list[FunctionResult]:
    """Return the functions that the listing has: those that are known to reserve locals."""
    return [function for function in functions if function.static.locals]


def render(measurement: Measurement, rows: Sequence[FunctionResult]) -> str:
    """Return the listing of `rows` in their order; functions without locals are left out."""
    return "".join(_line(measurement.driver, function) for function in listed(rows))


def _line(driver: DriverInfo, function: FunctionResult) -> str:
    # The extension printed what the debugger's `x` command printed: `name (types)`, or `name = ` without.
    types = f" {function.prototype}" if function.prototype is not None else " = "
    symbol = printable(f"{function.module}!{function.name}{types}")
    where = address(driver, function.address)
    return f"{function.static.locals} bytes used for locals by func: {where} {symbol}\n"
