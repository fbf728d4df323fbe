"""Random changes and solved branches in turns: changes come to code whose branches say how to get further."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stackemu.harness.contexts import RUNAWAY
from stackemu.harness.explore import Attempt, Explorer
from stackemu.harness.havoc import Havoc

BATCH = 512
"""Executions of a batch: what one finds is changed further by the next."""
EXECUTIONS_PER_CALL = 4
"""Executions for each call of a kernel function that they may make, since those take most of the time."""
MAX_FINDS = 64
"""Finds of one batch that are run canonically."""
INPUTS_PER_RUN = 50
"""Of the inputs to solve, for each run whose branches are solved after a batch that came to new code."""


def take_turns(
    explorer: Explorer, havocs: Sequence[Havoc], *, executions: int, limit: int, patience: float, seed: int
) -> None:
    """Change inputs of the exploration in up to so many executions, and solve up to `limit` inputs in between.

    `havocs` are those of its variants. Everything that is found becomes an attempt of the explorer. It ends early
    when a part of the batches finds nothing that is `patience` of all, in a row.
    """
    last = len(explorer.attempts) + limit
    calls = -(-executions // EXECUTIONS_PER_CALL)
    pool = list(explorer.corpus)
    changed: Counter[int] = Counter()
    """How often each attempt of the pool was changed, by its place there."""
    batches = -(-executions // BATCH)
    fruitless = 0
    for turn in range(batches):
        left = calls - sum(havoc.spent for havoc in havocs)
        if left <= 0 or fruitless >= patience * batches:
            return
        place = _deepest(pool, changed) if turn % 2 else _newest(pool, changed)
        changed[place] += 1
        parent, before = pool[place], len(explorer.corpus)
        batch = havocs[parent.variant].batch(
            parent.source,
            executions=min(BATCH, executions - BATCH * turn),
            seed=seed + turn,
            kernel_calls=-(-left // (batches - turn)),
        )
        fruitless = 0 if batch.finds else fruitless + 1
        pool += [explorer.take(find.source, parent.variant) for find in batch.finds[:MAX_FINDS]]
        if len(explorer.corpus) > before:
            explorer.explore(max(last - len(explorer.attempts), 0), -(-limit // INPUTS_PER_RUN))
            pool += [one for one in explorer.corpus[before:] if one not in pool]


def _deepest(pool: Sequence[Attempt], changed: Counter[int]) -> int:
    """Return the place of the deepest attempt among those that were changed least; one that ran away comes last."""

    def rank(place: int) -> tuple[int, bool, int]:
        observation = pool[place].observation
        return changed[place], observation.outcome in RUNAWAY, -observation.depth

    return min(range(len(pool)), key=rank)


def _newest(pool: Sequence[Attempt], changed: Counter[int]) -> int:
    """Return the place of the newest attempt among those that were changed least."""
    return min(range(len(pool)), key=lambda place: (changed[place], -place))
