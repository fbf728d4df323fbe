"""How long to look for inputs that reach more code: what each effort spends on a function."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spending:
    """What a function's measurement may cost."""

    explored: int
    """Inputs worked out from branches."""
    havoc: int
    """Executions with inputs changed at random."""
    forced: bool
    """Whether branches that no run turned are forced, to estimate what lies behind them."""


class Effort(enum.StrEnum):
    """How long a run looks for inputs that reach code not seen yet."""

    QUICK = "quick"
    NORMAL = "normal"
    THOROUGH = "thorough"

    @property
    def spending(self) -> Spending:
        """Return what this effort spends on each function."""
        match self:
            case Effort.QUICK:
                return Spending(explored=0, havoc=0, forced=False)
            case Effort.NORMAL:
                return Spending(explored=200, havoc=8_192, forced=False)
            case Effort.THOROUGH:
                return Spending(explored=2000, havoc=131_072, forced=True)
