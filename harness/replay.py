"""A witness replayed: the same run once more in the emulator, and on the host's own processor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stackemu.emu.errors import InputError
from stackemu.emu.observation import Observation
from stackemu.harness.measure import Measurer, RunSettings
from stackemu.harness.session import Driver, open_driver
from stackemu.harness.witness import Witness, context_of

if TYPE_CHECKING:
    from stackemu.harness.native.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Replay:
    """What a witness's run shows, with the chain by name: (function, bytes)."""

    witness: Witness
    observation: Observation
    chain: tuple[tuple[str, int], ...]

    @property
    def is_same(self) -> bool:
        """Whether the figures are the witness's."""
        return (self.observation.own, self.observation.depth) == (self.witness.own, self.witness.depth)


class Replayer:
    """Repeats witnesses of one driver that were recorded with the same settings."""

    def __init__(self, driver: Driver, seed: int, budget: int, initialise: bool) -> None:
        """Bring the driver up as it was when the witnesses were recorded."""
        self._driver = driver
        self._measurer = Measurer(driver, RunSettings(seed=seed, budget=budget, initialise=initialise))

    def replay(self, witness: Witness) -> Replay:
        """Repeat a witness's run in the emulator."""
        observation = self._measurer.repeat(witness.rva, context_of(witness, self._driver.image.base))
        return Replay(witness, observation, self._measurer.chain(observation))

    def natively(self, witness: Witness) -> Comparison:
        """Repeat a witness's run on the host's processor, held against the emulator's.

        Raises:
            NativeError: the host cannot do that.
        """
        # Only Linux has what the native process is made of.
        from stackemu.harness.native.comparison import compare

        return compare(self._measurer.tape(context_of(witness, self._driver.image.base)))


def open_witnessed(witness: Witness, driver: Path | None, symbols: Path | None) -> Driver:
    """Open the driver that a witness belongs to, at its own path or another one.

    Raises:
        InputError: the driver cannot be read, or is another one.
    """
    path = driver or Path(witness.driver.path)
    opened = open_driver(path, symbols)
    if opened.image.sha256 != witness.driver.sha256:
        raise InputError(
            str(path),
            f"the witness belongs to another image: sha256 {witness.driver.sha256[:16]}..., "
            f"not {opened.image.sha256[:16]}...",
            "name the right one with --driver, or measure this one anew",
        )
    return opened
