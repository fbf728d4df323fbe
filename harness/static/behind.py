"""How deep a function may go from one of its blocks on, by its code alone: what a branch to that block may bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stackemu.emu.code.instruction import Instruction
from stackemu.harness.static.bounds import Bounds

NO_BOUND = 1 << 31
"""Bytes that stand for what has no bound: more than any stack holds."""


class Behind(NamedTuple):
    """The most that a function itself and its callees reach from a block on, in bytes below its entry's ESP."""

    own: int
    depth: int


class CodeBehind:
    """Answers for the functions whose bounds were computed; remembers them by function."""

    def __init__(self, bounds: Bounds) -> None:
        """`bounds` are those of the functions that will be asked for, and of all that they call."""
        self.bounds = bounds
        self._known: dict[int, dict[int, Behind]] = {}

    def of(self, function: int, leader: int) -> Behind:
        """Return how deep the function at an address may go from the block at `leader` on."""
        known = self._known.get(function)
        if known is None:
            known = self._known[function] = self._blocks(function)
        return known.get(leader, Behind(0, 0))

    def _blocks(self, function: int) -> dict[int, Behind]:
        """Return it for each block: the most of the block itself and of all blocks that may follow it."""
        code = self.bounds.graph.model.code(function)
        calls = self._calls(function)
        figures: dict[int, Behind] = {}
        before: dict[int, list[int]] = {}
        for leader in code.leaders:
            block = code.block(leader)
            figures[leader] = self._block(function, block.instructions, calls)
            for following in block.following:
                before.setdefault(following, []).append(leader)
        changed = sorted(figures)
        while changed:
            leader = changed.pop()
            for earlier in before.get(leader, ()):
                deeper = Behind(*map(max, figures[earlier], figures[leader]))
                if deeper != figures[earlier]:
                    figures[earlier] = deeper
                    changed.append(earlier)
        return figures

    def _block(self, function: int, block: Sequence[Instruction], calls: dict[int, Behind]) -> Behind:
        esp_before = self.bounds.graph.model.heights(function).esp_before
        own = depth = 0
        for instruction in block:
            # An instruction that the data flow never came to stands behind one that it could not follow.
            esp = esp_before.get(instruction.address)
            below = NO_BOUND if esp is None else -esp
            call = calls.get(instruction.address, Behind(0, 0))
            own, depth = max(own, below, call.own), max(depth, below, call.depth)
        return Behind(own, depth)

    def _calls(self, function: int) -> dict[int, Behind]:
        """Return how deep each call and tail jump may take the function, by its address."""
        graph = self.bounds.graph
        heights = graph.model.heights(function)
        found = {}
        for site in graph.sites(function):
            esp = heights.esp_before.get(site.address)
            if esp is None:
                continue
            own = -esp + (0 if site.is_tail else 4)
            if site.is_helper:
                own = max(own, -heights.helper_lowest[site.address])
            below = (own + edge.below + self._bound(edge.callee) for edge in graph.all_edges(site))
            found[site.address] = Behind(own, max(below, default=own))
        return found

    def _bound(self, function: int) -> int:
        bound, _ = self.bounds.worst(function)
        return NO_BOUND if bound.reasons else bound.bytes
