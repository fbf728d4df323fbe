"""Branches that one run left aside, turned: the inputs that lead there, worked out from the conditions."""

from __future__ import annotations

import time
from collections.abc import Iterable

from stackemu.emu.code.model import CodeModel
from stackemu.emu.inputs import Input
from stackemu.emu.machine import Machine, Recording
from stackemu.emu.observation import Observation
from stackemu.harness.contexts import Context
from stackemu.harness.explore import Attempt, Explorer

MAX_ATTEMPTS = 400
"""Inputs that are tried from one run."""


class _TimeIsUpError(Exception):
    """There is no time for another run."""


def attempts_from(
    machine: Machine, model: CodeModel, base: int, parent: Context, seen: Iterable[int], budget: int, until: float
) -> tuple[list[Attempt], bool]:
    """Return the runs that were tried to get from `parent` to blocks that are not among `seen`, itself the first.

    The machine is in the state that the calls before the run left. Ends at `until`, by `time.monotonic`; also returns
    whether more would have been tried.
    """

    def check() -> None:
        if time.monotonic() >= until:
            raise _TimeIsUpError

    def run(source: Input, _variant: int) -> Observation:
        check()
        return machine.call(parent.caller, source, parent.way, alignment=parent.alignment, budget=budget)

    def record(source: Input, _variant: int) -> Recording:
        check()
        return machine.record(parent.caller, source, parent.way, alignment=parent.alignment, budget=budget)

    explorer = Explorer(model, base + parent.caller, run, record, is_deep=True)
    try:
        explorer.try_all([parent.source], 1)
        explorer.know(seen)
        explorer.explore(MAX_ATTEMPTS)
    except _TimeIsUpError:
        return explorer.attempts, True
    return explorer.attempts, False
