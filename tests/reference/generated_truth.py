"""What a generated function does to the stack, as a tree of the things that it does, and the figures that follow.

The generator builds the tree while it writes the function's assembly text; nothing here has seen machine code,
and nothing is shared with stackemu. All figures are bytes below E, the value of ESP at the function's entry.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

SPAN = 64
"""The largest realignment: E matters modulo this."""
ENTRIES = range(0, SPAN, 4)
"""Every E modulo SPAN."""
POINTER = -1
"""The value of an address; no condition compares with one."""


@dataclass(frozen=True)
class Const:
    """A number."""

    value: int


@dataclass(frozen=True)
class Global:
    """A word of the program's data, which a run may set."""

    index: int


@dataclass(frozen=True)
class Argument:
    """A word that the function is given: the registers of its convention first, then the stack."""

    index: int


@dataclass(frozen=True)
class Chosen:
    """One of two operands, by whether a third equals a number."""

    condition: Global | Argument
    value: int
    equal: Operand
    otherwise: Operand


Operand = Const | Global | Argument | Chosen
Variable = Global | Argument


class Values(NamedTuple):
    """What a run finds: the function's arguments, and the program's data."""

    arguments: Sequence[int]
    globals: Sequence[int]

    def of(self, operand: Operand) -> int:
        """Return what an operand holds."""
        match operand:
            case Const(value):
                return value
            case Global(index):
                return self.globals[index]
            case Argument(index):
                return self.arguments[index]
            case Chosen(condition, value, equal, otherwise):
                return self.of(equal if self.of(condition) == value else otherwise)


