"""What `stackemu explain` says of a function: how runs ended, what was not reached, and what that waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stackemu.emu.code.instruction import Instruction
from stackemu.harness.printable import printable
from stackemu.harness.report import forced
from stackemu.harness.report.figures import depth, own
from stackemu.harness.results import FunctionResult
from stackemu.harness.runs import FunctionRuns

MAX_BRANCHES = 40
"""Branches that an explanation lists."""
MAX_WAYS = 3
"""Ways to turn one branch that are named."""


def explanation(
    result: FunctionResult, runs: FunctionRuns, instruction_at: Callable[[int], Instruction | None]
) -> str:
    """Return the explanation of one function, as lines of text."""
    return "".join(f"{printable(line)}\n" for line in _lines(result, runs, instruction_at))


def _lines(
    result: FunctionResult, runs: FunctionRuns, instruction_at: Callable[[int], Instruction | None]
) -> Iterator[str]:
    yield f"{result.name} at {result.address:#010x}: depth {depth(result)}, own {own(result)}, {result.verdict}"
    for role in result.roles:
        yield f"  role {role.role}: depth {role.depth}, {role.outcome}"
    if result.why:
        yield f"  why: {result.why}"
    measured = result.measured
    if measured is not None:
        yield f"  blocks: {measured.blocks_seen} of {measured.blocks} seen in {measured.runs} runs"
    for text, count in runs.endings:
        yield f"  ended {count} times: {text}"
    for name, address in runs.unmodelled:
        yield f"  answered by the input alone: {name}, called before {address:#010x}"
    for branch in runs.open_branches[:MAX_BRANCHES]:
        instruction = instruction_at(branch.address)
        mnemonic = instruction.mnemonic if instruction is not None else "transfer"
        ways = " or ".join(branch.waits_for[:MAX_WAYS]) or "nothing that the input decides directly"
        yield f"  not reached: {branch.target:#010x}, by `{mnemonic}` at {branch.address:#010x}; waits for {ways}"
    left = len(runs.open_branches) - MAX_BRANCHES
    if left > 0:
        yield f"  and {left} more"
    if result.forced is not None:
        yield f"  forced: {forced.sentence(result.forced)}"
