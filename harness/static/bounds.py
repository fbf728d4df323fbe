"""The bound: the deepest a function can get with all its callees, with the path that gets there.

bound = the greatest of own and, for each call, what lies above the callee's entry plus the callee's bound. Where a
function realigns its stack, what it takes depends on ESP at its entry modulo 64, and so does the bound of whoever
calls it: for such functions every residue has a bound of its own. A bound that is not closed says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import networkx

from stackemu.emu.code.heights import Heights
from stackemu.emu.code.semantics import MAX_ALIGNMENT
from stackemu.harness.results import BOUND_ONLY
from stackemu.harness.static.callgraph import CallGraph, Site

_REALIGNMENT = -1
"""Stands in the graph for what every function that realigns does."""
MAX_REASONS = 6
"""Reasons that are kept for one function; there are always more of the same kind."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a function adds on the worst path before its callee's entry, in bytes, and the callee."""

    bytes: int
    callee: int | None
    """None for a kernel function with a cost, and at the end of a path."""
    residue: int = 0
    label: str = ""
    """The kernel function that costs something at the end of a path."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The bytes that are known of, a bound when there are no reasons against it."""

    bytes: int
    step: Step | None = None
    reasons: tuple[str, ...] = ()


@dataclass(slots=True)
class Recursion:
    """Functions that call each other in a circle: one such circle, and the most bytes that a turn takes."""

    members: frozenset[int]
    circle: tuple[int, ...]
    turn: int


