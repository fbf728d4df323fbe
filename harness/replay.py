"""A witness replayed: the same run once more in the emulator, and on the host's own processor."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stackemu.emu.errors import InputError
from stackemu.emu.observation import Observation
from stackemu.emu.tape import Tape
from stackemu.harness.measure import Measurer
from stackemu.harness.runs import RunSettings
from stackemu.harness.session import Driver, open_driver
from stackemu.harness.trace import Call, calls_of, history
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
        """Whether the figures and the ending are the witness's."""
        observation, witness = self.observation, self.witness
        return (observation.own, observation.depth, observation.outcome.value) == (
            witness.own,
            witness.depth,
            witness.outcome,
        )


class Replayer:
    """Repeats witnesses of one driver that were recorded with the same settings."""

    def __init__(self, driver: Driver, seed: int, budget: int, initialise: bool) -> None:
        """Bring the driver up as it was when the witnesses were recorded."""
        self._driver = driver
        self._measurer = Measurer(driver, RunSettings(seed=seed, budget=budget, initialise=initialise))

    def replay(self, witness: Witness) -> Replay:
        """Repeat a witness's run in the emulator.

        Raises:
            InputError: the run's role was registered in a way that no driver registers it.
            BrokenSequenceError: the kernel would not come to the run's own call.
        """
        observation = self._measurer.repeat(witness.rva, context_of(witness, self._driver.image.base))
        return Replay(witness, observation, self._measurer.chain(observation))

    def tape(self, witness: Witness) -> Tape:
        """Repeat a witness's run and write it down."""
        return self._measurer.tape(context_of(witness, self._driver.image.base))

    def calls(self, witness: Witness) -> list[Call]:
        """Return the calls of a witness's run."""
        base = self._driver.image.base
        names = {base + function.rva: function.name for function in self._driver.functions}
        return calls_of(self.tape(witness), names.get, self._measurer.kernel_name)

    def history(self, witness: Witness) -> str:
        """Return ESP before each instruction of a witness's run, as CSV."""
        base, functions = self._driver.image.base, self._driver.functions
        starts = [base + function.rva for function in functions]

        def function_of(address: int) -> str | None:
            index = bisect_right(starts, address) - 1
            return functions[index].name if index >= 0 and address < base + functions[index].end else None

        return history(self.tape(witness), function_of)

    def natively(self, witness: Witness) -> Comparison:
        """Repeat a witness's run on the host's processor, held against the emulator's.

        Raises:
            NativeError: the host cannot do that.
        """
        # Only Linux has what the native process is made of.
        from stackemu.harness.native.comparison import compare

        return compare(self.tape(witness))


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
