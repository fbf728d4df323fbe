"""What a campaign has seen so far, and what of a run is new: code, depths, ways to get there, ways to end."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Sequence

from stackemu.emu.code.model import CodeModel
from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Observation
from stackemu.harness.contexts import RUNAWAY, Context
from stackemu.harness.explore import leaders_of


class News(enum.Flag):
    """What a run showed that none before it did."""

    NONE = 0
    CODE = enum.auto()
    """Blocks that nothing had run."""
    DEPTH = enum.auto()
    """A function, or one in a role, went deeper."""
    PATH = enum.auto()
    """Other functions stood on the stack at the low-water mark, or the same ones deeper."""
    OUTCOME = enum.auto()
    """The function called ended in another way, or for another reason."""


class Guidance:
    """Judges runs by what those before them showed."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.blocks: set[int] = set()
        """Addresses of all translated blocks that ran."""
        self._depths: dict[int, tuple[int, int]] = {}
        self._roles: dict[tuple[int, str], int] = {}
        self._paths: dict[tuple[int, ...], int] = {}
        self._outcomes: set[tuple[int, str, str]] = set()

    def judge(self, context: Context, observation: Observation) -> News:
        """Return what is new about a run; it is known from then on."""
        news = News.NONE
        if not self.blocks.issuperset(observation.blocks):
            self.blocks.update(observation.blocks)
            news |= News.CODE
        outcome = (context.caller, observation.outcome.value, observation.why or "")
        if outcome not in self._outcomes:
            self._outcomes.add(outcome)
            news |= News.OUTCOME
        # A loop or a recursion without end on invented memory goes as deep as it is let.
        if observation.outcome not in RUNAWAY:
            news |= self._judge_depths(context, observation)
        return news

    def _judge_depths(self, context: Context, observation: Observation) -> News:
        news = News.NONE
        for mark in observation.marks:
            own, depth = self._depths.get(mark.function, (-1, -1))
            if mark.own > own or mark.depth > depth:
                self._depths[mark.function] = max(own, mark.own), max(depth, mark.depth)
                news |= News.DEPTH
        if isinstance(context.way, Root):
            role = (context.caller, context.way.role)
            if observation.depth > self._roles.get(role, -1):
                self._roles[role] = observation.depth
                news |= News.DEPTH
        path = tuple(share.function for share in observation.chain)
        if observation.depth > self._paths.get(path, -1):
            self._paths[path] = observation.depth
            news |= News.PATH
        return news


class Coverage:
    """Basic blocks of some functions, and how many of them have run."""

    def __init__(self, model: CodeModel, addresses: Iterable[int]) -> None:
        """Count the blocks of the functions at `addresses`."""
        self._codes = [model.code(address) for address in addresses]
        self._owners: defaultdict[int, list[int]] = defaultdict(list)
        for index, code in enumerate(self._codes):
            for at in code.instructions:
                self._owners[at].append(index)
        self._leaders: list[set[int]] = [set() for _ in self._codes]
        self._known: set[int] = set()
        self.total = sum(len(code.leaders) for code in self._codes)
        """Basic blocks that there are; code that functions share counts in each of them."""
        self.seen = 0
        """Basic blocks that ran."""

    def add(self, blocks: Sequence[int]) -> int:
        """Count translated blocks that ran; returns how many basic blocks are new."""
        before = self.seen
        for block in blocks:
            if block in self._known:
                continue
            self._known.add(block)
            for index in self._owners.get(block, ()):
                found = leaders_of(self._codes[index], (block,)) - self._leaders[index]
                self._leaders[index] |= found
                self.seen += len(found)
        return self.seen - before
