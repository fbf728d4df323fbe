"""Inputs that lead to code not seen yet: each is worked out from a branch that went the other way."""

from __future__ import annotations

import functools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stackemu.emu.calls import Recording
from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.instruction import ESP, Flow
from stackemu.emu.code.model import CodeModel
from stackemu.emu.code.origin_state import OriginState
from stackemu.emu.code.origin_tracer import Decision, OriginTracer
from stackemu.emu.inputs import Input, Override, Place
from stackemu.emu.observation import Observation
from stackemu.emu.processor import KPCR_ADDRESS
from stackemu.harness.changes import changes_for, in_words
from stackemu.harness.paths import BlockGraph, frontier

MAX_RECORDINGS = 40
"""Runs of one function that are followed instruction by instruction."""
MAX_DEEP_RECORDINGS = 60
"""The same for a function whose callees are explored with it."""
MAX_DETOURS = 6
"""Runs that are followed to lead one that missed its goal back to it."""
MAX_DETOUR_ATTEMPTS = 12
"""Inputs that are tried for that."""
MAX_OVERRIDES = 24
"""Places in which an input may differ from its seed."""
MAX_CHANGES = 8
"""Inputs that are tried to turn one branch of one run."""
MAX_GOAL_CHANGES = 32
"""The same in all runs together,"""
MAX_CALLEE_CHANGES = 12
"""and for a branch of a callee."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run of a function: what it was given, and what came of it."""

    source: Input
    variant: int
    """Which of the function's argument lists and entry alignments it was called with."""
    observation: Observation


class _Lead(NamedTuple):
    """An attempt that is on its way to a goal."""

    attempt: Attempt
    kept: tuple[Place, int] | None
    """The place and the key of the override that turns the goal's own branch."""
    turned: int = 0
    """The address of the branch that was turned last."""
    is_again: bool = False
    """Whether the same branch was turned before that: in a loop, which compares strings for instance."""


class _Goal(NamedTuple):
    """A transfer at `address` that is to go to `target`, and the attempts that came nearest, the likeliest first."""

    address: int
    target: int
    leads: tuple[_Lead, ...]


