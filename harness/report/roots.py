"""The functions that the kernel itself calls, each role against the stack that it starts with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackemu.harness.printable import printable
from stackemu.harness.results import FunctionResult

STACK_SIZE = 12 * 1024
"""A kernel stack on x86, in bytes."""
SHOWN = 10
"""Roots that a short report shows."""
_RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class RootRow:
    """One role of one function, as text: bytes, percent of the stack, role, function."""

    depth: str
    share: str
    role: str
    function: str


def root_rows(functions: Sequence[FunctionResult], *, verbose: bool = False) -> list[RootRow]:
    """Return the roles of `functions`, the deepest first; without `verbose` only the first `SHOWN`."""
    roles = [(role, function.name) for function in functions for role in function.roles]
    roles.sort(key=lambda item: (-item[0].depth, item[0].role, item[1]))
    return [
        RootRow(
            depth=f"{'' if role.outcome == _RETURNED else '>='}{role.depth}",
            share=f"{100 * role.depth / STACK_SIZE:.1f} %",
            role=printable(role.role),
            function=printable(name),
        )
        for role, name in (roles if verbose else roles[:SHOWN])
    ]
