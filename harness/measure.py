"""Functions times inputs: runs every selected function and keeps its deepest observation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from stackemu.emu.calls import Arguments
from stackemu.emu.code.instruction import REGISTER_NAMES
from stackemu.emu.code.model import CodeModel
from stackemu.emu.engine import Mode
from stackemu.emu.forced_branches import ForcedBranch
from stackemu.emu.fuzzing import FuzzMachine
from stackemu.emu.inputs import Input, default_inputs
from stackemu.emu.kernel.roots import Root
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Observation
from stackemu.emu.symbols.function import Prototype
from stackemu.emu.tape import Tape
from stackemu.harness.bring_up import BringUp
from stackemu.harness.contexts import Context, Figures, Step, told_before, visits_of
from stackemu.harness.explore import Attempt
from stackemu.harness.forced import ForcedSearch
from stackemu.harness.live_driver import LiveDriver
from stackemu.harness.runs import (
    FunctionRuns,
    RunSettings,
    Task,
    breaches,
    by_role,
    endings,
    rank,
    reason_of,
    representative,
    union,
)
from stackemu.harness.search import InputSearch, Search
from stackemu.harness.session import Driver
from stackemu.harness.states import States
from stackemu.harness.static.behind import CodeBehind
from stackemu.harness.static.bounds import bounds_of
from stackemu.harness.static.callgraph import CallGraph, RunFacts
from stackemu.harness.static.figures import residues

T = TypeVar("T")


class Measurer:
    """Runs functions of one driver.

    In single-step mode inputs are looked for in the same way; every run is then made once more, watched instruction
    by instruction, and only what that shows counts.
    """

    def __init__(self, driver: Driver, settings: RunSettings) -> None:
        """Set up the machine; nothing runs yet."""
        self._driver = driver
        self._settings = settings
        self._model: CodeModel = driver.code_model()
        self._names = {driver.image.base + function.rva: function.name for function in driver.functions}
        ranges, pops = driver.function_ranges(), self._model.pops_at_call
        machine = FuzzMachine(driver.image, ranges, pops, driver.structures)
        self._live = LiveDriver(machine, driver.image, settings.seed, initialise=settings.initialise)
        self._watched: LiveDriver[Machine] | None = None
        if settings.single_step:
            stepping = Machine(driver.image, ranges, pops, Mode.STEPS, driver.structures)
            self._watched = LiveDriver(stepping, driver.image, settings.seed, initialise=settings.initialise)
        self._inputs = default_inputs(settings.seed, settings.inputs)
        self._search = InputSearch(
            machine,
            self._model,
            explored=settings.explored,
            havoc=settings.havoc,
            budget=settings.budget,
            seed=settings.seed,
        )
        self._behind: CodeBehind | None = None

    @property
    def machine(self) -> FuzzMachine:
        """The machine that inputs are looked for on."""
        return self._live.machine

    @property
    def bring_up(self) -> BringUp:
        """How the driver came up."""
        return self._live.bring_up

    @property
    def states(self) -> States:
        """The states that `machine` runs the driver in."""
        return self._live.states

    def measure(self, task: Task) -> FunctionRuns:
        """Run one function on every input, at every entry alignment that matters, then look for more inputs.

        A function that the kernel calls is run in each of its roles and in no other way.
        """
        if task.beyond is not None:
            return self._force(task, task.beyond)
        if task.contexts:
            return self._in_contexts(task)
        search = self.begin(task)
        self.go_on(task, search)
        return self.runs_of(task, search)

    def begin(self, task: Task, inputs: Sequence[Input] | None = None) -> Search:
        """Run a function on fixed inputs, or on `inputs`, in all ways that matter: there the search begins."""
        ways = _ways(task)
        realigning = [-residue % 64 for residue in residues(self._model.heights(self._address(task)))]
        alignments = dict.fromkeys((*realigning, task.alignment))
        self.states.enter(task.before, ways)
        variants = [(way, alignment) for way in ways for alignment in alignments]
        return self._search.begin(task.function.rva, variants, self._inputs if inputs is None else inputs)

    def go_on(self, task: Task, search: Search, until: float = math.inf) -> None:
        """Look for more inputs, until `until` by `time.monotonic` at most: then results depend on the host.

        The search comes from `begin` for the same task, on the same machine.
        """
        self.states.enter(task.before, _ways(task))
        self._search.go_on(search, until)

    def runs_of(self, task: Task, search: Search) -> FunctionRuns:
        """Return what the runs of a search showed so far."""
        explorer, variants = search.explorer, search.variants
        rva, address = task.function.rva, self._address(task)
        open_branches = tuple(explorer.open_branches()) if task.explain else ()
        attempts = self._measured(task, search)
        observations = [attempt.observation for attempt in attempts]
        best, own = representative(observations)
        attempt = next(attempt for attempt in attempts if attempt.observation is best)
        return FunctionRuns(
            rva=rva,
            best=best,
            chain=self.chain(best),
            witness=told_before(task.before) + attempt.source.label,
            context=Context(rva, *variants[attempt.variant], attempt.source, task.before),
            own=own,
            runs=len(observations),
            reason=reason_of(observations),
            findings=(
                *breaches(observations, self._model.pops_by_the_rules(address), self._restored(address)),
                *union(observation.notes for observation in observations),
            ),
            roles=by_role(variants, attempts),
            blocks=frozenset().union(*(observation.blocks for observation in observations)),
            roots=frozenset().union(*(observation.roots for observation in observations)),
            unmodelled=tuple(dict(union(observation.unmodelled for observation in observations)).items()),
            endings=endings(observations),
            open_branches=open_branches,
            visits=visits_of(rva, address, variants, attempts, task.before),
            calls=frozenset(self._live.machine.take_calls()),
            callbacks=frozenset().union(*(observation.callbacks for observation in observations)),
            corpus=tuple(Context(rva, *variants[one.variant], one.source, task.before) for one in explorer.corpus),
        )

    def _measured(self, task: Task, search: Search) -> Sequence[Attempt]:
        """Return a search's runs with what counts of them."""
        watched = self._watched
        if watched is None:
            return search.explorer.attempts

        def again(attempt: Attempt) -> Attempt:
            variant = search.variants[attempt.variant]
            context = Context(task.function.rva, *variant, attempt.source, task.before)
            return replace(attempt, observation=watched.run(context, self._settings.budget))

        return [again(attempt) for attempt in search.explorer.attempts]

    def _address(self, task: Task) -> int:
        return self._driver.image.base + task.function.rva

    def _in_contexts(self, task: Task) -> FunctionRuns:
        """Repeat runs of other functions, with the figures of this one's deepest frame."""
        rva = task.function.rva
        runs = [(self.repeat(rva, context), context) for context in task.contexts]
        own = max(observation.own for observation, _ in runs)
        best, context = max(runs, key=lambda run: rank(run[0], own))
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
        return (self._watched or self._live).run(context, self._settings.budget, rva, branches)

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
        return self._live.machine.tape(
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
        return self._live.machine.kernel_function(address)

    def chain(self, observation: Observation) -> tuple[tuple[str, int], ...]:
        """Return the frames at the low-water mark by name, with their bytes."""
        return tuple((self._name(share.function), share.bytes) for share in observation.chain)

    def _restored(self, address: int) -> frozenset[str]:
        """Return the callee-saved registers that the function's code gives back."""
        return frozenset(REGISTER_NAMES[register].upper() for _, register in self._model.heights(address).restores)

    def _name(self, address: int) -> str:
        return self._names.get(address) or self._live.machine.stub_name(address) or f"{address:#010x}"


def _ways(task: Task) -> Sequence[Arguments | Root]:
    return task.roles or (arguments_of(task.function.prototype),)


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
