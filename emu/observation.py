"""What one run of one function showed."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from stackemu.emu.kernel.roots import Root


class Outcome(enum.Enum):
    """How a run ended."""

    RETURNED = "returned"
    RAISED = "raised"
    BUGCHECK = "bugcheck"
    FAULTED = "faulted"
    BUDGET = "budget"
    OVERFLOW = "overflow"
    UNSUPPORTED = "unsupported"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Share:
    """A frame at the low-water mark: the address of its function's entry and its share in bytes."""

    function: int
    bytes: int


class Mark(NamedTuple):
    """What a function reached in one of its frames, wherever it was called from: bytes below ESP at its entry."""

    function: int
    """The address of its entry."""
    own: int
    depth: int
    is_over: bool
    """Whether the frame that went deepest was left before the run ended."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The figures of one run, in bytes below ESP at the function's entry; addresses are absolute.

    `popped` is what the function took off its caller's stack beyond the return address (negative for a
    helper that leaves a frame to its caller), `clobbered` the callee-saved registers it changed; both are
    None unless it returned.
    """

    outcome: Outcome
    why: str | None
    own: int
    depth: int
    chain: tuple[Share, ...]
    instructions: int
    blocks: tuple[int, ...]
    popped: int | None
    clobbered: tuple[str, ...] | None
    guessed_calls: tuple[tuple[int, int], ...]
    """Calls of functions nobody knows, as (address of the instruction after the call, bytes popped)."""
    exact: bool
    result: int | None = None
    """EAX when the function returned."""
    marks: tuple[Mark, ...] = ()
    """What every function that ran reached, the one that was called among them."""
    callbacks: tuple[tuple[int, int, int], ...] = ()
    """Callbacks that kernel functions made, as (address behind the call of the kernel function, callback, words)."""
    calls: int = 0
    """Calls of kernel functions, which are numbered from 0 in the order of the run."""
    roots: tuple[Root, ...] = ()
    """Functions that the driver asked to be called at, in this run and before it."""
    notes: tuple[str, ...] = ()
    """Odd behaviour that the emulated kernel noticed."""
    unmodelled: tuple[tuple[str, int], ...] = ()
    """Kernel functions called that have no behaviour, with the address behind the first call: their results are
    the input's."""
