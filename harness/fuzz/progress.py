"""What a campaign has come to, for people who watch it and for its final report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a campaign."""

    executions: int
    """Runs so far, native ones included."""
    rate: float
    """Executions a second, lately."""
    seconds: float
    """Since the campaign began, or went on."""
    blocks_seen: int
    """Basic blocks of the functions under test that any run came to."""
    blocks: int
    """Basic blocks that these functions have."""
    blocks_new: int
    """How many of `blocks_seen` were not seen before the campaign began, or went on."""
    deepest: int
    """The deepest any of the functions went, in bytes below ESP at its entry."""
    deepest_function: str
    """Its name; empty when nothing was run yet."""
    corpus: int
    """Inputs that are kept."""
    crashes: int
    """Runs kept because they ended badly, different ones."""
    last_find: float | None
    """Seconds since anything new was seen, None when nothing was."""
    workers: int
    """Shares of work under way."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The deepest that one function went in a campaign: a row of the final table."""

    function: str
    rva: int
    role: str | None
    """What the kernel called it as in the deepest run; None when it was called as a plain function."""
    own: int
    depth: int
    outcome: str
    """How that run ended (`Outcome`)."""
    chain: tuple[tuple[str, int], ...]
    """The frames at the low-water mark, outermost first: name and bytes; the bytes add up to `depth`."""
    before: tuple[str, ...]
    """The roles of the calls that come before that run."""
    input_size: int
    """Bytes that the run's input takes, those of the calls before it included."""
    witness: Path | None
    """The file that repeats it, where the corpus is on disk."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A run that ended badly."""

    kind: str
    """What happened, in a word: bugcheck, overflow, budget, wild-jump, imbalance, fault."""
    function: str
    why: str
    witness: Path | None
