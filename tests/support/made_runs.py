"""Runs made by hand, for what judges and orders them."""

from __future__ import annotations

from stackemu.emu.calls import Arguments
from stackemu.emu.inputs import Input, Style
from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Mark, Observation, Outcome, Share
from stackemu.harness.contexts import Context

BASE = 0xA5DE0000


def context(rva: int = 0x1000, seed: int = 0, root: str | None = None) -> Context:
    """Return a run of the function at an RVA, in a role where `root` names one."""
    way = Root(BASE + rva, root, "dispatch") if root is not None else Arguments()
    return Context(rva, way, 0, Input(seed, Style.ZEROS, succeed=True))


def observation(
    *shares: tuple[int, int],
    blocks: tuple[int, ...] = (),
    outcome: Outcome = Outcome.RETURNED,
    why: str | None = None,
    popped: int | None = 0,
) -> Observation:
    """Return what a run showed: the frames at its low-water mark, outermost first, as (RVA, bytes)."""
    depth = sum(size for _, size in shares)
    marks, below = [], depth
    for rva, size in shares:
        marks.append(Mark(BASE + rva, size, below, is_over=True))
        below -= size
    return Observation(
        outcome=outcome,
        why=why,
        own=shares[0][1] if shares else 0,
        depth=depth,
        chain=tuple(Share(BASE + rva, size) for rva, size in shares),
        instructions=1,
        blocks=tuple(BASE + block for block in blocks),
        popped=popped if outcome is Outcome.RETURNED else None,
        clobbered=() if outcome is Outcome.RETURNED else None,
        guessed_calls=(),
        exact=True,
        marks=tuple(marks),
    )
