"""Who calls whom: every call site and tail jump of an image with all the functions that it may lead to."""

from __future__ import annotations

import enum
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from stackemu.emu.code.instruction import Flow, Imm, Instruction, Mem
from stackemu.emu.code.model import MAX_CHAINED, CodeModel
from stackemu.emu.kernel.calls_back import CALLS_BACK
from stackemu.emu.kernel.roots import Root
from stackemu.emu.symbols.function import Function, Kind
from stackemu.harness.static.annotations import Annotations
from stackemu.harness.static.completion_routines import stored_elsewhere


class How(enum.Enum):
    """How it is known what a call site leads to."""

    CALL = "call"
    TAIL = "tail call"
    IMPORT = "import"
    CONSTANT = "constant"
    TABLE = "table"
    PROTOTYPE = "prototype"
    """Its address is taken, and it pops as many bytes as the call site needs."""
    SEEN = "seen in runs"
    ANNOTATION = "annotation"
    CALLBACK = "callback"
    """A kernel function calls back, by a pointer it was given or one that it may have been given before."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A function that a call site may lead to."""

    callee: int
    how: How
    below: int = 0
    """How many bytes below ESP at the call's own entry the callee's entry lies: for callbacks of kernel functions."""
    through: str = ""
    """The kernel function in between, for callbacks."""


@dataclass(frozen=True, slots=True)
class Site:
    """A call or a jump that leaves the function, at the absolute address `address`."""

    address: int
    is_tail: bool
    edges: tuple[Edge, ...] = ()
    pops: int | None = None
    """The call may besides lead to every function whose address is taken and that pops so many bytes."""
    kernel_function: str | None = None
    """The name of the import that is called."""
    is_helper: bool = False
    """Whether it calls a helper that builds or removes the frame, whose own stack the data flow knows; `edges` are
    what the helper calls."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What runs showed of an image's calls; addresses are absolute."""

    calls: frozenset[tuple[int, int]] = frozenset()
    """(address behind the call, entry called)."""
    callbacks: frozenset[tuple[int, int, int]] = frozenset()
    """(address behind the call of a kernel function, the function that it called back, words of arguments)."""
    roots: frozenset[Root] = frozenset()
    """Functions that the driver registered."""
    frames: Mapping[int, int] = field(default_factory=dict)
    """How many frames of a function stood at most on a deepest chain."""


