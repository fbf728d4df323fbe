"""Writing a function's assembly text and its truth at once: every line that moves ESP says so as it is written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from generated_truth import Amount, Call, Generated, Height, Help, Leave, Node, Operand, Reach

SEH_RECORD = 36
"""Bytes that __SEH_prolog4 and its two arguments take beside the locals: EBP, scope table, try level, exception
pointers and saved ESP (4 each, with the handler and the next record), EBX, ESI, EDI and the cookie."""
SEH_DEEPEST = 4
"""Bytes below that which the helper pushes last: its return address."""
CHKSTK_BEGINS = 8
"""Bytes below its caller's ESP that _chkstk reaches at first: its return address and ECX, which it saves."""
CHKSTK_ENDS = 4
"""Bytes below what it has reserved where it puts its return address at last."""


class Writer:
    """One function's text, the height that ESP has at its end, and the tree of what it does."""

    def __init__(self, function: Generated, generator: random.Random) -> None:
        """Begin an empty function."""
        self.function = function
        self.random = generator
        self.lines: list[str] = []
        self.tables: list[str] = []
        self.nodes: list[Node] = function.body
        self.height = Height()
        self.weight = 1
        """How often what is written now is carried out."""
        self._labels = 0

    def chance(self, probability: float) -> bool:
        """Return true that often."""
        return self.random.random() < probability

    def label(self) -> str:
        """Return a new label of the function's own."""
        self._labels += 1
        return f"L{self.function.name}_{self._labels}"

    def place(self, label: str) -> None:
        """Put a label here."""
        self.lines.append(f"{label}:")

    def write(self, *lines: str) -> None:
        """Write instructions that leave ESP alone."""
        self.lines += [f"    {line}" for line in lines]
        self.function.work += self.weight * len(lines)

    def move(self, line: str, down: int) -> None:
        """Write an instruction that lowers ESP by `down` bytes; negative for up."""
        self.write(line)
        self.stand(self.height.lowered(down))

    def stand(self, height: Height) -> None:
        """ESP has come to a height."""
        self.height = height
        self.nodes.append(Reach(height))

    def push(self, operand: str, size: int = 4) -> None:
        """Push an operand."""
        self.move(f"push {operand}", size)

    def pop(self, operand: str, size: int = 4) -> None:
        """Pop into an operand."""
        self.move(f"pop {operand}", -size)

    def realign(self, mask: int) -> None:
        """Round ESP down."""
        self.write(f"and esp, -{mask}")
        self.stand(self.height.realigned(mask))

    def push_as_att(self, operand: str) -> None:
        """Push what clang's Intel syntax pushes as one or two bytes: a symbol's address, a segment register."""
        self._write_as_att(f"pushl {operand}")
        self.stand(self.height.lowered(4))

    def _write_as_att(self, line: str) -> None:
        self.lines.append("    .att_syntax")
        self.write(line)
        self.lines.append("    .intel_syntax noprefix")

    def call(self, operand: str, callee: Generated, arguments: tuple[Operand, ...]) -> None:
        """Call a function that takes what its convention says off the stack; `*symbol` is a call through memory.

        Clang's Intel syntax makes a direct call of `call dword ptr [symbol]`.
        """
        if operand.startswith("*"):
            self._write_as_att(f"calll {operand}")
        else:
            self.write(f"call {operand}")
        self.nodes.append(Call(self.height, callee, arguments))
        self.function.work += self.weight * callee.work
        self.stand(self.height.lowered(-callee.pops))

    def help(self, helper: str, after: Height, *reached: Height) -> None:
        """Call a run-time helper that reaches some heights itself and comes back with ESP elsewhere."""
        self.write(f"call {helper}")
        self.nodes += [Help(self.height, helper.lstrip("_"), height) for height in reached]
        self.function.work += self.weight * 20
        self.stand(after)

    def probe(self, size: int | Amount) -> None:
        """Take bytes with the stack probe; a run-time amount is in EAX already."""
        if isinstance(size, int):
            self.write(f"mov eax, {size}")
            after = self.height.lowered(size)
        else:
            after = self.height.allocated(size)
        self.help("__chkstk", after, self.height.lowered(CHKSTK_BEGINS), after.lowered(CHKSTK_ENDS))

    def ret(self) -> None:
        """Return as the convention says."""
        pops = self.function.pops
        self.write(f"ret {pops}" if pops else "ret")
        self.nodes.append(Leave())

    @contextmanager
    def arm(self, nodes: list[Node]) -> Iterator[None]:
        """Write an arm of a branch; ESP is where it was behind it."""
        outer, height = self.nodes, self.height
        self.nodes = nodes
        try:
            yield
        finally:
            self.nodes, self.height = outer, height

    @contextmanager
    def repeated(self, times: int) -> Iterator[None]:
        """Write what is carried out several times."""
        self.weight *= times
        try:
            yield
        finally:
            self.weight //= times
