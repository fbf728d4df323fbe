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
from stackemu.harness.static.callgraph import CallGraph, Edge, How, Site

MAX_REASONS = 6
"""Reasons that are kept for one function; there are always more of the same kind."""
_NO_RESIDUES = (0,)
_RESIDUES = tuple(range(0, MAX_ALIGNMENT, 4))


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

    def compute(self, addresses: Iterable[int]) -> None:
        """Work out the bounds of the functions at `addresses` and of all that they call."""
        edges = self._reachable(addresses)
        graph: networkx.DiGraph[int] = networkx.DiGraph()
        graph.add_nodes_from(edges)
        graph.add_edges_from((caller, callee) for caller, callees in edges.items() for callee in callees)
        realigning = [node for node in edges if self._heights(node).realigns]
        sensitive = set(realigning)
        backwards = graph.reverse(copy=False)
        for node in realigning:
            sensitive |= networkx.descendants(backwards, node)
        self._sensitive = frozenset(sensitive)
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
            callees = {edge.callee for site in self.graph.sites(address) for edge in site.edges}
            found[address] = tuple(sorted(callees))
            pending += callees
        return found

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
            yield self.name(address), step.bytes
            if step.callee is None:
                yield step.label, bound.bytes - step.bytes
                return
            place = (step.callee, step.residue)

    # -- one function --

    def _heights(self, address: int, residue: int = 0) -> Heights:
        model = self.graph.model
        heights = model.heights(address)
        return model.heights(address, residue) if residue and heights.realigns else heights

    def _residues(self, address: int) -> tuple[int, ...]:
        return _RESIDUES if address in self._sensitive else _NO_RESIDUES

    def _key(self, address: int, residue: int) -> tuple[int, int]:
        return address, residue if address in self._sensitive else 0

    def _straight(self, address: int) -> None:
        for residue in self._residues(address):
            self._bounds[address, residue] = self._bound(address, residue, frozenset())

    def _bound(self, address: int, residue: int, left_out: frozenset[int]) -> Bound:
        """Return the bound at one residue; calls of the functions `left_out` do not count."""
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

    def _through(
        self, site: Site, heights: Heights, residue: int, left_out: frozenset[int]
    ) -> Iterator[tuple[Step, Bound | None]]:
        """Yield what each callee of a site makes of the depth: the step to it, and its own bound."""
        if site.is_helper:
            yield Step(0, None), Bound(-heights.helper_lowest[site.address])
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
            key = self._key(edge.callee, (residue - below) % MAX_ALIGNMENT)
            yield Step(below, *key), self._bounds[key]

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
                # So many turns at most lie above the deepest way out of the circle.
                total = max(bound.bytes, frames * turn + deepest.bytes)
                label = f"{frames} frames of {self.name(next(iter(members & set(self.graph.annotations.recursion))))}"
                self._bounds[key] = Bound(
                    total, Step(total - deepest.bytes, None, label=label), reasons[:MAX_REASONS]
                )
            else:
                self._bounds[key] = Bound(bound.bytes, bound.step, (reason, *reasons)[:MAX_REASONS])

    def _heaviest(self, member: int, members: frozenset[int]) -> int:
        """Return the most bytes between a member's entry and that of another member that it calls."""
        return max(
            (
                step.bytes
                for residue in self._residues(member)
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

    def _annotated_frames(self, members: frozenset[int], inside: networkx.DiGraph[int]) -> int | None:
        """Return how many frames of an annotated member stand at most, if every circle goes through it."""
        for member, frames in self.graph.annotations.recursion.items():
            if member in members:
                rest = inside.subgraph(members - {member})
                if networkx.is_directed_acyclic_graph(rest):
                    return frames
        return None

    def _describe(self, recursion: Recursion) -> str:
        names = [self.name(member) for member in (*recursion.circle, recursion.circle[0])]
        return f"{BOUND_ONLY}recursion {' > '.join(names)}, {recursion.turn} bytes a turn at most"


def describe_edges(site: Site, name: Callable[[int], str]) -> str:
    """Return in words what an indirect call may lead to, and how that is known."""
    by_how: dict[How, list[Edge]] = {}
    for edge in site.edges:
        by_how.setdefault(edge.how, []).append(edge)
    return "; ".join(
        f"{how.value}: {', '.join(name(edge.callee) for edge in edges)}" for how, edges in by_how.items()
    )


def bounds_of(graph: CallGraph, addresses: Iterable[int], names: Mapping[int, str]) -> Bounds:
    """Return the bounds of the functions at `addresses`; `names` are those of all functions, by address."""
    bounds = Bounds(graph, lambda address: names.get(address) or f"{address:#010x}")
    bounds.compute(addresses)
    return bounds
