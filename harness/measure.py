"""Functions times inputs: runs every selected function and keeps its deepest observation."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from stackemu.emu.code.instruction import REGISTER_NAMES
from stackemu.emu.code.model import CodeModel
from stackemu.emu.engine import Mode
from stackemu.emu.forced_branches import ForcedBranch
from stackemu.emu.fuzzing import FuzzMachine
from stackemu.emu.inputs import default_inputs
from stackemu.emu.kernel.roots import Root
from stackemu.emu.machine import DEFAULT_BUDGET, Arguments, Machine
from stackemu.emu.observation import Observation, Outcome
from stackemu.emu.symbols.function import Function, Prototype
from stackemu.emu.tape import Tape
from stackemu.harness.bring_up import BringUp, bring_up
from stackemu.harness.contexts import RUNAWAY, Context, Figures, Step, Visit, told_before, visits_of
from stackemu.harness.explore import Attempt, OpenBranch
from stackemu.harness.forced import ForcedRun, ForcedSearch
from stackemu.harness.search import InputSearch
from stackemu.harness.session import Driver
from stackemu.harness.states import State, States
from stackemu.harness.static.behind import CodeBehind
from stackemu.harness.static.bounds import bounds_of
from stackemu.harness.static.callgraph import CallGraph, RunFacts
from stackemu.harness.static.figures import residues

T = TypeVar("T")

DEFAULT_INPUTS = 8
DEFAULT_EXPLORED = 200
"""Inputs worked out from branches that went the other way, per function."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How to measure: all that a result depends on besides the driver itself, and the number of processes."""

    seed: int = 0
    inputs: int = DEFAULT_INPUTS
    explored: int = DEFAULT_EXPLORED
    havoc: int = 0
    """Executions with inputs changed at random, per function."""
    budget: int = DEFAULT_BUDGET
    single_step: bool = False
    initialise: bool = True
    """Whether DriverEntry runs before anything else."""
    jobs: int = 1
    forced: bool = False
    """Whether branches that no run turned are forced, to estimate what lies behind them."""


@dataclass(frozen=True, slots=True)
class RoleRuns:
    """The deepest run of a function in one role: bytes, and how it ended."""

    role: str
    depth: int
    outcome: str


