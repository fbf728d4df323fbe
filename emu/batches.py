"""The words of batches: what an execution showed that was new, what a batch came to, what is known."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from stackemu.emu.inputs import Input
from stackemu.emu.observation import Outcome


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
