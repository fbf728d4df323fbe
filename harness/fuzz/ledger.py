"""What a campaign keeps, and writes to its corpus: deepest runs, inputs worth changing, crashes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Observation, Outcome
from stackemu.emu.symbols.function import Function
from stackemu.harness.contexts import RUNAWAY, Context, Figures
from stackemu.harness.fuzz.corpus import Corpus
from stackemu.harness.fuzz.crashes import Crashes
from stackemu.harness.fuzz.guidance import Coverage, Guidance, News
from stackemu.harness.fuzz.progress import Crash, Standing
from stackemu.harness.fuzz.schedule import Schedule
from stackemu.harness.fuzz.share import Found, Harvest
from stackemu.harness.runs import FunctionRuns, RunSettings
from stackemu.harness.session import Driver
from stackemu.harness.witness import Witness, file_name, input_size, witness_for


class Ledger:
    """Takes what shares of work came to."""

    def __init__(
        self, driver: Driver, functions: Sequence[Function], settings: RunSettings, corpus: Corpus, schedule: Schedule
    ) -> None:
        """`functions` are those under test; what is kept goes to `corpus`, and to `schedule` to be gone on from."""
        model, base = driver.code_model(), driver.image.base
        self._driver = driver
        self._settings = settings
        self._corpus = corpus
        self._schedule = schedule
        self._functions = {function.rva: function for function in functions}
        self._guidance = Guidance()
        self._crashes = Crashes(lambda rva: model.pops_by_the_rules(base + rva))
        self._ways: set[tuple[int, Outcome, frozenset[int]]] = set()
        self.coverage = Coverage(model, [base + rva for rva in self._functions])
        self.runs: dict[int, FunctionRuns] = {}
        """What is known of each function that was measured, by RVA."""
        self.roots: dict[Root, None] = {}
        """Functions that the driver was seen to register, in the order in which that was seen."""
        self.crashes: list[Crash] = []
        self.executions = 0
        self.last_find: float | None = None
        """When anything new was seen last, by `time.monotonic`."""
        self._minimised: set[int] = set()
        """RVAs of functions whose witness is as small as it gets."""

    def take(self, harvest: Harvest) -> int:
        """Take in a harvest; returns how much of it was new."""
        self.executions += harvest.executions
        self.roots.update(dict.fromkeys(sorted(harvest.roots, key=_root_order)))
        news = sum(self._take_found(found) for found in harvest.found)
        for runs in (*harvest.deeper, *((harvest.surveyed,) if harvest.surveyed is not None else ())):
            self.coverage.add(tuple(runs.blocks))
            self._bank(runs)
        if news:
            self.last_find = time.monotonic()
        return news

    def _take_found(self, found: Found) -> bool:
        """Keep a run if it shows anything new; returns whether it does."""
        context, observation = found.context, found.observation
        news = self._guidance.judge(context, observation)
        self.coverage.add(observation.blocks)
        kind = self._crashes.new_kind(context, observation)
        if kind is not None:
            path = self._corpus.add_crash(kind, self._witness(context.caller, context, observation))
            self.crashes.append(Crash(kind, self._name(context.caller), observation.why or "", path))
        way = (context.caller, observation.outcome, frozenset(observation.blocks))
        is_new_way = found.is_edge and way not in self._ways
        self._ways.add(way)
        if news is News.NONE and not is_new_way:
            return False
        self._corpus.add_input(self._witness(context.caller, context, observation))
        if observation.outcome not in RUNAWAY and context.caller in self._functions:
            step = found.step if observation.outcome is Outcome.RETURNED else None
            self._schedule.add(context, observation.depth, step)
        return True

    # -- the deepest runs --

    def _bank(self, runs: FunctionRuns) -> None:
        """Let a function's runs count where they are deeper than what was known."""
        known = self.runs.get(runs.rva)
        joined = runs if known is None else known.joined(runs)
        self.runs[runs.rva] = joined
        if known is None or joined.context != known.context or joined.own != known.own:
            self._minimised.discard(runs.rva)
            self._write(joined)

    def replace_by_smaller(self, rva: int, parent: Context, smaller: Context) -> None:
        """Let a function's deepest run be repeated by a smaller input; `parent` is the one that it was made from."""
        known = self.runs[rva]
        if known.context == parent:
            self.runs[rva] = replace(known, context=smaller)
            self._minimised.add(rva)
            self._write(self.runs[rva])

    def to_minimise(self) -> tuple[int, Context] | None:
        """Return the deepest function whose run may have a smaller input, and that run."""
        waiting = [
            runs
            for rva, runs in self.runs.items()
            if rva not in self._minimised and runs.context is not None and runs.best is not None
        ]
        if not waiting:
            return None
        runs = max(waiting, key=lambda one: (one.best.depth if one.best else 0, -one.rva))
        assert runs.context is not None  # noqa: S101 -- filtered above
        return runs.rva, runs.context

    def give_up_minimising(self, rva: int) -> None:
        """Leave a function's witness as it is."""
        self._minimised.add(rva)

    def _write(self, runs: FunctionRuns) -> None:
        if runs.context is not None and runs.best is not None:
            self._corpus.add_witness(self._witness(runs.rva, runs.context, runs.best))

    def _witness(self, rva: int, context: Context, observation: Observation) -> Witness:
        return witness_for(self._driver, self._name(rva), rva, context, observation, self._settings)

    def _name(self, rva: int) -> str:
        function = self._functions.get(rva)
        if function is not None:
            return function.name
        return next((one.name for one in self._driver.functions if one.rva == rva), f"{rva:#x}")

    # -- what others ask --

    @property
    def floors(self) -> Mapping[int, Figures]:
        """By address, what functions were measured to reach."""
        base = self._driver.image.base
        return {
            base + rva: Figures(runs.own, runs.best.depth, runs.best.outcome is Outcome.RETURNED)
            for rva, runs in self.runs.items()
            if runs.best is not None
        }

    @property
    def blocks(self) -> frozenset[int]:
        """Addresses of all translated blocks that ran."""
        return frozenset(self._guidance.blocks)

    @property
    def deepest(self) -> tuple[int, str]:
        """The deepest that any function went, in bytes, and its name; 0 and no name before anything ran."""
        depths = ((runs.best.depth, -rva) for rva, runs in self.runs.items() if runs.best is not None)
        depth, negative = max(depths, default=(0, 0))
        return depth, self._name(-negative) if negative else ""

    def standings(self) -> list[Standing]:
        """Return the deepest run of each function, the deepest function first."""
        found = [self._standing(runs) for runs in self.runs.values() if runs.best is not None]
        return sorted(found, key=lambda one: (-one.depth, one.rva))

    def _standing(self, runs: FunctionRuns) -> Standing:
        context, best = runs.context, runs.best
        assert context is not None and best is not None  # noqa: S101, PT018 -- both are there or none is
        is_own_role = context.caller == runs.rva and isinstance(context.way, Root)
        return Standing(
            function=self._name(runs.rva),
            rva=runs.rva,
            role=context.way.role if is_own_role and isinstance(context.way, Root) else None,
            own=runs.own,
            depth=best.depth,
            outcome=best.outcome.value,
            chain=runs.chain,
            before=tuple(step.root.role for step in context.before),
            input_size=input_size(context),
            witness=self._corpus.witness_path(file_name(self._witness(runs.rva, context, best))),
        )


def _root_order(root: Root) -> tuple[int, str, str, tuple[int, ...]]:
    return root.address, root.role, root.kind, root.context