class Explorer:
    """Tries inputs for one function until all its blocks are seen or the attempts are used up."""

    def __init__(
        self,
        model: CodeModel,
        address: int,
        run: Callable[[Input, int], Observation],
        record: Callable[[Input, int], Recording],
        *,
        is_deep: bool = False,
    ) -> None:
        """`run` and `record` take an input and a variant; with `is_deep` callees' blocks are looked for as well."""
        self._model = model
        self._code: FunctionCode = model.code(address)
        self._run = run
        self._record = record
        self._is_deep = is_deep
        self._tried: set[tuple[int, tuple[Override, ...]]] = set()
        self._queue: deque[Attempt] = deque()
        self._changes: Counter[tuple[int, int]] = Counter()
        """Inputs tried to turn each branch, by its address and its other target."""
        self._missed: deque[_Goal] = deque()
        self._graph = BlockGraph(self._code)
        self.attempts: list[Attempt] = []
        self.corpus: list[Attempt] = []
        """The attempts that ran blocks which those before them did not."""
        self.seen: set[int] = set()
        """Leaders of the function's blocks that ran."""
        self._blocks: set[int] = set()
        """All blocks of the image that ran, in callees too."""

    @property
    def is_complete(self) -> bool:
        """Return whether every block was seen."""
        return self.seen >= self._code.leaders

    def try_all(self, sources: Sequence[Input], variants: int) -> None:
        """Run every input with every variant."""
        for source in sources:
            for variant in range(variants):
                self._attempt(source, variant)

    def take(self, source: Input, variant: int) -> Attempt:
        """Run an input that was found in some other way, and go on from it where it ran new blocks."""
        self._tried.add((variant, source.overrides))
        return self._attempt(source, variant)

    def know(self, blocks: Iterable[int]) -> None:
        """Count blocks as seen that other runs came to, so that nothing is tried to get there."""
        self._blocks.update(blocks)
        self.seen |= leaders_of(self._code, self._blocks)

    def explore(self, limit: int, recordings: int | None = None) -> None:
        """Try up to `limit` inputs that were worked out from branches of up to so many runs, or goals missed."""
        last = len(self.attempts) + limit
        if recordings is None:
            recordings = MAX_DEEP_RECORDINGS if self._is_deep else MAX_RECORDINGS
        for _ in range(recordings):
            if len(self.attempts) >= last or (self.is_complete and not self._is_deep):
                return
            if self._queue:
                self._with_next(last)
            elif self._missed:
                self._with_goal(last)
            else:
                return

    def _with_next(self, last: int) -> None:
        """Follow an attempt; it stays to be followed when that is broken off from outside."""
        attempt = self._next()
        try:
            self._turn_open_branches(attempt, last)
        except BaseException:
            self._queue.appendleft(attempt)
            raise

    def _with_goal(self, last: int) -> None:
        """Lead runs to a goal that was missed; it stays when that is broken off from outside."""
        goal = self._missed.popleft()
        try:
            self._lead_back(goal, last)
        except BaseException:
            self._missed.appendleft(goal)
            raise

    def _turn_open_branches(self, attempt: Attempt, last: int) -> None:
        """Try what leads from the branches of a run to blocks not seen."""
        recording = self._record(attempt.source, attempt.variant)
        for decision in self._open_decisions(recording):
            leads: list[_Lead] = []
            for overrides in changes_for(decision, recording.events):
                if len(self.attempts) >= last:
                    return
                if self._is_seen(decision.target) or len(leads) >= self._patience(decision):
                    break
                tried = self._vary(attempt, overrides)
                if tried is not None:
                    self._changes[decision.address, decision.target] += 1
                    leads.append(_Lead(tried, (overrides[-1].place, overrides[-1].key)))
            leads.append(_Lead(attempt, None))
            if decision.target in self._code.leaders and not self._is_seen(decision.target):
                self._missed.append(_Goal(decision.address, decision.target, tuple(leads)))

    def _lead_back(self, goal: _Goal, last: int) -> None:
        """Turn the branches at which runs left the way to the transfer that they were to turn."""
        distances = self._graph.distances_to(goal.address)
        far = len(self._code.leaders)

        def is_nearer(follower: int, other: int) -> bool:
            return other == goal.target or distances.get(other, far) < distances.get(follower, far)

        pending = list(reversed(goal.leads))
        detours = tries = 0
        while distances and pending and detours < MAX_DETOURS:
            lead = pending.pop()
            detours += not lead.is_again
            for found in self._leads_from(lead, goal, is_nearer):
                tries += not found.is_again
                pending.append(found)
                if len(self.attempts) >= last or tries >= MAX_DETOUR_ATTEMPTS or self._is_seen(goal.target):
                    return

    def _leads_from(self, lead: _Lead, goal: _Goal, is_nearer: Callable[[int, int], bool]) -> Iterator[_Lead]:
        """Yield attempts that each turn one branch of a run towards the goal, those of the run's end last."""
        recording = self._record(lead.attempt.source, lead.attempt.variant)
        for decision in list(self._decisions(recording, is_nearer)):
            for overrides in changes_for(decision, recording.events):
                # What was changed to turn the goal's own branch has to stay.
                if decision.target != goal.target and (overrides[-1].place, overrides[-1].key) == lead.kept:
                    continue
                tried = self._vary(lead.attempt, overrides)
                if tried is not None:
                    is_again = decision.address == lead.turned and overrides[-1].place is Place.MEMORY
                    yield _Lead(tried, lead.kept, decision.address, is_again)
                    break

    def _patience(self, decision: Decision) -> int:
        """Return how many inputs may be tried to turn a branch of a run."""
        most = MAX_GOAL_CHANGES if decision.target in self._code.leaders else MAX_CALLEE_CHANGES
        return min(MAX_CHANGES, most - self._changes[decision.address, decision.target])

    def _is_seen(self, target: int) -> bool:
        return target in self.seen or target in self._blocks

    def _next(self) -> Attempt:
        """Take an attempt to follow: the first, or the deepest of those whose callees count as well."""
        if not self._is_deep:
            return self._queue.popleft()
        deepest = max(self._queue, key=lambda one: one.observation.depth)
        self._queue.remove(deepest)
        return deepest

    def _open_decisions(self, recording: Recording) -> list[Decision]:
        """Return the transfers that could have led to blocks not seen, each place once."""
        found = self._decisions(recording, lambda _follower, target: not self._is_seen(target))
        # The function's own blocks first: those of its callees are of interest where they lead on to own ones.
        return sorted(found, key=lambda one: one.target not in self._code.leaders)

    def _decisions(self, recording: Recording, wanted: Callable[[int, int], bool]) -> Iterator[Decision]:
        entry_esp = recording.steps.registers(0)[ESP] if recording.steps else 0
        state = OriginState(recording.read, self._is_constant, entry_esp, KPCR_ADDRESS)
        tracer = OriginTracer(self._model.instruction, self._table_at, state)
        return tracer.decisions(recording.steps, recording.events, wanted)

    def _is_constant(self, address: int) -> bool:
        """Return whether an address lies in the image where the driver cannot write."""
        section = self._model.image.section_at(address - self._model.image.base)
        return section is not None and not section.writable

    def _table_at(self, address: int) -> Sequence[int]:
        for table, count in self._code.tables:
            if table == address:
                return self._model.words(table, count)
        return self._model.code_pointers(address)

    def _vary(self, attempt: Attempt, overrides: Sequence[Override]) -> Attempt | None:
        """Try a changed input; None when it was tried before or has too many changes."""
        source = attempt.source
        for override in overrides:
            source = source.with_override(override)
        if (attempt.variant, source.overrides) in self._tried or len(source.overrides) > MAX_OVERRIDES:
            return None
        return self.take(source, attempt.variant)

    def _attempt(self, source: Input, variant: int) -> Attempt:
        observation = self._run(source, variant)
        attempt = Attempt(source, variant, observation)
        self.attempts.append(attempt)
        leaders = leaders_of(self._code, observation.blocks)
        blocks = set(observation.blocks)
        if leaders - self.seen or blocks - self._blocks:
            self._queue.append(attempt)
            self.corpus.append(attempt)
            self.seen |= leaders
            self._blocks |= blocks
        return attempt

    def open_branches(self) -> Iterator[OpenBranch]:
        """Yield each transfer from code that ran to a block that never did, with what it waits for."""
        ran = leaders_of(self._code, self._blocks)
        for address, target in sorted(frontier(self._code, ran, self.seen)):
            attempt = self._through(address)
            if attempt is None:
                continue
            recording = self._record(attempt.source, attempt.variant)
            found = self._decisions(recording, functools.partial(_is, target))
            places = [place for one in found if one.address == address for place in one.origins]
            yield OpenBranch(address, target, tuple(dict.fromkeys(in_words(*place, recording) for place in places)))

    def _through(self, address: int) -> Attempt | None:
        """Return the first attempt that ran the instruction that ends a block at `address`."""
        for attempt in self.attempts:
            for leader in leaders_of(self._code, attempt.observation.blocks):
                if address == self._graph.end_of(leader):
                    return attempt
        return None


@dataclass(frozen=True, slots=True)
class OpenBranch:
    """A transfer at `address` that never went to `target`; `waits_for` says what would make it, in words."""

    address: int
    target: int
    waits_for: tuple[str, ...]


def leaders_of(code: FunctionCode, blocks: Iterable[int]) -> set[int]:
    """Return the function's basic blocks that ran; a translated block can cover several."""
    seen: set[int] = set()
    for at in blocks:
        while at in code.instructions:
            if at in code.leaders:
                seen.add(at)
            instruction = code.instructions[at]
            if instruction.flow is not Flow.NEXT:
                break
            at = instruction.end
    return seen


def _is(target: int, _follower: int, other: int) -> bool:
    return other == target
