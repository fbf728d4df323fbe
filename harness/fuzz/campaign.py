"""A campaign: hands out shares of work until its time is up, and takes in what they come to.

It begins as `stackemu run` does, with a survey of every function under test, goes on with what the schedule chooses,
and ends by making the inputs of the deepest runs small. One that finds a corpus repeats its inputs first.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from stackemu.emu.symbols.function import Function
from stackemu.harness.bring_up import BringUp
from stackemu.harness.contexts import Context
from stackemu.harness.fuzz.corpus import Corpus
from stackemu.harness.fuzz.cull import superfluous
from stackemu.harness.fuzz.ledger import Ledger
from stackemu.harness.fuzz.pool import Lost, Pool
from stackemu.harness.fuzz.progress import Crash, Progress, Standing
from stackemu.harness.fuzz.schedule import Schedule
from stackemu.harness.fuzz.share import Found, GoOn, Harvest, Minimise, Repeat, Share, Solve, Survey, Work
from stackemu.harness.rounds import measure_in_rounds
from stackemu.harness.runs import FunctionRuns, RunSettings, Task
from stackemu.harness.session import Driver
from stackemu.harness.witness import Witness, context_of

SHARE_SECONDS = 0.5
"""What is not handed in yet is lost when a process is killed: no more than this."""
FIRST_SECONDS = 0.1
"""Shares are shorter at first, so that every function has its turn soon."""
AHEAD = 2
"""Shares that are handed out for each worker, so that none waits for its next."""
SHARE_EXECUTIONS = 1 << 20
REPEATED = 32
"""Known runs that one share repeats."""
MINIMISING = 0.1
"""The part of a campaign's time that is kept for making inputs small at its end,"""
MINIMISING_SECONDS = 10.0
"""but no more than this."""
SPARE_SECONDS = 1.0
"""What is left when all inputs are small is used for a further search, unless it is less than this."""
MINIMISE_EXECUTIONS = 4000
RATE_SECONDS = 5.0
"""The time over which executions a second are counted."""
POLL = 0.5
"""Seconds after which the progress is told even when nothing came in."""