@dataclass(frozen=True, slots=True)
class FunctionRuns:
    """What all runs of one function showed.

    `best` and `own` are those of `representative`; `chain` is that of `best` by name.
    """

    rva: int
    best: Observation | None
    chain: tuple[tuple[str, int], ...] = ()
    witness: str | None = None
    context: Context | None = None
    """The run that `best` is: what repeats it."""
    own: int = 0
    runs: int = 0
    reason: str = ""
    """Why nothing was measured, or how runs ended that did not return; empty when all returned."""
    findings: tuple[str, ...] = ()
    roles: tuple[RoleRuns, ...] = ()
    """The deepest run in each role that the kernel calls the function in."""
    blocks: frozenset[int] = frozenset()
    """Addresses of all translated blocks that ran, in callees too."""
    roots: frozenset[Root] = frozenset()
    """Functions that the driver was seen to register."""
    unmodelled: tuple[tuple[str, int], ...] = ()
    """Kernel functions called whose results were the input's alone, with the address behind a call."""
    endings: tuple[tuple[str, int], ...] = ()
    """Every way that runs ended in which did not return, with the number of runs, the most frequent first."""
    open_branches: tuple[OpenBranch, ...] = ()
    """Branches that never went on to code not seen, where the task asked for them."""
    visits: tuple[Visit, ...] = ()
    """How deep the functions went that it called."""
    calls: frozenset[tuple[int, int]] = frozenset()
    """Calls seen, as (address behind the call, entry called); a call that earlier runs had shown may be missing."""
    callbacks: frozenset[tuple[int, int, int]] = frozenset()
    """Callbacks that kernel functions made: the address behind their call, the callback, words of arguments."""

    corpus: tuple[Context, ...] = ()
    """Runs that together ran all blocks that any of the function's own did."""
    forced: ForcedRun | None = None
    """What lies behind branches that no run turned, where the task asked for it: no measurement. Its chain by name
    is `chain` of the same record, which holds no other figures."""

    @classmethod
    def lost(cls, rva: int, reason: str) -> FunctionRuns:
        """Return the record of a function whose worker process died."""
        return cls(rva, None, reason=f"crashed: {reason}")

    def joined(self, others: FunctionRuns) -> FunctionRuns:
        """Return these runs with the figures of `others` where those are deeper."""
        if self.best is None or others.best is None:
            return self
        own = max(self.own, others.own)
        deepest = max((self, others), key=lambda runs: _rank(runs.best, own))
        return replace(
            self,
            best=deepest.best,
            chain=deepest.chain,
            witness=deepest.witness,
            context=deepest.context,
            own=own,
            runs=self.runs + others.runs,
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A function to measure, and the roles that the kernel calls it in."""

    function: Function
    roles: tuple[Root, ...] = ()
    explain: bool = False
    """Whether to say what the code that was not reached waits for."""
    alignment: int = 0
    """How far below a multiple of 64 ESP stands at the entry when callees realign the most; tried besides 0."""
    contexts: tuple[Context, ...] = ()
    """Runs of other functions to look at this one in; it is not run by itself then."""
    before: tuple[Step, ...] = ()
    """What comes before each of its runs."""
    beyond: Figures | None = None
    """What was measured, to force branches in `contexts` and see what more lies behind them."""


class Measurer:
    """Runs functions of one driver in one machine."""

    def __init__(self, driver: Driver, settings: RunSettings) -> None:
        """Set up the machine; nothing runs yet."""
        self._driver = driver
        self._settings = settings
        self._model: CodeModel = driver.code_model()
        self._names = {driver.image.base + function.rva: function.name for function in driver.functions}
        self._machine = _machine(driver, self._model, is_single_step=settings.single_step)
        self._inputs = default_inputs(settings.seed, settings.inputs)
        self._search = InputSearch(
            self._machine,
            self._model,
            explored=settings.explored,
            havoc=settings.havoc,
            budget=settings.budget,
            seed=settings.seed,
        )
        fresh = State.of(self._machine, ())
        self._behind: CodeBehind | None = None
        self.bring_up = BringUp.skipped(None)
        if settings.initialise:
            self.bring_up = bring_up(self._machine, driver.image, settings.seed)
        initialised = State.of(self._machine, self.bring_up.roots)
        self.states = States(self._machine, driver.image, fresh, initialised)

    @property
    def machine(self) -> Machine:
        """The machine that everything runs on: one that runs batches too, but in single-step mode."""
        return self._machine

    def measure(self, task: Task, until: float = math.inf) -> FunctionRuns:
        """Run one function on every input, at every entry alignment that matters, then look for more inputs.

        Inputs are looked for no longer than `until`, by `time.monotonic`: then what is found depends on the machine.
        A function that the kernel calls is run in each of its roles and in no other way.
        """
        if task.beyond is not None:
            return self._force(task, task.beyond)
        if task.contexts:
            return self._in_contexts(task)
        function = task.function
        address = self._driver.image.base + function.rva
        ways: Sequence[Arguments | Root] = task.roles or (arguments_of(function.prototype),)
        realigning = [-residue % 64 for residue in residues(self._model.heights(address))]
        alignments = dict.fromkeys((*realigning, task.alignment))
        variants = [(way, alignment) for way in ways for alignment in alignments]
        self.states.enter(task.before, ways)
        explorer = self._search.search(function.rva, variants, self._inputs, until)
        open_branches = tuple(explorer.open_branches()) if task.explain else ()
        observations = [attempt.observation for attempt in explorer.attempts]
        best, own = representative(observations)
        attempt = next(attempt for attempt in explorer.attempts if attempt.observation is best)
        return FunctionRuns(
            rva=function.rva,
            best=best,
            chain=self.chain(best),
            witness=told_before(task.before) + attempt.source.label,
            context=Context(function.rva, *variants[attempt.variant], attempt.source, task.before),
            own=own,
            runs=len(observations),
            reason=_reason(observations),
            findings=(
                *breaches(observations, self._model.pops_by_the_rules(address), self._restored(address)),
                *_union(observation.notes for observation in observations),
            ),
            roles=_by_role(variants, explorer.attempts),
            blocks=frozenset().union(*(observation.blocks for observation in observations)),
            roots=frozenset().union(*(observation.roots for observation in observations)),
            unmodelled=tuple(dict(_union(observation.unmodelled for observation in observations)).items()),
            endings=_endings(observations),
            open_branches=open_branches,
            visits=visits_of(function.rva, address, variants, explorer.attempts, task.before),
            calls=frozenset(self._machine.take_calls()),
            callbacks=frozenset().union(*(observation.callbacks for observation in observations)),
            corpus=tuple(
                Context(function.rva, *variants[one.variant], one.source, task.before) for one in explorer.corpus
            ),
        )

    def _in_contexts(self, task: Task) -> FunctionRuns:
        """Repeat runs of other functions, with the figures of this one's deepest frame."""
        rva = task.function.rva
        runs = [(self.repeat(rva, context), context) for context in task.contexts]
        own = max(observation.own for observation, _ in runs)
        best, context = max(runs, key=lambda run: _rank(run[0], own))
        return FunctionRuns(rva, best, self.chain(best), self._label(context), context, own, len(runs))

    def _force(self, task: Task, beyond: Figures) -> FunctionRuns:
        """Repeat runs with branches forced that none of them turned; the record holds nothing but what that shows."""
        rva = task.function.rva

        def run(context: Context, branches: Sequence[ForcedBranch]) -> Observation:
            return self.repeat(rva, context, branches)

        search = ForcedSearch(self._code_behind(), self._driver.image.base + rva, run)
        found = search.deepest(task.contexts, beyond.own, beyond.depth)
        return FunctionRuns(rva, None, self.chain(found.observation) if found else (), forced=found)

    def _code_behind(self) -> CodeBehind:
        """Return what says how deep code may go; worked out for the whole image when it is first asked for."""
        if self._behind is None:
            functions = self._driver.functions
            graph = CallGraph(self._model, functions, RunFacts(roots=frozenset(self.bring_up.roots)))
            self._behind = CodeBehind(bounds_of(graph, self._names, self._names))
        return self._behind

    def repeat(self, rva: int, context: Context, branches: Sequence[ForcedBranch] = ()) -> Observation:
        """Repeat one run; the figures are those of the function at `rva`, whichever function the run calls.

        With `branches` forced it is another run, which measures nothing.

        Raises:
            BrokenSequenceError: the kernel would not come to the run's own call.
        """
        self.states.enter(context.before, (context.way,))
        with self._machine.forcing(branches):
            return self._machine.call(
                context.caller,
                context.source,
                context.way,
                alignment=context.alignment,
                budget=self._settings.budget,
                focus=rva if rva != context.caller else None,
            )

    def onward(self, context: Context, seen: Iterable[int], until: float) -> tuple[list[Attempt], bool]:
        """Try what leads from one run to blocks that are not among `seen`, as `InputSearch.onward` does.

        Raises:
            BrokenSequenceError: the kernel would not come to the run's own call.
        """
        self.states.enter(context.before, (context.way,))
        return self._search.onward(context.caller, (context.way, context.alignment), context.source, seen, until)

    def tape(self, context: Context) -> Tape:
        """Repeat one run and write it down, so that it can be repeated elsewhere; raises as `repeat` does."""
        self.states.enter(context.before, (context.way,))
        return self._machine.tape(
            context.caller,
            context.source,
            context.way,
            alignment=context.alignment,
            budget=self._settings.budget,
        )

    def step_of(self, context: Context) -> Step | None:
        """Return a run as a step for others to come after, None for one that is not the kernel's to make."""
        if not isinstance(context.way, Root):
            return None
        return Step(context.way, context.source, self.states.after(context.before).pool)

    def context_behind(self, steps: Sequence[Step], last: Step) -> Context:
        """Return `last` as the run that steps come before, all of them fitted to each other.

        Raises:
            BrokenSequenceError: the kernel would not have made these calls.
        """
        before = self.states.settled(steps)
        fitted = self.states.fitted(before, last)
        return Context(fitted.root.address - self._driver.image.base, fitted.root, 0, fitted.source, before)

    def _label(self, context: Context) -> str:
        """Return a text that names the run of another function: its name, its role and its input."""
        name = self._name(self._driver.image.base + context.caller)
        role = f" as {context.way.role}" if isinstance(context.way, Root) else ""
        return f"{told_before(context.before)}in {name}{role}: {context.source.label}"

    def kernel_name(self, address: int) -> str | None:
        """Return the name of the kernel function at an address, else None."""
        return self._machine.kernel_function(address)

    def chain(self, observation: Observation) -> tuple[tuple[str, int], ...]:
        """Return the frames at the low-water mark by name, with their bytes."""
        return tuple((self._name(share.function), share.bytes) for share in observation.chain)

    def _restored(self, address: int) -> frozenset[str]:
        """Return the callee-saved registers that the function's code gives back."""
        return frozenset(REGISTER_NAMES[register].upper() for _, register in self._model.heights(address).restores)

    def _name(self, address: int) -> str:
        return self._names.get(address) or self._machine.stub_name(address) or f"{address:#010x}"


def _machine(driver: Driver, model: CodeModel, *, is_single_step: bool) -> Machine:
    ranges = driver.function_ranges()
    if is_single_step:
        return Machine(driver.image, ranges, model.pops_at_call, Mode.STEPS, driver.structures)
    return FuzzMachine(driver.image, ranges, model.pops_at_call, driver.structures)


def _by_role(variants: Sequence[tuple[Arguments | Root, int]], attempts: Sequence[Attempt]) -> tuple[RoleRuns, ...]:
    """Return the representative run of each role, in the order of the roles."""
    observations: dict[str, list[Observation]] = {}
    for attempt in attempts:
        way, _ = variants[attempt.variant]
        if isinstance(way, Root):
            observations.setdefault(way.role, []).append(attempt.observation)
    best = {role: representative(runs)[0] for role, runs in observations.items()}
    return tuple(RoleRuns(role, one.depth, one.outcome.value) for role, one in best.items())


def _union(items: Iterable[Iterable[T]]) -> tuple[T, ...]:
    """Return all items once, in the order of their first appearance."""
    return tuple(dict.fromkeys(itertools.chain.from_iterable(items)))


def breaches(observations: Sequence[Observation], pops: int | None, restored: frozenset[str]) -> tuple[str, ...]:
    """Return how runs that returned broke the calling convention.

    `pops` is what the function's code says it pops, `restored` which callee-saved registers it gives back. A
    register that it never gives back belongs to a convention of its own, such as whole-program optimisation
    makes. A function that leaves its frame to its caller is a helper and keeps no convention at all.
    """
    returned = [one for one in observations if one.outcome is Outcome.RETURNED]
    if any(one.popped is not None and one.popped < 0 for one in returned):
        return ("returns with its frame left on its caller's stack",)
    found = []
    changed = {name for one in returned for name in one.clobbered or ()}
    if changed & restored:
        found.append(f"{', '.join(sorted(changed & restored))} came back changed though the code restores it")
    if changed - restored:
        found.append(f"does not keep {', '.join(sorted(changed - restored))}: a calling convention of its own")
    popped = {one.popped for one in returned} - {None, pops}
    if popped and pops is not None:
        found.append(f"popped {sorted(map(str, popped))[0]} bytes of arguments where its code says {pops}")
    return tuple(found)


def representative(observations: Sequence[Observation]) -> tuple[Observation, int]:
    """Return the run to report and the deepest own of all runs, in bytes.

    What a run reached counts however it ended, except for runs that ran away: on invented memory a loop or
    a recursion may have no end, which says nothing about the driver; they count when there are no others.
    Among the runs as deep as that own, one that returned is preferred, then the deepest.
    """
    settled = [one for one in observations if one.outcome not in RUNAWAY] or observations
    own = max(one.own for one in settled)
    return max(settled, key=lambda one: _rank(one, own)), own


def _rank(observation: Observation | None, own: int) -> tuple[bool, bool, int]:
    """Return what the run to report is the greatest of: as deep as `own`, one that returned, the deepest."""
    if observation is None:
        return False, False, 0
    return observation.depth >= own, observation.outcome is Outcome.RETURNED, observation.depth


def _endings(observations: Sequence[Observation]) -> tuple[tuple[str, int], ...]:
    """Return the ways that runs ended in which did not return, with their numbers, the most frequent first."""
    others = Counter(
        f"{one.outcome.value}: {one.why}" if one.why else one.outcome.value
        for one in observations
        if one.outcome is not Outcome.RETURNED
    )
    return tuple(sorted(others.items(), key=lambda item: (-item[1], item[0])))


def _reason(observations: Sequence[Observation]) -> str:
    """Return how runs ended that did not return, in one line; empty when all returned."""
    endings = _endings(observations)
    if not endings:
        return ""
    total = sum(count for _, count in endings)
    more = "; …" if len(endings) > 1 else ""
    return f"{total} of {len(observations)} runs did not return ({endings[0][0]}{more})"


_NARROW = ("char", "short", "int", "long", "bool", "unsigned", "enum", "BOOLEAN", "ULONG", "NTSTATUS", "wchar_t")


def arguments_of(prototype: Prototype | None) -> Arguments:
    """Return how to call a function of this type; without a prototype every word may be anything."""
    if prototype is None:
        return Arguments()
    kinds = [_kind(parameter.type) for parameter in prototype.parameters]
    if prototype.convention == "fastcall":
        registers: list[bool | str | None] = [*kinds[:2], None, None]
        return Arguments(tuple(kinds[2:]) + (None,) * 4, registers[0], registers[1])
    return Arguments(tuple(kinds) + (None,) * 4)


def _kind(kind: str) -> bool | str:
    """Return a pointer's type itself, and of others whether they are treated as pointers: no plain numbers are."""
    return kind if kind.endswith("*") else not any(word in kind for word in _NARROW)
