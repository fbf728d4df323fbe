"""What the data flow knows at one point of a function: values of registers and stack slots.

The entry's ESP is E; an offset k means the address E + k, so offsets below 0 are the function's frame and
offset 0 is its return address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from stackemu.emu.code.instruction import ESP


class Value(NamedTuple):
    """A register's or slot's value.

    'stack': the address E + n; 'const': the constant n; 'entry': register n at entry; 'api': a kernel
    function (n is the caller's business); 'kmdf': the address of the KMDF function table, plus n.
    """

    kind: Literal["stack", "const", "entry", "api", "kmdf"]
    n: int


class CallEffect(NamedTuple):
    """What a call does: `pops` bytes of arguments; `state` replaces the caller's state after a helper."""

    pops: int | None
    state: State | None = None
    guessed: bool = False
    lowest: int | None = None
    """The lowest offset from the caller's E that a helper's own instructions reach."""
    registers_handler: bool = False
    """Whether a helper registers an exception handler for its caller."""


@dataclass(slots=True)
class State:
    """Registers and stack slots before an instruction; None is an unknown value."""

    registers: list[Value | None]
    slots: dict[int, Value]
    pushed: int = 0
    """Bytes pushed that no call has taken yet: the likely arguments of the next one."""

    @classmethod
    def at_entry(cls) -> State:
        """Return the state at a function's first instruction."""
        registers: list[Value | None] = [Value("entry", number) for number in range(8)]
        registers[ESP] = Value("stack", 0)
        return cls(registers, {})

    def copy(self) -> State:
        """Return an independent copy."""
        return State(self.registers.copy(), self.slots.copy(), self.pushed)

    @property
    def esp(self) -> int | None:
        """Return ESP's offset, None when it is not known."""
        value = self.registers[ESP]
        return value.n if value is not None and value.kind == "stack" else None
