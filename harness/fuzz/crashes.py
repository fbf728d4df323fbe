"""Runs that ended badly: which kinds are kept, and which of them are the same."""

from __future__ import annotations

import re
from collections.abc import Callable

from stackemu.emu.faults import WILD_JUMP
from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Observation, Outcome
from stackemu.harness.contexts import Context

BUGCHECK, OVERFLOW, BUDGET = "bugcheck", "overflow", "budget"
WILD, IMBALANCE, FAULT = "wild-jump", "imbalance", "fault"
_KINDS = {Outcome.BUGCHECK: BUGCHECK, Outcome.OVERFLOW: OVERFLOW, Outcome.BUDGET: BUDGET}

_DATA = re.compile(r"(?<!at )(?<!\()0x[0-9a-f]+")
"""An address of data among the words of why a run ended: not the place in the code, nor a bugcheck's code."""

Signature = tuple[str, str, int]
"""The kind of a crash, why and where it happened, and the innermost function at the low-water mark."""


def kind_of(context: Context, observation: Observation, pops: int | None) -> str | None:
    """Return what kind of crash a run is, None for one that is none.

    `pops` is what the code of the function called takes off its caller's stack. Faults count in roles alone, in which
    arguments have the shape that the kernel gives them: a plain function may be called with anything.
    """
    kind = _KINDS.get(observation.outcome)
    if kind is not None:
        return kind
    if observation.outcome is Outcome.FAULTED:
        if (observation.why or "").startswith(WILD_JUMP):
            return WILD
        return FAULT if isinstance(context.way, Root) else None
    if observation.outcome is not Outcome.RETURNED or pops is None:
        return None
    popped = observation.popped
    # What leaves its frame to its caller is a helper; `breaches` says so in a survey.
    return IMBALANCE if popped is not None and popped >= 0 and popped != pops else None


class Crashes:
    """Tells crashes that are new from those that were seen."""

    def __init__(self, pops: Callable[[int], int | None]) -> None:
        """`pops` says what the code of the function at an RVA pops, None where that is not known."""
        self._pops = pops
        self._seen: set[Signature] = set()

    def new_kind(self, context: Context, observation: Observation) -> str | None:
        """Return the kind of a crash that was not seen before, None for anything else."""
        kind = kind_of(context, observation, self._pops(context.caller))
        if kind is None:
            return None
        # Every run without an end stops after as many instructions as it may take, somewhere in its loop.
        why = "" if kind in (BUDGET, OVERFLOW) else _DATA.sub("...", observation.why or "")
        innermost = observation.chain[-1].function if observation.chain else context.caller
        signature = (kind, why, innermost)
        if signature in self._seen:
            return None
        self._seen.add(signature)
        return kind
