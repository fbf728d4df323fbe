"""The result as typed records: schema `stackemu.measurement/1`, its loading and its saving.

Sizes are bytes, addresses are absolute, RVAs relative to the image's base. A figure that is not known is
None (JSON `null`), never 0 or -1.
"""

from __future__ import annotations

import msgspec

SCHEMA = "stackemu.measurement/1"
BOUND_ONLY = "bound: "
"""How reasons in `static.open` begin that say nothing of own."""


class SymbolsInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which source named the functions ('pdb', 'public pdb', 'coff', 'map', 'exports', 'discovery')."""

    source: str
    path: str | None


class DriverInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The measured image: `base` is the address it was mapped at."""

    path: str
    name: str
    sha256: str
    machine: str
    base: int
    symbols: SymbolsInfo


class ChainFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame on the stack, at the low-water mark or on the worst path, with its share of the depth."""

    function: str
    bytes: int


class StaticFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the code says. `own` and `bound` are None when they are no constant; `open` says why."""

    locals: int | None
    saved: int | None
    frame: int | None
    own: int | None
    bound: int | None
    open: tuple[str, ...] = ()
    source: str = "data flow"
    findings: tuple[str, ...] = ()
    """Disagreements worth a look: between paths at a join, or with FPO and S_FRAMEPROC records."""
    path: tuple[ChainFrame, ...] = ()
    """The frames of the worst path that the bound was found on; their shares add up to it."""

    @property
    def own_open(self) -> tuple[str, ...]:
        """Return the reasons of `open` that speak of own, those of the bound alone left out."""
        return tuple(reason for reason in self.open if not reason.startswith(BOUND_ONLY))


class MeasuredFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What runs showed: the deepest of `runs` runs; `outcome` is that run's."""

    outcome: str
    own: int | None
    depth: int | None
    chain: tuple[ChainFrame, ...]
    instructions: int
    runs: int
    blocks_seen: int
    blocks: int
    findings: tuple[str, ...] = ()
    """Breaches of the calling convention that runs showed: registers not kept, arguments not popped."""


class RoleFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A role that the kernel calls a function in: the depth of its deepest run, and how that run ended."""

    role: str
    depth: int
    outcome: str


class ForcedBranchFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A branch at the absolute address `address`, made to be taken always, or never, and to go to `target`."""

    address: int
    taken: bool
    target: int


class ForcedFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a run showed in which branches were forced that no run turned: an estimate, no measurement.

    The driver may never get there; what holds there in the driver need not have held in that run.
    """

    own: int
    depth: int
    branches: tuple[ForcedBranchFigures, ...]
    outcome: str
    chain: tuple[ChainFrame, ...] = ()


class Initialisation(msgspec.Struct, frozen=True, kw_only=True):
    """How DriverEntry ended before anything was measured; `status` is the NTSTATUS that it returned."""

    outcome: str
    status: int | None
    why: str | None
    roots: int
    """How many roles the driver had registered by then."""


class FunctionResult(msgspec.Struct, frozen=True, kw_only=True):
    """One function: static and measured figures, reconciled into a verdict with its reason."""

    name: str
    module: str
    rva: int
    address: int
    size: int | None
    prototype: str | None
    root: str | None
    static: StaticFigures
    measured: MeasuredFigures | None
    verdict: str
    why: str | None
    witness: str | None
    bracket: str | None = None
    """'closed' when the measured depth is the bound: the worst case is known; 'open'; 'contradicted' when it is more;
    None where nothing was measured."""
    roles: tuple[RoleFigures, ...] = ()
    """Every role that the kernel calls the function in; `root` is the deepest of them."""
    forced: ForcedFigures | None = None
    """What may lie behind branches that no run turned, where that is deeper; in no other figure and no verdict."""

    @property
    def findings(self) -> tuple[str, ...]:
        """Return the findings of both sides, the static ones first."""
        return self.static.findings + (self.measured.findings if self.measured else ())


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over all functions of the result, whatever the report shows of them."""

    functions: int
    measured: int
    outcomes: dict[str, int]
    verdicts: dict[str, int]
    deepest: str | None
    deepest_bytes: int | None
    brackets: dict[str, int] = {}
    """Functions by the state of their bracket."""
    warnings: tuple[str, ...] = ()


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document."""

    schema: str = SCHEMA
    driver: DriverInfo
    settings: dict[str, int | str | bool | None]
    functions: tuple[FunctionResult, ...]
    summary: Summary
    initialisation: Initialisation | None = None


def to_json(measurement: Measurement) -> bytes:
    """Return the document as JSON, indented, with keys in the schema's order and a final newline."""
    return msgspec.json.format(msgspec.json.encode(measurement), indent=2) + b"\n"


def from_json(data: bytes) -> Measurement:
    """Return the document that `to_json` wrote.

    Raises:
        msgspec.ValidationError: the JSON is not a document of this schema.
        msgspec.DecodeError: the bytes are not JSON.
    """
    return msgspec.json.decode(data, type=Measurement)
