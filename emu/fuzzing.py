"""A machine that runs one function on many inputs natively: Python sees only runs that need the kernel, and finds."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from stackemu.emu.inputs import Input
from stackemu.emu.kernel.roots import Root
from stackemu.emu.machine import DEFAULT_BUDGET, Arguments, Machine
from stackemu.emu.observation import Outcome
from stackemu.emu.slots import Slot


class Reason(enum.IntFlag):
    """What an execution showed that none before it did (numbers: guidance.h)."""

    EDGE = 1
    """One block followed another that never did."""
    OWN = 2
    """The own instructions of a function went deeper below its entry."""
    DEPTH = 4
    """A function went deeper, callees included; or the whole run of a root did."""
    PATH = 8
    """New functions stood on the stack at the low-water mark, or the same ones deeper."""
    OUTCOME = 16
    """A run of this function ended in a new way, or at a new place."""


@dataclass(frozen=True, slots=True)
class Find:
    """An input that is worth a canonical run, whose figures count: those here are what the fast path saw."""

    source: Input
    reasons: Reason
    outcome: Outcome
    own: int
    depth: int
    is_exact: bool
    """False: only the canonical run, which is repeated in single-step mode, knows the figures."""
    number: int
    """Which execution of the batch it was."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch came to."""

    executions: int
    """How many ran; fewer than asked for when the deadline passed."""
    native: int
    """How many of them did without Python."""
    finds: tuple[Find, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What executions have shown so far, in a form that other machines of the same image can take over."""

    edges: bytes = b""
    """Pairs of blocks that followed each other; this and the next two as `probe.Executor.known` says."""
    paths: bytes = b""
    outcomes: bytes = b""
    depths: bytes = b""
    """For each function 32-bit words: own, depth, depth of whole runs, the same of runs that were not exact."""


class FuzzMachine(Machine):
    """A machine for batches. `call` works as in every machine; both start from `start_from` and `keep`."""

    def learn(
        self,
        rva: int,
        source: Input,
        way: Arguments | Root,
        *,
        alignment: int = 0,
        budget: int = DEFAULT_BUDGET,
    ) -> tuple[Slot, ...]:
        """Run a function once, and return the places of the input that the run depends on, in the order of use.

        What the run shows counts as known from then on.
        """
        raise NotImplementedError

    def batch(
        self,
        rva: int,
        source: Input,
        way: Arguments | Root,
        slots: Sequence[Slot],
        *,
        dictionary: Sequence[bytes] = (),
        alignment: int = 0,
        budget: int = DEFAULT_BUDGET,
        seed: int = 0,
        executions: int = 10_000,
        deadline: float | None = None,
    ) -> Batch:
        """Run a function on inputs that differ from `source` in some of `slots`; finds are those that show more.

        Everything follows from `source`, `slots`, `dictionary`, `seed` and what is known, but for `deadline`
        (of `time.monotonic`), which ends the batch early.
        """
        raise NotImplementedError

    @property
    def known(self) -> Known:
        """Return what executions have shown."""
        raise NotImplementedError

    def teach(self, known: Known) -> None:
        """Take over what executions of other machines have shown, besides what is known here."""
        raise NotImplementedError

    def unlearn(self) -> None:
        """Start with nothing known."""
        raise NotImplementedError