@dataclass(slots=True)
class Bounds:
    """Bounds of all functions of an image that are asked for, and of whatever they call."""

    graph: CallGraph
    name: Callable[[int], str]
    recursions: dict[int, Recursion] = field(default_factory=dict)
    """By function: the recursion that it takes part in."""
    _bounds: dict[tuple[int, int], Bound] = field(default_factory=dict)
    _sensitive: frozenset[int] = frozenset()
    """Functions that realign the stack, and all that come to call one."""
    _period: int = 4
    """The largest realignment of the image: ESP modulo more than that makes no difference."""

    def compute(self, addresses: Iterable[int]) -> None:
        """Work out the bounds of the functions at `addresses` and of all that they call."""
        edges = self._reachable(addresses)
        graph: networkx.DiGraph[int] = networkx.DiGraph()
        graph.add_nodes_from(edges)
        graph.add_edges_from((caller, callee) for caller, callees in edges.items() for callee in callees)
        realigning = [node for node in edges if self._realigns(node) > 4]
        self._period = max(map(self._realigns, realigning), default=4)
        graph.add_edges_from((node, _REALIGNMENT) for node in realigning)
        if realigning:
            self._sensitive = frozenset(networkx.ancestors(graph, _REALIGNMENT))
            graph.remove_node(_REALIGNMENT)
        # Tarjan's components come callees first.
        for component in networkx.strongly_connected_components(graph):
            members = frozenset(component)
            first = next(iter(members))
            if len(members) > 1 or graph.has_edge(first, first):
                self._recursive(members, graph)
            else:
                self._straight(first)

    def _reachable(self, addresses: Iterable[int]) -> dict[int, tuple[int, ...]]:
        found: dict[int, tuple[int, ...]] = {}
        pending = list(addresses)
        while pending:
            address = pending.pop()
            if address in found:
                continue
            callees = self._callees(address)
            found[address] = tuple(sorted(callees))
            pending += callees
        return found

    def _callees(self, address: int) -> set[int]:
        """Return what a node leads to: functions, and choices between functions of one prototype."""
        if address < 0:
            return set(self.graph.taken.get(_popped(address), ()))
        callees: set[int] = set()
        for site in self.graph.sites(address):
            callees.update(edge.callee for edge in site.edges)
            if site.pops in self.graph.taken:
                callees.add(_choice(site.pops))
        return callees

    # -- what others ask --

    def worst(self, address: int) -> tuple[Bound, int]:
        """Return a function's bound at its worst entry alignment, and ESP modulo 64 there."""
        return max(
            ((self._bounds[address, residue], residue) for residue in self._residues(address)),
            key=lambda one: (one[0].bytes, -one[1]),
        )

    def path(self, address: int, residue: int) -> Iterator[tuple[str, int]]:
        """Yield the worst path from a function down, frame by frame: the function's name and its bytes."""
        place: tuple[int, int] | None = (address, residue)
        visited = set()
        while place is not None and place not in visited:
            visited.add(place)
            address, residue = place
            bound = self._bounds[self._key(address, residue)]
            step = bound.step
            if step is None:
                yield self.name(address), bound.bytes
                return
            if address >= 0:
                yield self.name(address), step.bytes
            if step.callee is None:
                yield step.label, bound.bytes - step.bytes
                return
            place = (step.callee, step.residue)

    # -- one function --

    def _heights(self, address: int, residue: int = 0) -> Heights:
        model = self.graph.model
        return model.heights(address, residue % self._realigns(address))

    def _realigns(self, address: int) -> int:
        """Return what a function realigns the stack to, 4 when it does not."""
        realigns = self.graph.model.heights(address).realigns if address >= 0 else 0
        return max(4, min(realigns, MAX_ALIGNMENT))

    def _residues(self, address: int) -> range:
        return range(0, self._period if address in self._sensitive else 4, 4)

    def _key(self, address: int, residue: int) -> tuple[int, int]:
        return address, residue % self._period if address in self._sensitive else 0

    def _straight(self, address: int) -> None:
        for residue in self._residues(address):
            self._bounds[address, residue] = self._bound(address, residue, frozenset())

    def _bound(self, address: int, residue: int, left_out: frozenset[int]) -> Bound:
        """Return the bound at one residue; calls of the functions `left_out` do not count."""
        if address < 0:
            return self._choose(address, residue, left_out)
        heights = self._heights(address, residue)
        best, step = -heights.lowest, None
        reasons = dict.fromkeys(self._own_reasons(address, heights))
        for site in self.graph.sites(address):
            for candidate, reason_source in self._through(site, heights, residue, left_out):
                deep = candidate.bytes + (reason_source.bytes if reason_source is not None else 0)
                if deep > best:
                    best, step = deep, candidate
                if reason_source is not None:
                    reasons.update(dict.fromkeys(reason_source.reasons))
        return Bound(best, step, tuple(reasons)[:MAX_REASONS])

    def _choose(self, address: int, residue: int, left_out: frozenset[int]) -> Bound:
        """Return the deepest bound of the functions that a call through a pointer may lead to."""
        best = Bound(0)
        reasons: dict[str, None] = {}
        for callee in self._callees(address) - left_out:
            key = self._key(callee, residue)
            bound = self._bounds[key]
            reasons.update(dict.fromkeys(bound.reasons))
            if best.step is None or (bound.bytes, -callee) > (best.bytes, -(best.step.callee or 0)):
                best = Bound(bound.bytes, Step(0, *key))
        return Bound(best.bytes, best.step, tuple(sorted(reasons))[:MAX_REASONS])

    def _through(
        self, site: Site, heights: Heights, residue: int, left_out: frozenset[int]
    ) -> Iterator[tuple[Step, Bound | None]]:
        """Yield what each callee of a site makes of the depth: the step to it, and its own bound."""
        if site.is_helper:
            lowest = -heights.helper_lowest[site.address]
            yield Step(0, None), Bound(lowest)
            for edge in site.edges:
                if edge.callee not in left_out:
                    bound, at = self.worst(edge.callee)
                    yield Step(lowest, edge.callee, at), bound
            return
        before = heights.esp_before.get(site.address)
        if before is None:
            return  # the function's own reasons say so
        depth = -before + (0 if site.is_tail else 4)
        cost = self.graph.annotations.api_cost.get(site.kernel_function or "")
        if cost is not None:
            yield Step(depth, None, label=site.kernel_function or ""), Bound(cost)
        for edge in site.edges:
            if edge.callee in left_out:
                continue
            below = depth + edge.below
            key = self._key(edge.callee, residue - below)
            yield Step(below, *key), self._bounds[key]
        if site.pops in self.graph.taken and (choice := _choice(site.pops)) not in left_out:
            key = self._key(choice, residue - depth)
            yield Step(depth, *key), self._bounds[key]

    def _own_reasons(self, address: int, heights: Heights) -> Iterator[str]:
        name = self.name(address)
        for at, reason in sorted(heights.unknown_since.items()):
            yield f"{BOUND_ONLY}{name}: {reason} at {at:#010x}"
            break
        code = self.graph.model.code(address)
        if code.undecodable:
            yield f"{BOUND_ONLY}{name}: code does not decode at {min(code.undecodable):#010x}"
        if heights.registers_handler:
            yield f"{BOUND_ONLY}{name}: exceptions run its filters and __finally blocks on top of what raised them"

    # -- recursion --

    def _recursive(self, members: frozenset[int], graph: networkx.DiGraph[int]) -> None:
        turn = sum(self._heaviest(member, members) for member in members)
        inside = graph.subgraph(members)
        circle = tuple(caller for caller, _ in networkx.find_cycle(inside))
        recursion = Recursion(members, circle, turn)
        self.recursions.update(dict.fromkeys(members, recursion))
        frames = self._annotated_frames(members, inside)
        reason = "" if frames else self._describe(recursion)
        plain = {
            (member, residue): self._bound(member, residue, members)
            for member in members
            for residue in self._residues(member)
        }
        deepest = max(plain.values(), key=lambda bound: bound.bytes)
        reasons = tuple(dict.fromkeys(one for bound in plain.values() for one in bound.reasons))
        for key, bound in plain.items():
            if frames:
                # Turns lie between the frames of the annotated function; of several functions in the circle, others
                # may stand above the first of its frames and below the last.
                turns = frames - 1 if len(members) == 1 else frames + 1
                total = turns * turn + deepest.bytes
                label = f"{frames} frames of {self.name(next(iter(members & set(self.graph.annotations.recursion))))}"
                self._bounds[key] = Bound(
                    total, Step(total - deepest.bytes, None, label=label), reasons[:MAX_REASONS]
                )
            else:
                self._bounds[key] = Bound(bound.bytes, bound.step, (reason, *reasons)[:MAX_REASONS])

    def _heaviest(self, member: int, members: frozenset[int]) -> int:
        """Return the most bytes between a member's entry and that of another member that it calls."""
        if member < 0:
            return 0
        return max(
            (
                step.bytes
                for residue in range(0, self._realigns(member), 4)
                for site in self.graph.sites(member)
                for step in self._steps_to(site, member, residue, members)
            ),
            default=0,
        )

    def _steps_to(self, site: Site, member: int, residue: int, members: frozenset[int]) -> Iterator[Step]:
        before = self._heights(member, residue).esp_before.get(site.address)
        for edge in site.edges:
            if edge.callee in members and before is not None:
                yield Step(-before + (0 if site.is_tail else 4) + edge.below, edge.callee)
        if before is not None and site.pops in self.graph.taken and _choice(site.pops) in members:
            yield Step(-before + (0 if site.is_tail else 4), _choice(site.pops))

    def _annotated_frames(self, members: frozenset[int], inside: networkx.DiGraph[int]) -> int | None:
        """Return how many frames of an annotated member stand at most, if every circle goes through it."""
        for member, frames in self.graph.annotations.recursion.items():
            if member in members:
                rest = inside.subgraph(members - {member})
                if networkx.is_directed_acyclic_graph(rest):
                    return frames
        return None

    def _describe(self, recursion: Recursion) -> str:
        circle = [member for member in recursion.circle if member >= 0]
        names = [self.name(member) for member in (*circle, circle[0])]
        text = f"{BOUND_ONLY}recursion {' > '.join(names)}, {recursion.turn} bytes a turn at most"
        seen = max(self.graph.facts.frames.get(member, 0) for member in recursion.members)
        return f"{text}; {seen} frames of one function seen" if seen > 1 else text


def _choice(pops: int | None) -> int:
    """Return the node that stands for a choice between all functions that pop so many bytes."""
    return -2 - (pops or 0)


def _popped(choice: int) -> int:
    return -2 - choice


def bounds_of(graph: CallGraph, addresses: Iterable[int], names: Mapping[int, str]) -> Bounds:
    """Return the bounds of the functions at `addresses`; `names` are those of all functions, by address."""
    bounds = Bounds(graph, lambda address: names.get(address) or f"{address:#010x}")
    bounds.compute(addresses)
    return bounds