class Amount(NamedTuple):
    """Stack taken at run time: a variable's value, rounded up; `values` are all that it ever holds."""

    variable: Global
    rounding: int
    values: tuple[int, ...]

    def bytes(self, value: int) -> int:
        """Return what is taken where the variable holds `value`."""
        return -(-value // self.rounding) * self.rounding


class Height(NamedTuple):
    """How far ESP stands below E: `above`, then down to a multiple of `mask`, then `below` and run-time amounts."""

    above: int = 0
    mask: int = 1
    below: int = 0
    amounts: tuple[Amount, ...] = ()

    def lowered(self, size: int) -> Height:
        """Return the height `size` bytes further down; negative for up."""
        return self._replace(below=self.below + size)

    def realigned(self, mask: int) -> Height:
        """Return the height behind `and esp, -mask`."""
        assert self.mask == 1
        assert not self.amounts
        return Height(self.below, mask)

    def allocated(self, amount: Amount) -> Height:
        """Return the height below an amount that only a run knows."""
        return self._replace(amounts=(*self.amounts, amount))

    def constant(self, entry: int) -> int:
        """Return the bytes without run-time amounts for an E of `entry` modulo SPAN."""
        return self.above + (entry - self.above) % self.mask + self.below

    def bytes(self, entry: int, values: Values) -> int:
        """Return the bytes in a run."""
        return self.constant(entry) + sum(one.bytes(values.of(one.variable)) for one in self.amounts)

    def most(self, entry: int) -> int:
        """Return the bytes in the worst run."""
        return self.constant(entry) + sum(max(map(one.bytes, one.values)) for one in self.amounts)


class Reach(NamedTuple):
    """ESP is at a height."""

    height: Height


class Call(NamedTuple):
    """A call with ESP at a height, before the return address is pushed."""

    height: Height
    callee: Generated
    arguments: tuple[Operand, ...]


class Help(NamedTuple):
    """A call of a run-time helper that takes ESP to a height of its own before it returns."""

    height: Height
    helper: str
    lowest: Height


class Choice(NamedTuple):
    """A branch: the arm of the variable's value."""

    variable: Variable
    arms: Mapping[int, list[Node]]
    otherwise: list[Node]

    @property
    def other(self) -> int:
        """Return a value that no arm is for."""
        return next(number for number in itertools.count(1) if number not in self.arms)


class Jump(NamedTuple):
    """A tail jump with ESP at E: the callee takes the function's place, and its arguments."""

    callee: Generated


class Leave(NamedTuple):
    """A return."""


Node = Reach | Call | Help | Choice | Jump | Leave


class Run(NamedTuple):
    """What one run reaches: `chain` holds the frames at the low-water mark with their shares, those of 0 left out."""

    own: int
    depth: int
    chain: tuple[tuple[str, int], ...]


@dataclass
class Generated:
    """One generated function: its text, and the truth about it.

    `locals`, `saved` and `frame` are None where their definitions leave room for more than one answer, such as
    for registers that are saved in the middle of a function.
    """

    name: str
    convention: str
    words: int
    """Arguments, those in registers included."""
    text: str = ""
    body: list[Node] = field(default_factory=list)
    locals: int | None = None
    saved: int | None = None
    frame: int | None = None
    features: set[str] = field(default_factory=set)
    calls_pointers: bool = False
    """Whether it calls through memory, which the code alone leads anywhere."""
    work: int = 0
    """Instructions that a run takes at most, roughly."""
    _bounds: dict[int, int] = field(default_factory=dict, repr=False)

    @property
    def in_registers(self) -> int:
        """Return how many arguments come in registers."""
        return min(self.words, 2) if self.convention == "fastcall" else 0

    @property
    def stack_words(self) -> int:
        """Return how many arguments come on the stack."""
        return self.words - self.in_registers

    @property
    def pops(self) -> int:
        """Return the bytes of arguments that it takes off its caller's stack."""
        return 0 if self.convention == "cdecl" else 4 * self.stack_words

    @property
    def symbol(self) -> str:
        """Return the decorated name."""
        if self.convention == "cdecl":
            return f"_{self.name}"
        return f"{'@' if self.convention == 'fastcall' else '_'}{self.name}@{4 * self.words}"

    @property
    def label(self) -> str:
        """Return a second name of its entry: clang's Intel syntax knows no `offset` of a name that begins with @."""
        return f"L{self.name}"

    def heights(self) -> Iterator[Height]:
        """Yield every height that the function's own instructions reach, on any path."""
        for node in _nodes(self.body):
            if isinstance(node, Reach):
                yield node.height
            elif isinstance(node, Call | Help):
                yield node.height.lowered(4)

    @property
    def realigns(self) -> int:
        """Return what the function aligns its stack to, 1 for nothing."""
        return max((height.mask for height in self.heights()), default=1)

    @property
    def is_dynamic(self) -> bool:
        """Return whether own is no constant."""
        return any(height.amounts for height in self.heights())

    @property
    def own(self) -> int | None:
        """Return the deepest that any instruction can reach at the worst entry alignment; None for no constant."""
        if self.is_dynamic:
            return None
        return max((height.constant(entry) for height in self.heights() for entry in ENTRIES), default=0)

    @property
    def worst(self) -> int:
        """Return the bytes that a run takes at most, callees included."""
        return max(map(self.bound, ENTRIES))

    @property
    def is_bounded(self) -> bool:
        """Return whether neither the function nor a callee takes a run-time amount of stack, or calls a pointer."""
        callees = (node.callee for node in _nodes(self.body) if isinstance(node, Call | Jump))
        return not self.is_dynamic and not self.calls_pointers and all(callee.is_bounded for callee in callees)

    def bound(self, entry: int) -> int:
        """Return the bytes that a run takes at most for an E of `entry` modulo SPAN, callees included."""
        if entry not in self._bounds:
            self._bounds[entry] = max((self._most(node, entry) for node in _nodes(self.body)), default=0)
        return self._bounds[entry]

    def _most(self, node: Node, entry: int) -> int:
        match node:
            case Reach(height):
                return height.most(entry)
            case Call(height, callee, _):
                taken = height.most(entry) + 4
                return taken + (callee.worst if height.amounts else callee.bound((entry - taken) % SPAN))
            case Help(_, _, lowest):
                return lowest.most(entry)
            case Jump(callee):
                return callee.bound(entry)
        return 0

    def paths(self) -> list[dict[Variable, int]]:
        """Return, for every path through the function's own branches, the values that drive a run down it."""
        return [values for values, _ in _paths(self.body)]

    def run(self, entry: int, values: Values) -> Run:
        """Return what a run reaches for an E of `entry` modulo SPAN."""
        walk = _Walk(self, entry, values)
        walk.body(self.body)
        return Run(walk.own, walk.depth, walk.chain)


def _nodes(body: list[Node]) -> Iterator[Node]:
    for node in body:
        yield node
        if isinstance(node, Choice):
            for arm in (*node.arms.values(), node.otherwise):
                yield from _nodes(arm)


def _paths(body: list[Node]) -> list[tuple[dict[Variable, int], bool]]:
    """Return the values of variables for each way through a body, and whether it leaves the function."""
    under_way: list[dict[Variable, int]] = [{}]
    left: list[dict[Variable, int]] = []
    for node in body:
        if isinstance(node, Choice):
            ways = [
                ({node.variable: value, **rest}, leaves)
                for value, arm in [*node.arms.items(), (node.other, node.otherwise)]
                for rest, leaves in _paths(arm)
            ]
            left += [{**before, **way} for before in under_way for way, leaves in ways if leaves]
            under_way = [{**before, **way} for before in under_way for way, leaves in ways if not leaves]
        elif isinstance(node, Reach):
            for amount in node.height.amounts:
                if under_way and amount.variable not in under_way[0]:
                    under_way = [{**one, amount.variable: value} for one in under_way for value in amount.values]
        elif isinstance(node, Jump | Leave):
            left += under_way
            under_way = []
    return [(values, True) for values in left] + [(values, False) for values in under_way]


class _Walk:
    """One run of one function."""

    def __init__(self, function: Generated, entry: int, values: Values) -> None:
        self._function = function
        self._entry = entry
        self._values = values
        self.own = self.depth = 0
        self.chain: tuple[tuple[str, int], ...] = ()

    def body(self, body: list[Node]) -> bool:
        """Carry out a body; returns whether the function has been left in it."""
        return any(self._node(node) for node in body)

    def _node(self, node: Node) -> bool:
        match node:
            case Reach(height):
                self._reach(height)
            case Call(height, callee, arguments):
                bottom = self._reach(height.lowered(4))
                passed = Values([self._values.of(one) for one in arguments], self._values.globals)
                inner = callee.run((self._entry - bottom) % SPAN, passed)
                self._deepen(bottom + inner.depth, ((self._function.name, bottom), *inner.chain))
            case Help(height, helper, lowest):
                bottom = self._reach(height.lowered(4))
                depth = lowest.bytes(self._entry, self._values)
                self._deepen(depth, ((self._function.name, bottom), (helper, depth - bottom)))
            case Choice(variable, arms, otherwise):
                return self.body(arms.get(self._values.of(variable), otherwise))
            case Jump(callee):
                inner = callee.run(self._entry, self._values)
                first, *rest = inner.chain or [("", 0)]
                self._deepen(inner.depth, ((self._function.name, first[1]), *rest))
                return True
            case Leave():
                return True
        return False

    def _reach(self, height: Height) -> int:
        bottom = height.bytes(self._entry, self._values)
        self.own = max(self.own, bottom)
        self._deepen(bottom, ((self._function.name, bottom),))
        return bottom

    def _deepen(self, depth: int, chain: tuple[tuple[str, int], ...]) -> None:
        if depth > self.depth:
            self.depth, self.chain = depth, chain
