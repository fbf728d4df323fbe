"""One worker's machine and what it knows: takes shares of a campaign's work and returns what they came to."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from stackemu.emu.batches import Reason
from stackemu.emu.errors import InputError
from stackemu.emu.inputs import Input
from stackemu.emu.observation import Observation, Outcome
from stackemu.harness.contexts import RUNAWAY, Context, Figures, Step, Visit, deeper_contexts
from stackemu.harness.fuzz.dictionary import tokens, tokens_of
from stackemu.harness.fuzz.guidance import Guidance, News
from stackemu.harness.fuzz.minimise import minimised, written_out
from stackemu.harness.fuzz.package import MissingPackageError, Package, open_package
from stackemu.harness.fuzz.pool import Missing
from stackemu.harness.fuzz.sequences import draw_step, mutate_steps
from stackemu.harness.fuzz.share import (
    Found,
    GoOn,
    Harvest,
    Minimise,
    Mutate,
    Rearrange,
    Repeat,
    Share,
    Solve,
    Survey,
)
from stackemu.harness.havoc import Havoc
from stackemu.harness.measure import Measurer
from stackemu.harness.runs import FunctionRuns, RunSettings, Task
from stackemu.harness.search import Search
from stackemu.harness.session import Driver
from stackemu.harness.states import BrokenSequenceError

MAX_DRIVERS = 2
"""Machines that a worker keeps, for it may be given shares of several campaigns."""
MAX_STRINGS = 64
"""Strings of the image that are tried in every function."""
MAX_SEARCHES = 64
"""Surveys that a worker can go on with."""
SLICE = 0.25
"""Seconds that one input is changed before those that this led to have their turn."""
SEQUENCE_EXECUTIONS = 500
"""Changed inputs that are tried behind calls that were changed."""


def work(package: Package, share: Share) -> Harvest | Missing:
    """Do a share of the work on a driver; this is what the processes of a pool run."""
    try:
        bench = _bench(package, share.settings)
    except MissingPackageError:
        return Missing()
    return bench.take(share)


@lru_cache(maxsize=MAX_DRIVERS)
def _bench(package: Package, settings: RunSettings) -> Bench:
    return Bench(open_package(package), settings)


class Bench:
    """Runs shares of one driver on one machine."""

    def __init__(self, driver: Driver, settings: RunSettings) -> None:
        """Bring the driver up."""
        self._base = driver.image.base
        self._functions = {driver.image.base + function.rva: function for function in driver.functions}
        self._model = driver.code_model()
        self._settings = settings
        self._measurer = Measurer(driver, settings)
        self._guidance = Guidance()
        self._floors: dict[int, Figures] = {}
        self._found: list[Found] = []
        self._deeper: dict[int, FunctionRuns] = {}
        self._until = 0.0
        self._strings = tokens(driver)[:MAX_STRINGS]
        self._dictionary: dict[int, tuple[bytes, ...]] = {}
        self._searches: dict[Task, Search] = {}
        """Surveys that may be gone on with, the latest last."""
        self._looked_at: set[Context] = set()
        """Runs of surveys that the campaign was told of."""

    def take(self, share: Share) -> Harvest:
        """Do one share."""
        self._until = time.monotonic() + share.seconds
        self._found, self._deeper = [], {}
        for address, floor in share.floors.items():
            self._floors[address] = _higher(self._floors.get(address), floor)
        match share.work:
            case Survey(task):
                return self._survey(task)
            case GoOn(task, known):
                return self._go_on(task, known, share)
            case Repeat(contexts):
                return self._repeat(contexts)
            case Mutate(parent):
                executions = self._mutate(parent, share)
            case Solve(parent):
                return self._solve(parent, share)
            case Rearrange(parent, steps):
                executions = self._rearrange(parent, steps, share)
            case Minimise(rva, parent):
                return self._minimise(rva, parent, share)
        return self._harvest(executions)

    def _harvest(self, executions: int) -> Harvest:
        roots = frozenset(self._measurer.bring_up.roots)
        return Harvest(
            executions,
            tuple(self._found),
            tuple(self._deeper.values()),
            bring_up=self._measurer.bring_up,
            roots=roots.union(*(one.observation.roots for one in self._found)),
        )

    # -- kinds of work --

    def _repeat(self, contexts: Sequence[Context]) -> Harvest:
        """Make runs that others found; files may say anything of them."""
        executions, refused = 0, []
        for context in contexts:
            try:
                executions += self._look(context, is_wanted=True)
            except InputError as error:
                refused.append(str(error))
        return replace(self._harvest(executions), refused=tuple(refused))

    def _survey(self, task: Task) -> Harvest:
        if task.contexts:
            runs = self._measurer.measure(task)
            return self._surveyed(runs, runs.runs)
        search = self._measurer.begin(task)
        self._remember(task, search)
        return self._gone_on(task, search, 0)

    def _go_on(self, task: Task, known: Sequence[Context], share: Share) -> Harvest:
        """Go on with a survey; one that another worker began goes on from the runs that are known of it."""
        search = self._searches.get(task)
        if search is None:
            search = self._measurer.begin(task, ())
            ways = {variant: index for index, variant in enumerate(search.variants)}
            for context in known:
                if (context.way, context.alignment) in ways and context.before == task.before:
                    search.explorer.take(context.source, ways[context.way, context.alignment])
            search.explorer.know(share.blocks)
            self._remember(task, search)
        return self._gone_on(task, search, len(search.explorer.attempts))

    def _gone_on(self, task: Task, search: Search, before: int) -> Harvest:
        """Go on with a search until the share's time is up; `before` of its runs were told of earlier."""
        self._measurer.go_on(task, search, self._until)
        attempts = len(search.explorer.attempts)
        if not attempts:
            return self._harvest(0)
        harvest = self._surveyed(self._measurer.runs_of(task, search), attempts - before)
        return replace(harvest, is_cut_off=not search.is_over)

    def _surveyed(self, runs: FunctionRuns, executions: int) -> Harvest:
        # What the campaign goes on from: the runs that showed all the code that was seen, and the deepest.
        for context in dict.fromkeys((*runs.corpus, *((runs.context,) if runs.context else ()))):
            if context not in self._looked_at:
                self._looked_at.add(context)
                self._look(context, is_wanted=True)
        return replace(self._harvest(executions), surveyed=runs)

    def _remember(self, task: Task, search: Search) -> None:
        self._searches[task] = search
        if len(self._searches) > MAX_SEARCHES:
            del self._searches[next(iter(self._searches))]

    def _mutate(self, parent: Context, share: Share) -> int:
        """Change an input, then those that this led to, breadth first."""
        waiting, executions, turn = deque([parent]), 0, 0
        while waiting and executions < share.executions and (left := self._until - time.monotonic()) > 0:
            before = len(self._found)
            seconds = min(left, SLICE) if len(waiting) > 1 else left
            context = waiting.popleft()
            executions += self._batch(context, share.seed + turn, share.executions - executions, seconds)
            waiting.extend(one.context for one in self._found[before:])
            turn += 1
        return executions

    def _batch(self, parent: Context, seed: int, executions: int, seconds: float) -> int:
        """Run changed inputs natively and look at those that showed more; returns the number of runs."""
        try:
            self._measurer.states.enter(parent.before, (parent.way,))
        except BrokenSequenceError:
            return 0
        havoc = Havoc(
            self._measurer.machine,
            parent.caller,
            parent.way,
            parent.alignment,
            budget=self._settings.budget,
            dictionary=self._tokens(self._base + parent.caller),
        )
        batch = havoc.batch(
            parent.source, executions=max(executions, 1), seed=seed, deadline=time.monotonic() + seconds
        )
        for find in batch.finds:
            self._look(replace(parent, source=find.source), is_edge=bool(find.reasons & Reason.EDGE))
        return batch.executions

    def _tokens(self, address: int) -> tuple[bytes, ...]:
        """Return the words of a function, then strings of the whole image; worked out when first asked for."""
        known = self._dictionary.get(address)
        if known is None:
            known = self._dictionary[address] = (*tokens_of(self._model, address), *self._strings)
        return known

    def _rearrange(self, parent: Context, steps: Sequence[Step], share: Share) -> int:
        """Change the calls before a run, and look at what it does then, or at another call."""
        generator, executions = random.Random(share.seed), 0
        last = self._measurer.step_of(parent)
        while executions < share.executions and time.monotonic() < self._until:
            executions += 1
            try:
                context = self._behind_others(generator, parent, last, steps)
            except BrokenSequenceError:
                continue
            if context is None:
                continue
            before = len(self._found)
            executions += self._look(context)
            if len(self._found) > before:
                left = self._until - time.monotonic()
                executions += self._batch(context, share.seed, SEQUENCE_EXECUTIONS, min(max(left, 0.0), SLICE))
        return executions

    def _behind_others(
        self, generator: random.Random, parent: Context, last: Step | None, known: Sequence[Step]
    ) -> Context | None:
        """Return a run behind other calls than `parent` has before it, None where no call may come then."""
        states = self._measurer.states
        roots = states.after(parent.before).roots
        steps = states.settled(mutate_steps(generator, parent.before, roots, known))
        roots = states.after(steps).roots
        if last is None or generator.randrange(2):
            last = draw_step(generator, roots, steps, known)
        return self._measurer.context_behind(steps, last) if last is not None else None

    def _solve(self, parent: Context, share: Share) -> Harvest:
        """Turn the branches that a run left aside."""
        try:
            attempts, is_cut_off = self._measurer.onward(parent, share.blocks, self._until)
        except BrokenSequenceError:
            return self._harvest(0)
        for attempt in attempts[1:]:
            self._keep(replace(parent, source=attempt.source), attempt.observation)
        return replace(self._harvest(len(attempts)), is_cut_off=is_cut_off)

    def _minimise(self, rva: int, parent: Context, share: Share) -> Harvest:
        """Look for the smallest input with the same figures, frames and ending."""
        runs = 0
        wanted = _shown(self._measurer.repeat(rva, parent))

        def holds(context: Context) -> bool:
            nonlocal runs
            if time.monotonic() >= self._until:
                return False
            runs += 1
            try:
                return _shown(self._measurer.repeat(rva, context)) == wanted
            except BrokenSequenceError:
                return False

        smallest = minimised(parent, holds, self._written_out, attempts=share.executions)
        if smallest != parent:
            function = self._functions[self._base + rva]
            self._deeper[rva] = self._measurer.measure(Task(function, contexts=(smallest,)))
        return replace(self._harvest(runs), minimised=smallest)

    def _written_out(self, context: Context) -> Input | None:
        """Return the input of the same run with everything that it reads as a value of its own."""
        try:
            self._measurer.states.enter(context.before, (context.way,))
        except BrokenSequenceError:
            return None
        return written_out(
            self._measurer.machine,
            context.caller,
            context.source,
            context.way,
            alignment=context.alignment,
            budget=self._settings.budget,
        )

    # -- what runs show --

    def _look(self, context: Context, *, is_wanted: bool = False, is_edge: bool = False) -> bool:
        """Repeat a run by the book, and keep it where it shows something new, an edge too, or is wanted anyway.

        Returns whether there was a run: the kernel may not come to it.
        """
        try:
            observation = self._measurer.repeat(context.caller, context)
        except BrokenSequenceError:
            return False
        self._keep(context, observation, is_wanted=is_wanted, is_edge=is_edge)
        return True

    def _keep(
        self, context: Context, observation: Observation, *, is_wanted: bool = False, is_edge: bool = False
    ) -> None:
        news = self._guidance.judge(context, observation)
        if news is not News.NONE or is_wanted or is_edge:
            self._found.append(Found(context, observation, self._measurer.step_of(context), is_edge))
            self._note_deeper(context, observation)

    def _note_deeper(self, context: Context, observation: Observation) -> None:
        """Measure the functions that went deeper in a run than they were known to."""
        ran_away = observation.outcome in RUNAWAY
        visits = [
            Visit(mark.function, mark.own, mark.depth, mark.is_over, context)
            for mark in observation.marks
            if mark.is_over or not ran_away
        ]
        for address, contexts in deeper_contexts(visits, self._floors).items():
            function = self._functions.get(address)
            if function is None:
                continue
            runs = self._measurer.measure(Task(function, contexts=contexts))
            known = self._deeper.get(function.rva)
            runs = known.joined(runs) if known is not None else runs
            self._deeper[function.rva] = runs
            if runs.best is not None:
                shown = Figures(runs.own, runs.best.depth, runs.best.outcome is Outcome.RETURNED)
                self._floors[address] = _higher(self._floors.get(address), shown)


def _higher(known: Figures | None, other: Figures) -> Figures:
    """Return what is known of a function when `other` is known as well."""
    if known is None:
        return other
    deepest = max((known, other), key=lambda figures: (figures.depth, figures.returned))
    return replace(deepest, own=max(known.own, other.own))


def _shown(observation: Observation) -> tuple[object, ...]:
    """Return what a smaller input has to show as well."""
    return observation.outcome, observation.own, observation.depth, observation.chain
