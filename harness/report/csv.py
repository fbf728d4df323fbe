"""One row a function, as CSV with a header; an unknown figure is an empty cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from stackemu.harness.report import forced
from stackemu.harness.results import FunctionResult

HEADER = (
    "name",
    "module",
    "rva",
    "address",
    "size",
    "prototype",
    "root",
    "locals",
    "saved",
    "frame",
    "static_own",
    "bound",
    "open",
    "static_source",
    "findings",
    "outcome",
    "measured_own",
    "depth",
    "chain",
    "instructions",
    "runs",
    "blocks_seen",
    "blocks",
    "verdict",
    "bracket",
    "why",
    "witness",
    "forced_own",
    "forced_depth",
    "forced_branches",
    "forced_outcome",
)


def render(rows: Sequence[FunctionResult]) -> str:
    """Return `rows` as CSV: addresses and RVAs as 0x..., the chain as `A>B>C`, several reasons by `; `."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, HEADER, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(_identity(row) | _static(row) | _measured(row) | _forced(row))
    return stream.getvalue()


def _identity(function: FunctionResult) -> dict[str, str | int | None]:
    return {
        "name": function.name,
        "module": function.module,
        "rva": f"{function.rva:#x}",
        "address": f"{function.address:#x}",
        "size": function.size,
        "prototype": function.prototype,
        "root": function.root,
        "verdict": function.verdict,
        "bracket": function.bracket,
        "why": function.why,
        "witness": function.witness,
    }


def _static(function: FunctionResult) -> dict[str, str | int | None]:
    static = function.static
    return {
        "locals": static.locals,
        "saved": static.saved,
        "frame": static.frame,
        "static_own": static.own,
        "bound": static.bound,
        "open": "; ".join(static.open),
        "static_source": static.source,
        "findings": "; ".join(function.findings),
    }


def _forced(function: FunctionResult) -> dict[str, str | int | None]:
    estimate = function.forced
    if estimate is None:
        return {}
    return {
        "forced_own": estimate.own,
        "forced_depth": estimate.depth,
        "forced_branches": forced.branches(estimate),
        "forced_outcome": estimate.outcome,
    }


def _measured(function: FunctionResult) -> dict[str, str | int | None]:
    measured = function.measured
    if measured is None:
        return {}
    return {
        "outcome": measured.outcome,
        "measured_own": measured.own,
        "depth": measured.depth,
        "chain": ">".join(frame.function for frame in measured.chain),
        "instructions": measured.instructions,
        "runs": measured.runs,
        "blocks_seen": measured.blocks_seen,
        "blocks": measured.blocks,
    }
