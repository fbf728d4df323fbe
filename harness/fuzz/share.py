"""A share of a campaign's work, about a second of it, and what a worker makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Observation
from stackemu.harness.bring_up import BringUp
from stackemu.harness.contexts import Context, Figures, Step
from stackemu.harness.runs import FunctionRuns, RunSettings, Task


@dataclass(frozen=True, slots=True)
class Survey:
    """A function is measured as `stackemu run` does: fixed inputs, then those that its branches ask for.

    What there is no time for is left for `GoOn`.
    """

    task: Task


@dataclass(frozen=True, slots=True)
class GoOn:
    """A survey that was cut off is gone on with."""

    task: Task
    known: tuple[Context, ...]
    """The function's runs that are kept, for a worker that the survey is new to."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """Runs that are known already are repeated, since only their inputs are kept on disk."""

    contexts: tuple[Context, ...]


@dataclass(frozen=True, slots=True)
class Mutate:
    """A run's input is changed, natively as far as that goes."""

    parent: Context


@dataclass(frozen=True, slots=True)
class Solve:
    """The branches that a run left aside are turned, those to code that nothing has run first."""

    parent: Context


@dataclass(frozen=True, slots=True)
class Rearrange:
    """The calls before a run are changed, and it is run behind them, or another one is."""

    parent: Context
    steps: tuple[Step, ...]
    """Calls that are worth having again."""


@dataclass(frozen=True, slots=True)
class Minimise:
    """A smaller input is looked for that shows the same of the function at an RVA."""

    rva: int
    parent: Context


Work: TypeAlias = Survey | GoOn | Repeat | Mutate | Solve | Rearrange | Minimise


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker is to do next."""

    work: Work
    settings: RunSettings
    seed: int
    seconds: float
    """After which it stops looking for more. A survey runs all of its fixed inputs nevertheless."""
    executions: int
    """How many runs it may make."""
    floors: dict[int, Figures] = field(default_factory=dict)
    """By address, what functions were measured to reach; less is of no interest."""
    blocks: frozenset[int] = frozenset()
    """Addresses of translated blocks that have run somewhere, for work that looks for others."""


@dataclass(frozen=True, slots=True)
class Found:
    """A run that showed something new to its worker."""

    context: Context
    observation: Observation
    step: Step | None
    """The run as a step for others to come after."""
    is_edge: bool = False
    """Whether one block followed another that never did before in this worker."""


@dataclass(frozen=True, slots=True)
class Harvest:
    """What a share came to."""

    executions: int
    found: tuple[Found, ...] = ()
    deeper: tuple[FunctionRuns, ...] = ()
    """Functions that went deeper than `floors` said, in the runs that show it."""
    surveyed: FunctionRuns | None = None
    minimised: Context | None = None
    refused: tuple[str, ...] = ()
    """Why known runs could not be made again."""
    is_cut_off: bool = False
    """Whether there was more to try when the share's time was up."""
    bring_up: BringUp | None = None
    """How the driver came up, in the first share of a worker."""
    roots: frozenset[Root] = frozenset()
    """Functions that the driver was seen to register."""