_SPREAD = 1_000_003
"""A prime that keeps the seeds of campaigns apart."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a campaign ends: after so many seconds or executions, or when it is interrupted."""

    seconds: float | None = None
    executions: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a campaign came to."""

    progress: Progress
    standings: tuple[Standing, ...]
    crashes: tuple[Crash, ...]
    lost: tuple[str, ...]
    """Why work did not come back: the emulator crashed, or a worker was lost for good."""
    bring_up: BringUp | None


Watcher = Callable[[Progress, "Campaign"], None]


class _TimeIsUpError(Exception):
    """The campaign is over, wherever it stands."""


class Campaign:
    """One campaign on one driver."""

    def __init__(
        self,
        driver: Driver,
        functions: Sequence[Function],
        settings: RunSettings,
        corpus: Corpus,
        pool: Pool[Share, Harvest],
        limits: Limits,
        watch: Watcher,
    ) -> None:
        """`watch` is told of the progress, a few times a second at most."""
        self._driver = driver
        self._functions = functions
        self._settings = settings
        self._corpus = corpus
        self._pool = pool
        self._limits = limits
        self._watch = watch
        self._schedule = Schedule(settings.seed)
        self.ledger = Ledger(driver, functions, settings, corpus, self._schedule)
        self._numbers = itertools.count(1)
        self._lost: list[str] = []
        self._bring_up: BringUp | None = None
        self._under_way = 0
        self._unfinished: deque[Task] = deque()
        """Surveys that were cut off."""
        self._started = time.monotonic()
        self._seen_before = 0
        self._executions_before = 0
        # One that goes on changes inputs in other ways than before.
        self._seeds = (settings.seed * _SPREAD + corpus.input_count) * _SPREAD % (1 << 63)
        self._rates: deque[tuple[float, int]] = deque()

    def run(self) -> Result:
        """Run until the limits are reached; an interrupt (Ctrl-C) ends the campaign early, and nothing is lost."""
        with contextlib.suppress(_TimeIsUpError, KeyboardInterrupt):
            self._run()
        return self._result()

    def make_small(self) -> Result:
        """Drop the inputs that others make superfluous, and make those of the deepest runs small."""
        try:
            runs = self._resume()
            for context in superfluous(runs):
                self._corpus.remove_input(context)
            self._make_small(math.inf)
        except KeyboardInterrupt:
            pass
        return self._result()

    def _run(self) -> None:
        self._resume()
        self._seen_before = self.ledger.coverage.seen
        # What is allowed is for what is new, however much there was before.
        self._started, self._executions_before = time.monotonic(), self.ledger.executions
        with contextlib.suppress(_TimeIsUpError):
            self._survey()
        seconds = self._limits.seconds
        kept = MINIMISING_SECONDS if seconds is None else min(MINIMISING_SECONDS, MINIMISING * seconds)
        while self._fuzz(kept):
            self._make_small(max(self._end, time.monotonic() + kept))
            left = self._end - time.monotonic()
            if left < SPARE_SECONDS:
                return
            kept = MINIMISING * left
        self._make_small(max(self._end, time.monotonic() + kept))

    @property
    def _end(self) -> float:
        """When the time is up, by `time.monotonic`; long ago where only executions are limited."""
        return self._started + self._limits.seconds if self._limits.seconds is not None else -math.inf

    # -- what is known already --

    def _resume(self) -> list[Found]:
        """Repeat the runs that the corpus holds, and return them: first those of each function that went deepest."""
        base = self._driver.image.base
        by_rva = {function.rva: function for function in self._functions}
        witnesses = [one for one in self._corpus.witnesses() if one.rva in by_rva]
        works: list[Work] = [Repeat(())]  # brings the driver up, and says how
        works += [Survey(Task(by_rva[one.rva], contexts=(context_of(one, base),))) for one in witnesses]
        known = [context_of(one, base) for one in _both(self._corpus.inputs(), self._corpus.crashes())]
        works += [Repeat(tuple(known[at : at + REPEATED])) for at in range(0, len(known), REPEATED)]
        harvests = [harvest for _, harvest in self._through(works, is_limited=False) if isinstance(harvest, Harvest)]
        return [found for harvest in harvests for found in harvest.found]

    # -- the survey --

    def _survey(self) -> None:
        """Measure every function that the corpus has no run of, as `stackemu run` does."""
        left = [function for function in self._functions if function.rva not in self.ledger.runs]
        if left:
            measure_in_rounds(self._driver, left, self, lambda *_: None)

    @property
    def bring_up(self) -> BringUp:
        """How the driver came up, with all roots that are known by now."""
        known = self._bring_up or BringUp.skipped(None)
        return replace(known, roots=tuple(dict.fromkeys((*known.roots, *self.ledger.roots))))

    def measure(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, FunctionRuns]]:
        """Yield each task with its runs as they are finished, in no particular order."""
        for work, harvest in self._through([Survey(task) for task in tasks], is_limited=True):
            if isinstance(work, Survey):
                rva = work.task.function.rva
                if isinstance(harvest, Lost):
                    yield work.task, FunctionRuns.lost(rva, harvest.why)
                elif harvest.surveyed is not None:
                    yield work.task, harvest.surveyed

    # -- the search --

    def _fuzz(self, kept: float) -> bool:
        """Do what the schedule chooses; returns whether it was stopped with only the seconds `kept` left."""
        while not self._time_is_up(kept):
            while self._under_way < AHEAD * self._pool.width():
                work = self._next() if not self._executions_are_made else None
                if work is None:
                    return False
                self._submit(work)
            for _ in self._collect():
                pass
        return True

    # -- the end --

    def _make_small(self, end: float) -> None:
        """Make the inputs of the deepest runs small, the deepest first, until `end` by `time.monotonic`."""
        waiting = {}
        while time.monotonic() < end or self._under_way:
            while self._under_way < AHEAD * self._pool.width() and time.monotonic() < end:
                chosen = self.ledger.to_minimise()
                if chosen is None:
                    break
                rva, parent = chosen
                self.ledger.give_up_minimising(rva)
                waiting[rva] = parent
                self._submit(Minimise(rva, parent))
            if not self._under_way:
                return
            for work, harvest in self._collect():
                if isinstance(work, Minimise) and isinstance(harvest, Harvest) and harvest.minimised is not None:
                    self.ledger.replace_by_smaller(work.rva, waiting[work.rva], harvest.minimised)

    # -- shares --

    def _through(self, works: Iterable[Work], *, is_limited: bool) -> Iterator[tuple[Work, Harvest | Lost]]:
        """Have work done, all of it unless the campaign's limits are reached, and yield what it came to."""
        pending = deque(works)
        while pending or self._under_way:
            if is_limited and (self._time_is_up(0.0) or self._executions_are_made):
                raise _TimeIsUpError
            while pending and self._under_way < AHEAD * self._pool.width():
                self._submit(pending.popleft())
            yield from self._collect()

    def _time_is_up(self, kept: float) -> bool:
        """Return whether all seconds but those `kept` have passed."""
        return self._limits.seconds is not None and time.monotonic() >= self._end - kept

    @property
    def _executions_are_made(self) -> bool:
        left = self._executions_left
        return left is not None and left <= 0

    @property
    def _executions_left(self) -> int | None:
        limit = self._limits.executions
        return None if limit is None else limit - (self.ledger.executions - self._executions_before)

    def _submit(self, work: Work) -> None:
        number = next(self._numbers)
        left = self._executions_left
        executions = MINIMISE_EXECUTIONS if isinstance(work, Minimise) else SHARE_EXECUTIONS
        if left is not None and not isinstance(work, Minimise):
            executions = max(1, min(executions, left))
        self._pool.submit(
            Share(
                work=work,
                settings=self._settings,
                seed=self._seeds + number,
                seconds=min(SHARE_SECONDS, FIRST_SECONDS * (1 + number / (4 * len(self._functions)))),
                executions=executions,
                floors=dict(self.ledger.floors),
                blocks=self.ledger.blocks if isinstance(work, GoOn | Solve) else frozenset(),
            )
        )
        self._under_way += 1

    def _collect(self) -> Iterator[tuple[Work, Harvest | Lost]]:
        """Wait a little for shares that are done; take them in, and yield them."""
        for share, harvest in self._pool.results(POLL):
            self._under_way -= 1
            if isinstance(harvest, Lost):
                self._lost.append(harvest.why)
                self._schedule.lose(share.work)
            else:
                self._bring_up = self._bring_up or harvest.bring_up
                self._lost += harvest.refused
                self._schedule.note(share.work, self.ledger.take(harvest))
                if harvest.is_cut_off:
                    self._put_back(share.work, harvest)
            yield share.work, harvest
        self._watch(self.progress(), self)

    def _put_back(self, work: Work, harvest: Harvest) -> None:
        """Let what there was no time for be done later."""
        if isinstance(work, Survey | GoOn):
            self._unfinished.append(work.task)
        elif isinstance(work, Solve) and harvest.found:
            self._schedule.again(work.parent)

    def _next(self) -> Work | None:
        """Return what to do next: a survey goes on before anything else is tried."""
        if self._unfinished:
            task = self._unfinished.popleft()
            return GoOn(task, self._schedule.contexts(task.function.rva)[-REPEATED:])
        return self._schedule.next()

    # -- what others see --

    def _result(self) -> Result:
        ledger = self.ledger
        return Result(
            self.progress(), tuple(ledger.standings()), tuple(ledger.crashes), tuple(self._lost), self._bring_up
        )

    def progress(self) -> Progress:
        """Return where the campaign stands."""
        now, ledger = time.monotonic(), self.ledger
        self._rates.append((now, ledger.executions))
        while len(self._rates) > 2 and now - self._rates[0][0] > RATE_SECONDS:
            self._rates.popleft()
        (since, count), passed = self._rates[0], now - self._rates[0][0]
        deepest, deepest_function = ledger.deepest
        return Progress(
            executions=ledger.executions,
            rate=(ledger.executions - count) / passed if now > since else 0.0,
            seconds=now - self._started,
            blocks_seen=ledger.coverage.seen,
            blocks=ledger.coverage.total,
            blocks_new=ledger.coverage.seen - self._seen_before,
            deepest=deepest,
            deepest_function=deepest_function,
            corpus=self._corpus.input_count,
            crashes=len(ledger.crashes),
            last_find=now - ledger.last_find if ledger.last_find is not None else None,
            workers=self._under_way,
        )


def _both(first: Iterable[Witness], second: Iterable[Witness]) -> Iterator[Witness]:
    """Yield the runs of both, each once."""
    seen: set[Context] = set()
    for witness in itertools.chain(first, second):
        context = context_of(witness, 0)
        if context not in seen:
            seen.add(context)
            yield witness