@dataclass(slots=True)
class CallGraph:
    """The call sites of every function, found on demand. Addresses are absolute."""

    model: CodeModel
    functions: Iterable[Function]
    facts: RunFacts = field(default_factory=RunFacts)
    annotations: Annotations = field(default_factory=Annotations)
    _sites: dict[int, tuple[Site, ...]] = field(default_factory=dict)
    _taken: Mapping[int, tuple[int, ...]] | None = None
    _taken_together: frozenset[int] | None = None
    _stored_elsewhere: frozenset[int] | None = None
    _seen: dict[int, set[int]] = field(default_factory=dict)
    _called_back: dict[int, dict[int, int]] = field(default_factory=dict)
    _kinds: dict[int, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Sort what runs showed by call site and by function."""
        for return_address, callee in self.facts.calls:
            self._seen.setdefault(return_address, set()).add(callee)
        for return_address, callee, words in self.facts.callbacks:
            known = self._called_back.setdefault(return_address, {})
            known[callee] = max(known.get(callee, 0), words)
        for root in self.facts.roots:
            self._kinds.setdefault(root.address, set()).add(root.kind)

    def sites(self, address: int) -> tuple[Site, ...]:
        """Return the call sites and tail jumps of the function at `address`, in the order of their addresses."""
        known = self._sites.get(address)
        if known is None:
            self._sites[address] = ()  # while they are being found, for helpers that call each other
            known = self._sites[address] = tuple(self._find(address))
        return known

    def _find(self, function: int) -> Iterator[Site]:
        code, heights = self.model.code(function), self.model.heights(function)
        for call in sorted(code.calls):
            if call.address in heights.helper_lowest:
                yield Site(
                    call.address, is_tail=False, edges=tuple(self._through_helper(function, call)), is_helper=True
                )
            elif call.address in heights.esp_before and call.target != call.end:
                yield self._site(function, call, is_tail=False)
        for jump in sorted(code.tail_jumps):
            if jump.address in heights.esp_before:
                yield self._site(function, jump, is_tail=True)

    def _site(self, function: int, instruction: Instruction, *, is_tail: bool) -> Site:
        at, target = instruction.address, instruction.target
        if target is not None:
            how = How.TAIL if is_tail else How.CALL
            is_inside = self.model.image.is_code(target - self.model.image.base)
            return Site(at, is_tail, (Edge(target, how),) if is_inside else ())
        name = self._kernel_function(function, instruction)
        if name is not None:
            return Site(at, is_tail, tuple(self._callbacks(function, instruction, name)), kernel_function=name)
        annotated = self.annotations.indirect.get(at - self.model.image.base)
        if annotated is not None:
            return Site(at, is_tail, tuple(Edge(callee, How.ANNOTATION) for callee in annotated))
        edges = {edge.callee: edge for edge in self._resolved(function, instruction)}
        pops = self._popped(function, instruction) if not edges else None
        for callee in sorted(self._seen.get(instruction.end, ())):
            edges[callee] = Edge(callee, How.SEEN)
        return Site(at, is_tail, tuple(edges.values()), pops)

    def _through_helper(self, function: int, call: Instruction) -> Iterator[Edge]:
        """Yield what a helper, and the one that it ends in a jump to, calls itself, from where it goes deepest."""
        heights = self.model.heights(function)
        callee = heights.callees.get(call.address)
        helper = call.target if callee is None else callee.n
        below = (heights.esp_before[call.address] or 0) - 4 - heights.helper_lowest[call.address]
        for _ in range(MAX_CHAINED):
            if helper is None:
                return
            for site in self.sites(helper):
                if not site.is_tail:
                    yield from (replace(edge, below=below) for edge in site.edges)
            helper = next((jump.target for jump in self.model.code(helper).tail_jumps), None)

    def _kernel_function(self, function: int, instruction: Instruction) -> str | None:
        name = self.model.import_name(instruction)
        if name is None:
            callee = self.model.heights(function).callees.get(instruction.address)
            name = self.model.imported(callee) if callee is not None else None
        return name

    def _resolved(self, function: int, instruction: Instruction) -> Iterator[Edge]:
        """Yield callees that the data flow or a table of pointers in the image names."""
        model = self.model
        callee = model.heights(function).callees.get(instruction.address)
        if callee is not None and callee.kind == "const" and model.image.is_code(callee.n - model.image.base):
            yield Edge(callee.n, How.CONSTANT)
        operand = instruction.operands[0]
        if isinstance(operand, Mem) and operand.base is None and operand.index is not None and operand.scale == 4:
            for pointer in dict.fromkeys(model.code_pointers(operand.disp & 0xFFFFFFFF)):
                yield Edge(pointer, How.TABLE)

    def _popped(self, function: int, instruction: Instruction) -> int | None:
        """Return how many bytes the unknown callee of a call or a tail jump is to pop."""
        if instruction.flow is Flow.CALL:
            return self.model.heights(function).guesses.get(instruction.address)
        return self.model.pops(function)  # a tail call's callee pops what its caller was to pop

    def all_edges(self, site: Site) -> Iterator[Edge]:
        """Yield all that a site may lead to, those included that only their prototype speaks for."""
        known = {edge.callee for edge in site.edges}
        yield from site.edges
        for callee in self.taken.get(site.pops, ()) if site.pops is not None else ():
            if callee not in known:
                yield Edge(callee, How.PROTOTYPE)

    def _callbacks(self, function: int, instruction: Instruction, name: str) -> Iterator[Edge]:
        """Yield the functions of the driver that a kernel function may call before it returns.

        A function that the driver was seen to register as something else is none of them.
        """
        at = instruction.address
        passed = self.model.heights(function).passed.get(at, ())
        below: dict[int, tuple[int, How]] = {}
        for callback in CALLS_BACK.get(name, ()):
            known = [pointer for pointer in passed if pointer in self._all_taken]
            for candidate in known if callback.is_argument and known else self.taken.get(callback.pops, ()):
                kinds = self._kinds.get(candidate)
                if not kinds and "completion" in callback.kinds and candidate in self._no_completion_routines:
                    continue
                if not kinds or kinds & callback.kinds:
                    below[candidate] = (max(below.get(candidate, (0, How.CALLBACK))[0], callback.below), How.CALLBACK)
        for candidate, words in self._called_back.get(instruction.end, {}).items():
            if self.model.image.is_code(candidate - self.model.image.base):
                below[candidate] = (4 * words + 4, How.SEEN)
        for candidate, (bytes_below, how) in sorted(below.items()):
            yield Edge(candidate, how, bytes_below, name)

    # -- functions whose address is taken --

    @property
    def taken(self) -> Mapping[int, tuple[int, ...]]:
        """The functions whose addresses stand in data or in instructions, by the bytes of arguments they pop."""
        if self._taken is None:
            found: dict[int, list[int]] = defaultdict(list)
            for address in sorted(self._addresses_taken()):
                pops = self.model.pops(address)
                found[pops or 0].append(address)
            self._taken = {pops: tuple(addresses) for pops, addresses in found.items()}
        return self._taken

    @property
    def _no_completion_routines(self) -> frozenset[int]:
        """The functions whose addresses never get into an IO_STACK_LOCATION."""
        if self._stored_elsewhere is None:
            starts = sorted(self._function_starts())
            self._stored_elsewhere = stored_elsewhere(self.model, starts, self._all_taken)
        return self._stored_elsewhere

    @property
    def _all_taken(self) -> frozenset[int]:
        if self._taken_together is None:
            self._taken_together = frozenset(itertools.chain.from_iterable(self.taken.values()))
        return self._taken_together

    def _function_starts(self) -> set[int]:
        return {self.model.image.base + one.rva for one in self.functions if one.kind is Kind.FUNCTION}

    def _addresses_taken(self) -> set[int]:
        image = self.model.image
        starts = self._function_starts()
        pointers = {image.read_u32(rva) for rva in image.relocations if not image.is_code(rva)}
        for start in starts:
            code = self.model.code(start)
            pointers.update(
                operand.value & 0xFFFFFFFF
                for instruction in code.instructions.values()
                if instruction.flow is Flow.NEXT
                for operand in instruction.operands
                if isinstance(operand, Imm)
            )
        return {pointer for pointer in pointers if pointer in starts}
