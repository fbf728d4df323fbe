"""Which inputs of a corpus others make superfluous: smaller ones that together show all the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from stackemu.harness.contexts import RUNAWAY, Context
from stackemu.harness.fuzz.share import Found
from stackemu.harness.witness import input_size


def superfluous(runs: Sequence[Found]) -> list[Context]:
    """Return the runs that can go without losing a block, the depth of a path or a way to end of any function.

    Of each of these the smallest input that shows it is kept; then, the rarest first, no more than are needed.
    """
    smallest_first = sorted(runs, key=lambda found: (input_size(found.context), found.context.caller))
    deepest: dict[Hashable, int] = {}
    for found in runs:
        path = _path(found)
        deepest[path] = max(deepest.get(path, 0), found.observation.depth)
    holders: dict[Hashable, list[int]] = {}
    for index, found in enumerate(smallest_first):
        for feature in _features(found, deepest):
            holders.setdefault(feature, []).append(index)
    kept: set[int] = set()
    for _, indices in sorted(holders.items(), key=lambda item: (len(item[1]), item[1])):
        if kept.isdisjoint(indices):
            kept.add(indices[0])
    return [found.context for index, found in enumerate(smallest_first) if index not in kept]


def _path(found: Found) -> Hashable:
    return found.context.caller, tuple(share.function for share in found.observation.chain)


def _features(found: Found, deepest: dict[Hashable, int]) -> Iterator[Hashable]:
    """Yield what a run shows; a depth only where no other run of its path goes deeper."""
    observation = found.observation
    yield from observation.blocks
    yield found.context.caller, observation.outcome, observation.why
    if observation.outcome not in RUNAWAY and observation.depth == deepest[_path(found)]:
        yield "path", _path(found)
