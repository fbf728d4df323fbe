"""What forced branches showed, in words that keep it apart from what was measured."""

from __future__ import annotations

from stackemu.harness.report import chain
from stackemu.harness.results import ForcedBranchFigures, ForcedFigures

MAX_BRANCHES = 3
"""Branches of one run that are named."""


def sentence(forced: ForcedFigures) -> str:
    """Return the estimate in one line, with the branches that it takes and that it is no measurement."""
    ending = "" if forced.outcome == "returned" else f"; {forced.outcome} there"
    return f"{forced.depth} bytes deep (own {forced.own}) if {_condition(forced.branches)}{ending} (not measured)"


def deepest_chain(forced: ForcedFigures) -> str:
    """Return the frames at the low-water mark of the forced run, in one line."""
    return chain.path(forced.chain)


def branches(forced: ForcedFigures) -> str:
    """Return the branches in one cell, with where each goes."""
    return "; ".join(f"{one.address:#x}>{one.target:#x}" for one in forced.branches)


def _condition(forced: tuple[ForcedBranchFigures, ...]) -> str:
    """Return what the branches would have to do: as `the branch at 0x401000 were taken`."""
    named = [f"{one.address:#010x} were {'taken' if one.taken else 'not taken'}" for one in forced[:MAX_BRANCHES]]
    left = len(forced) - len(named)
    return f"the branch at {', that at '.join(named)}{f', and {left} more went another way' if left else ''}"
