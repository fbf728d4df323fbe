"""A replayed witness as text or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from stackemu.harness.printable import printable
from stackemu.harness.replay import Replay
from stackemu.harness.trace import Call, told

if TYPE_CHECKING:
    from stackemu.harness.native.comparison import Comparison


def to_text(replay: Replay, compared: Comparison | None) -> str:
    """Return the figures, the frames at the low-water mark with their bytes, and what the processor says."""
    observation, witness = replay.observation, replay.witness
    lines = [
        f"{printable(witness.function)}: depth {observation.depth}, own {observation.own}, "
        f"{observation.outcome.value}",
        *(f"  after {printable(step.root.role)}" for step in witness.before),
        *(f"  {share:>6}  {printable(name)}" for name, share in replay.chain),
    ]
    if not replay.is_same:
        lines.append(f"  the witness says depth {witness.depth}, own {witness.own}, {witness.outcome}")
    if compared is not None:
        lines.append(f"  native: {_verdict(compared)}")
    return "\n".join(lines) + "\n"


def trace_to_text(calls: Sequence[Call]) -> str:
    """Return a run's calls, a line each."""
    return "".join(f"{printable(line)}\n" for line in told(calls))


def _verdict(compared: Comparison) -> str:
    count = f"{compared.instructions} instructions"
    if compared.why is None:
        return f"this processor agrees on ESP after each of {count}; low-water mark of the whole run {compared.depth}"
    return f"{compared.result.value} after {count}: {compared.why}"


def to_json(replay: Replay, compared: Comparison | None) -> bytes:
    """Return the same as JSON."""
    document: dict[str, object] = {
        "function": replay.witness.function,
        "before": [step.root.role for step in replay.witness.before],
        "outcome": replay.observation.outcome.value,
        "own": replay.observation.own,
        "depth": replay.observation.depth,
        "chain": [{"function": name, "bytes": share} for name, share in replay.chain],
        "same": replay.is_same,
        "native": None,
    }
    if compared is not None:
        document["native"] = {
            "result": compared.result.value,
            "why": compared.why,
            "instructions": compared.instructions,
            "depth": compared.depth,
        }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
