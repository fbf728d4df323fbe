"""What the branches of a run, as it went, ask of the places of the input."""

from __future__ import annotations

from collections.abc import Iterable

from stackemu.emu.code.expression import Expression, Term, evaluate, is_solvable, origins_of
from stackemu.emu.code.origin import Origin

MAX_CONDITIONS = 24
"""Conditions on one place that are kept: the first ones, which lead to all the others."""


class PathConditions:
    """The conditions that a run met so far, and how each came out."""

    def __init__(self) -> None:
        """Begin with none."""
        self._pending: list[tuple[Expression, bool]] = []
        self._by_place: dict[tuple[str, int, int], list[tuple[Expression, bool]]] = {}

    def add(self, condition: Term | None, holds: bool) -> None:
        """Take note of a condition; nothing is worked out before it is asked for."""
        if isinstance(condition, Expression):
            self._pending.append((condition, holds))

    def likeliest(self, ways: Iterable[tuple[Origin, int]]) -> list[tuple[Origin, int]]:
        """Return ways to turn a branch, first those with which the run would still come to that branch."""
        self._sort_in()
        return sorted(ways, key=self._broken)

    def _broken(self, way: tuple[Origin, int]) -> int:
        """Return how many earlier conditions would come out otherwise."""
        origin, value = way
        met = self._by_place.get(origin.place, ())
        return sum(bool(evaluate(condition, {origin.place: value})) is not holds for condition, holds in met)

    def _sort_in(self) -> None:
        for condition, holds in filter(lambda met: is_solvable(met[0]), self._pending):
            for place in origins_of(condition):
                met = self._by_place.setdefault(place, [])
                if len(met) < MAX_CONDITIONS:
                    met.append((condition, holds))
        self._pending.clear()
