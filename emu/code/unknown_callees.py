"""How many bytes of arguments callees pop that nobody knows: a first guess, mended until the stack is balanced.

The code around a call says most: what was pushed for it, and whether its caller gives that back. Where this is not
all, such as for arguments that lie in the frame, the right amounts are those with which paths agree about ESP, the
function returns with ESP where it was, and registers come back from where they were saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stackemu.emu.code.heights import Heights
from stackemu.emu.code.instruction import CALLEE_SAVED, ESP, Imm, Instruction, Reg
from stackemu.emu.code.state import Value

MAX_POPS = 128
"""Bytes of arguments that a callee pops at most, where nobody knows it."""
MAX_TRIALS = 96
"""How many assignments of popped bytes are tried for a function with calls that nobody knows,"""
MAX_TRIED_INSTRUCTIONS = 20_000
"""and how many instructions may be interpreted for that; four assignments are tried of every function."""

Interpret = Callable[[Mapping[int, int], int | None], Heights]
"""Interprets a function with bytes popped by call site; gives up after so many doubts."""


def first_guess(behind: Instruction | None, pushed: int, returned: int) -> int:
    """Return what the callee of a call likely pops.

    `behind` is the next instruction; `pushed` bytes were pushed before the call, and the caller gives `returned`
    bytes back soon behind it.
    """
    return 0 if 0 < returned <= pushed else pushed or _reserved_again(behind)


def _reserved_again(behind: Instruction | None) -> int:
    """Return what `sub esp, n` behind a call takes back of a frame that holds arguments as well as locals."""
    if behind is None or behind.mnemonic != "sub" or behind.operands[0] != Reg(ESP, 4):
        return 0
    return sum(operand.value & 0xFFFF for operand in behind.operands if isinstance(operand, Imm))


def settle(interpret: Interpret, instructions: int) -> Heights:
    """Return the interpretation of a function of so many instructions that leaves its stack balanced, or nearly."""
    first = interpret({}, None)
    search = _Search(interpret, min(MAX_TRIALS, max(4, MAX_TRIED_INSTRUCTIONS // (instructions or 1))))
    best = search.site_by_site(search.by_arguments(first))
    return min(best, search.best_by_best(first), key=imbalance) if imbalance(best) else best


@dataclass(slots=True)
class _Search:
    """Looks for a better interpretation by changing what one callee at a time pops."""

    interpret: Interpret
    trials: int
    """How many more assignments may be tried."""

    def by_arguments(self, best: Heights) -> Heights:
        """Let callees pop what was pushed for them after all: what was given back may have been locals."""
        for site, pushed in best.pushed.items():
            if pushed != best.guesses[site]:
                best = min(best, self._changed(best, site, pushed, imbalance(best)), key=imbalance)
        return best

    def site_by_site(self, best: Heights) -> Heights:
        """Change each callee for the better before the next one is looked at: quick where there are many."""
        for site in best.guesses:
            for amount in candidates(best, site):
                best = min(best, self._changed(best, site, amount, imbalance(best)), key=imbalance)
        return best

    def best_by_best(self, start: Heights) -> Heights:
        """Change the callee that makes the most difference, then the next: one may only make up for another."""
        best = start
        while self.trials:
            ways = [(site, amount) for site in start.guesses for amount in candidates(start, site)]
            for site, amount in ways:
                best = min(best, self._changed(start, site, amount, imbalance(best)), key=imbalance)
            if best is start:
                break
            start = best
        return best

    def _changed(self, heights: Heights, site: int, amount: int, patience: int) -> Heights:
        """Return the interpretation with another amount at a site; the same one when nothing more is to be tried."""
        if not self.trials or not patience:
            return heights
        self.trials -= 1
        return self.interpret({**heights.guesses, site: amount}, patience)


def imbalance(heights: Heights) -> int:
    """Return how much speaks against an interpretation; 0 when the stack is balanced everywhere.

    A frame that is left by EBP hides an imbalance, but its saved registers are then popped from wrong places.
    """
    lost = sum(
        state.registers[number] != Value("entry", number)
        for state in heights.leaving.values()
        for number in CALLEE_SAVED
    )
    return len(heights.findings) + heights.suspicions + lost + sum(offset != 0 for offset in heights.exits.values())


def candidates(heights: Heights, site: int) -> list[int]:
    """Return what else the callee of a site may pop, the likeliest amounts first.

    Where the stack is off by some bytes at a return or where paths meet, as much more or less would mend it. A
    register that does not come back from its own slot only says that something is wrong.
    """
    guess = heights.guesses[site]
    errors = {-offset for offset in heights.exits.values() if offset}
    errors |= {sign * difference for difference in heights.disagreements for sign in (1, -1)}
    likely = sorted({guess + error for error in errors}, key=lambda amount: abs(amount - guess))
    amounts = [amount for amount in likely if 0 <= amount <= MAX_POPS and amount % 4 == 0]
    if heights.suspicions or not errors:
        amounts += [0, *range(4, max(guess, 24) + 4, 4)]
    return [amount for amount in dict.fromkeys(amounts) if amount != guess]
