"""The order of a report's rows: `--sort KEY` and `--top N`."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from stackemu.harness.results import FunctionResult


class SortKey(enum.StrEnum):
    """What a report is sorted by: figures from the largest down, name and address upwards."""

    DEPTH = "depth"
    OWN = "own"
    STATIC = "static"
    BOUND = "bound"
    FRAME = "frame"
    LOCALS = "locals"
    NAME = "name"
    ADDRESS = "address"


MEASURED_KEYS = frozenset({SortKey.DEPTH, SortKey.OWN})
"""The keys that only a run has figures for."""

_FIGURES: dict[SortKey, Callable[[FunctionResult], int | None]] = {
    SortKey.DEPTH: lambda function: function.measured.depth if function.measured else None,
    SortKey.OWN: lambda function: function.measured.own if function.measured else None,
    SortKey.STATIC: lambda function: function.static.own,
    SortKey.BOUND: lambda function: function.static.bound,
    SortKey.FRAME: lambda function: function.static.frame,
    SortKey.LOCALS: lambda function: function.static.locals,
}


def arrange(functions: Sequence[FunctionResult], key: SortKey, top: int | None = None) -> tuple[FunctionResult, ...]:
    """Return the first `top` functions (all when None) in the order of `key`.

    Functions whose figure is not known come last; ties are in ascending order of address.
    """
    by_address = sorted(functions, key=lambda function: function.address)
    if key is SortKey.NAME:
        by_address.sort(key=lambda function: function.name.casefold())
    elif key is not SortKey.ADDRESS:
        figure = _FIGURES[key]
        by_address.sort(key=lambda function: _descending(figure(function)))
    return tuple(by_address[:top])


def _descending(figure: int | None) -> tuple[bool, int]:
    """Return a key that puts large figures first and unknown ones last."""
    return (figure is None, -(figure or 0))
