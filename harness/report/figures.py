"""A function's figures as text: unknown ones as `-`, lower bounds with `>=`."""

from __future__ import annotations

from stackemu.harness.results import DriverInfo, FunctionResult, MeasuredFigures

UNKNOWN = "-"
"""What stands for a figure that is not known, or that is no constant."""


def number(value: int | None) -> str:
    """Return a figure as digits."""
    return UNKNOWN if value is None else str(value)


def is_lower_bound(measured: MeasuredFigures) -> bool:
    """Return whether the function might have gone deeper, had its run reached the return."""
    return measured.outcome != "returned"


def measured_number(measured: MeasuredFigures | None, value: int | None) -> str:
    """Return one of `measured`'s figures, marked when it is only a lower bound."""
    if measured is None or value is None:
        return UNKNOWN
    return f">={value}" if is_lower_bound(measured) else str(value)


def depth(function: FunctionResult) -> str:
    """Return the measured depth."""
    measured = function.measured
    return measured_number(measured, measured.depth if measured else None)


def bound(function: FunctionResult) -> str:
    """Return the bound, `=` where the measured depth reaches it: then the worst case is known."""
    return "=" if function.bracket == "closed" else number(function.static.bound)


def own(function: FunctionResult) -> str:
    """Return the function's own use, `measured/static`."""
    measured = function.measured
    return f"{measured_number(measured, measured.own if measured else None)}/{number(function.static.own)}"


def address(driver: DriverInfo, value: int) -> str:
    """Return an address as a debugger writes it: 8 hex digits, or two groups of 8 on x64."""
    if driver.machine == "x86":
        return f"{value:08x}"
    return f"{value >> 32:08x}`{value & 0xFFFFFFFF:08x}"


def counts(by_name: dict[str, int]) -> str:
    """Return counts by name as text, the largest first."""
    ordered = sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered if count)
