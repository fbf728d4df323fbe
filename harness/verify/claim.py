"""What a source says of functions' stack use, as typed records; every format is read into these.

Sizes are bytes. E is the stack pointer at a function's entry, which points at its return address.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Format(enum.Enum):
    """The formats that are read; the value is what people call them."""

    ACE = "!ace.stack_usage listing"
    SU = ".su file"
    C6262 = "C6262 warnings"
    KF = "kf stack trace"
    RESULT = "stackemu result"


class Figure(enum.Enum):
    """What a figure counts. `compare` says what of the driver each of them is held against."""

    LOCALS = "locals"
    """What the prologue reserves for local variables."""
    SAVED = "saved"
    """What the prologue pushes: callee-saved registers, frame pointer, SEH record."""
    FRAME = "frame"
    """Locals and saved registers."""
    CLANG_FRAME = "frame (clang)"
    """The frame, without what its realignment rounds it up by."""
    GCC_FRAME = "frame (gcc)"
    """The frame and the function's own return address."""
    GCC_BOUNDED = "frame (gcc, bounded)"
    """The same, with the worst realignment and the arguments that are pushed at most."""
    OWN = "own"
    """The deepest that the code says the function's own instructions go below E."""
    OWN_REACHED = "own reached"
    """The deepest that they were seen to go."""
    AT_CALL = "own at call"
    """How far below E they were when they had made one certain call, its return address included."""
    REACHED = "depth reached"
    """The deepest below E that the stack was seen to go until it returned, callees in the driver included."""
    SEEN = "depth seen"
    """How far below E it was in one moment."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a source says of one function."""

    line: int | None
    """Where in the source; None in JSON."""
    figures: Mapping[Figure, int]
    name: str | None = None
    """As the source writes it, decorated or not; None where it names a function by its place alone."""
    module: str | None = None
    place: str | None = None
    """File and line of the source code, as `names.c:76`."""
    address: int | None = None
    """In the address space of the source: the driver was loaded elsewhere there."""
    call_end: int | None = None
    """Where the call of `Figure.AT_CALL` ends: bytes from the function's beginning."""
    entry: int | None = None
    """E, where the source shows the stack itself."""
    dynamic: bool = False
    """The source says that the function allocates stack by a run-time amount, which its figures leave out."""
    estimate: bool = False
    """The source's figures are no exact ones: they may differ from what is true without being wrong."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source that was read."""

    format: Format
    claims: tuple[Claim, ...]
    notes: tuple[str, ...] = field(default=())
    """What whoever reads the comparison should know."""
    image_sha256: str | None = None
    """The image that the source speaks of, where it says so."""
