"""The order of measuring: what the kernel calls comes first, since it registers more functions to be called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Outcome
from stackemu.emu.symbols.function import Function
from stackemu.harness.bring_up import BringUp, entry_root
from stackemu.harness.contexts import Figures, deeper_contexts
from stackemu.harness.runs import FunctionRuns, Task
from stackemu.harness.session import Driver

MAX_ROUNDS = 5
"""How often functions are measured because others registered them for roles; the rest is left as it is."""


class Crew(Protocol):
    """Whoever measures functions: processes of this machine, or those of a campaign."""

    @property
    def bring_up(self) -> BringUp:
        """How the driver came up, with the roots known so far."""

    def measure(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, FunctionRuns]]:
        """Yield each task with its runs as they are finished, in no particular order."""


def measure_in_rounds(
    driver: Driver,
    functions: Sequence[Function],
    crew: Crew,
    on_progress: Callable[[int, int, str], None],
    *,
    explain: bool = False,
    alignments: Mapping[int, int] = MappingProxyType({}),
) -> dict[int, FunctionRuns]:
    """Return the runs of each function by its RVA; `alignments` are entry alignments to try, by RVA, besides 0.

    First the roots that the driver registered while it was brought up, then those that were registered in their
    runs, and so on; last what nobody registered. A function that is registered even later is measured again.
    """
    # What was registered at the start comes first: its contexts are there in every run.
    roots = [*(root for root in (entry_root(driver.image),) if root), *crew.bring_up.roots]
    runs: dict[int, FunctionRuns] = {}
    measured_in: dict[int, tuple[Root, ...]] = {}
    for _ in range(MAX_ROUNDS):
        roles = roles_by_rva(driver.image.base, roots)
        tasks = [
            Task(function, roles[function.rva], explain, alignment=alignments.get(function.rva, 0))
            for function in functions
            if roles.get(function.rva, ()) != measured_in.get(function.rva, ())
        ]
        tasks = tasks or _without_roles(functions, runs, explain, alignments)
        if not tasks:
            break
        _measure(crew, tasks, runs, len(functions), on_progress)
        measured_in.update((task.function.rva, task.roles) for task in tasks)
        found = frozenset().union(*(one.roots for one in runs.values()))
        roots += sorted(found.difference(roots), key=lambda one: (one.address, one.role, one.kind, one.context))
    left = _without_roles(functions, runs, explain, alignments)
    _measure(crew, left, runs, len(functions), on_progress)
    _look_into_callers(driver, functions, crew, runs)
    return runs


def _without_roles(
    functions: Sequence[Function], runs: Mapping[int, FunctionRuns], explain: bool, alignments: Mapping[int, int]
) -> list[Task]:
    """Return tasks for the functions that have no runs yet."""
    return [
        Task(function, (), explain, alignment=alignments.get(function.rva, 0))
        for function in functions
        if function.rva not in runs
    ]


def _look_into_callers(
    driver: Driver, functions: Sequence[Function], crew: Crew, runs: dict[int, FunctionRuns]
) -> None:
    """Where a function went deeper in a run of its callers than in its own, let the deeper figures count."""
    base = driver.image.base
    measured = {
        base + rva: Figures(one.own, one.best.depth, one.best.outcome is Outcome.RETURNED)
        for rva, one in runs.items()
        if one.best is not None
    }
    visits = [visit for rva in sorted(runs) for visit in runs[rva].visits]
    contexts = deeper_contexts(visits, measured)
    tasks = [
        Task(function, contexts=contexts[base + function.rva])
        for function in functions
        if base + function.rva in contexts
    ]
    for task, found in crew.measure(tasks):
        runs[task.function.rva] = runs[task.function.rva].joined(found)


def _measure(
    crew: Crew,
    tasks: Sequence[Task],
    runs: dict[int, FunctionRuns],
    total: int,
    on_progress: Callable[[int, int, str], None],
) -> None:
    for task, observed in crew.measure(tasks):
        runs[task.function.rva] = observed
        on_progress(len(runs), total, task.function.name)


def roles_by_rva(base: int, roots: Iterable[Root]) -> dict[int, tuple[Root, ...]]:
    """Return the roles of each function by its RVA; of several contexts of one role the first counts."""
    found: dict[int, dict[str, Root]] = {}
    for root in roots:
        found.setdefault(root.address - base, {}).setdefault(root.role, root)
    return {rva: tuple(roles.values()) for rva, roles in found.items()}
