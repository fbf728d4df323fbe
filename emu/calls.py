"""What a machine is told of a call, and what it keeps: arguments, what is ready to run, recordings, snapshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unicorn import x86_const

from stackemu.emu.code.origin_tracer import KernelEvent
from stackemu.emu.code.steps import Steps
from stackemu.emu.kernel.roots import Words
from stackemu.emu.memory import MemorySnapshot
from stackemu.emu.observation import Observation

DEFAULT_BUDGET = 200_000
"""Instructions a run may take before it is given up."""
STACK_WORDS = 12
"""Words on the stack that a function finds at least above its return address."""
GENERAL = tuple(
    getattr(x86_const, f"UC_X86_REG_{name}") for name in ("EAX", "ECX", "EDX", "EBX", "EBP", "ESI", "EDI")
)
"""Unicorn's numbers of registers, in the order in which inputs number them."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """How to call a function: words pushed for it, and ECX and EDX; None for what the input decides."""

    stack: tuple[bool | str | None, ...] = (None,) * STACK_WORDS
    """For each word on the stack its C type, or whether it is a pointer; None where that is not known."""
    ecx: bool | str | None = None
    edx: bool | str | None = None


ANYTHING = Arguments()
"""How a function is called of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A run followed instruction by instruction."""

    observation: Observation
    steps: Steps
    events: Sequence[KernelEvent]
    read: Callable[[int, int], int]
    """Returns what memory holds after the run, as an unsigned number: (address, size in bytes)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A function that is ready to run: the address of its entry, ESP there, what it is given."""

    entry: int
    esp: int
    words: Words
    saved: tuple[int, ...]
    """The values of callee-saved registers."""
    failure: str | None
    """Why it cannot be given its arguments."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What runs start from: memory, and the emulated kernel's own state."""

    memory: MemorySnapshot
    kernel: bytes
