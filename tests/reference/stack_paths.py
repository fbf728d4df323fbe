"""All paths through a function's instructions, with exact values for whatever points into the stack.

Paths are not merged, so ESP is always a number or unknown; once unknown, the function's own use is no constant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from assembly_text import Function, Line, Listing, decorated_pops
from stack_step import REGISTERS, AssemblyError, State, Step, Value

INDIRECT = "*"
"""The key in `pops` for calls through pointers whose target the text does not show."""
ALIGNMENT_SPAN = 64
"""Realignment up to this many bytes is followed exactly; E is a multiple of four."""
MAX_HEIGHTS = 48
"""At this many different ESPs before one instruction a function is taken to have no constant use."""
MAX_VALUES = 8
"""At this many different values before one instruction, whatever holds them (not ESP) is taken to be unknown."""
MAX_STATES = 200_000
NEVER_REACHED = frozenset(("int3", "ud2", "nop"))
"""What stands behind calls that do not return, and between functions."""


class Dynamic(Exception):  # noqa: N818 - an outcome, not an error
    """The function's stack use is no constant."""


class Walk:
    """All paths through one function, for one residue of E modulo ALIGNMENT_SPAN."""

    def __init__(
        self,
        function: Function,
        listing: Listing,
        pops: Mapping[str, int],
        residue: int,
        visited: set[int] | None = None,
    ) -> None:
        self.function = function
        self.listing = listing
        self.pops = pops
        self.residue = residue
        self.lowest = 0
        self.values: dict[tuple[int, str], set[Value | None]] = {}
        self.visited = set() if visited is None else visited
        self.funclets: set[int] = set()

    def reached(self, offset: int) -> None:
        self.lowest = min(self.lowest, offset)

    def lost(self, line: Line) -> None:
        raise Dynamic(line.text)

    def aligned(self, offset: int, mask: int) -> Value:
        if not -ALIGNMENT_SPAN <= mask < 0:
            raise AssemblyError(f"{self.function.symbol}: a stack address masked with {mask}")
        return Value("sp", ((offset + self.residue) & mask) - self.residue)

    def is_jump_table(self, name: str) -> bool:
        return any(entry in self.function.labels for entry in self.listing.tables.get(name, ()))

    def pops_of(self, callee: Value | None) -> int:
        if callee is None or callee.kind not in ("symbol", "import"):
            if INDIRECT not in self.pops:
                raise AssemblyError(f"{self.function.symbol}: a call through a pointer of unknown type")
            return self.pops[INDIRECT]
        if callee.name in self.pops:
            return self.pops[callee.name]
        return decorated_pops(callee.name)

    def widened(self, state: State) -> State:
        """Forget what takes ever new values, such as a pointer that walks over arguments: paths stay finite."""
        esp = REGISTERS.index("esp")
        registers = tuple(
            value if number == esp or self.is_stable(state.at, f"r{number}", value) else None
            for number, value in enumerate(state.registers)
        )
        slots = frozenset(item for item in state.slots if self.is_stable(state.at, f"s{item[0]}", item[1]))
        return State(state.at, registers, slots)

    def is_stable(self, at: int, place: str, value: Value | None) -> bool:
        values = self.values.setdefault((at, place), set())
        values.add(value)
        return len(values) <= MAX_VALUES

    def raised(self, state: State) -> Iterator[State]:
        """Yield where an exception in `state` leads: to the handlers of clang's table in a registration of the frame.

        The table's address is the third word of a registration; EBP in a handler is 16 bytes above the first one,
        and the handler itself takes ESP from the word before.
        """
        for offset, value in state.slots:
            if value.kind == "symbol" and value.name.startswith("L__ehtable$"):
                registers = [None] * len(REGISTERS)
                registers[REGISTERS.index("ebp")] = Value("sp", offset + 8)
                registers[REGISTERS.index("esp")] = Value("sp", offset - 12)
                for entry in self.listing.tables[value.name]:
                    if entry in self.function.labels:
                        yield State(self.function.labels[entry], tuple(registers), state.slots)

    def run(self, start: int = 0) -> int:
        """Return how far below E the function's own instructions reach, from the one numbered `start`."""
        registers: list[Value | None] = [None] * len(REGISTERS)
        registers[REGISTERS.index("esp")] = Value("sp", 0)
        pending = [State(start, tuple(registers), frozenset())]
        seen: set[State] = set()
        heights: dict[int, set[int]] = {}
        while pending:
            state = pending.pop()
            if state.at >= len(self.function.lines):
                continue  # behind a call that does not return
            state = self.widened(state)
            if state in seen:
                continue
            seen.add(state)
            self.visited.add(state.at)
            esp = state.registers[REGISTERS.index("esp")]
            if esp is None:
                raise Dynamic(self.function.lines[state.at].text)
            here = heights.setdefault(state.at, set())
            here.add(esp.n)
            if len(here) > MAX_HEIGHTS:
                raise Dynamic(self.function.lines[state.at].text)
            if len(seen) > MAX_STATES:
                raise AssemblyError(f"{self.function.symbol}: too many paths")
            path = Step(self, state)
            path.step(self.function.lines[state.at])
            pending += path.states()
            pending += self.raised(state)
        return -self.lowest


def own_use(function: Function, listing: Listing, pops: Mapping[str, int]) -> int | None:
    """Return how far below E a function's own instructions reach at the worst alignment, None for no constant."""
    realigns = any(line.mnemonic == "and" and line.operands[0].lower() in REGISTERS for line in function.lines)
    residues = range(0, ALIGNMENT_SPAN, 4) if realigns else (0,)
    own, visited = 0, set()
    try:
        for residue in residues:
            walk = Walk(function, listing, pops, residue)
            own = max(own, walk.run())
            for funclet in sorted(walk.funclets):
                Walk(function, listing, pops, residue, walk.visited).run(funclet)
            visited |= walk.visited
    except Dynamic:
        return None
    _check_coverage(function, visited)
    return own


def _check_coverage(function: Function, visited: set[int]) -> None:
    """Refuse to answer when a path was lost: code that no path reaches would be left out of the figure."""
    for number, line in enumerate(function.lines):
        if number not in visited and line.mnemonic not in NEVER_REACHED:
            raise AssemblyError(f"{function.symbol}: no path leads to `{line.text}`")
