"""What watching costs: the time of measured runs over that of the same runs with no hook at all.

    python tests/benchmarks/overhead.py [-v]

Prints `ratio N.NN workload` for each workload: processor time, modes alternating, the median of the ratios of
all rounds. `-v` adds their spread and the seconds of a bare run. Every workload's figures are compared with
those of single-step mode and with the depth that its listing implies; only a difference there fails.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from workloads import Workload, workloads

from stackemu.emu.engine import Mode
from stackemu.emu.inputs import Input, Style
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Observation, Outcome

BUDGET = 1 << 40
"""Instructions: more than any workload needs."""


class Bench:
    """One workload in one machine a mode."""

    def __init__(self, workload: Workload) -> None:
        """Set up the machines and run each once, so that translation is paid for."""
        self._workload = workload
        self._machines = {
            mode: Machine(workload.image, workload.functions, lambda _: 0, mode)
            for mode in (Mode.UNWATCHED, Mode.BLOCKS)
        }
        self.observation = self._run(self._machines[Mode.BLOCKS])
        self._run(self._machines[Mode.UNWATCHED])

    def _run(self, machine: Machine) -> Observation:
        return machine.call(self._workload.entry, Input(0, Style.ZEROS, True), budget=BUDGET)

    def seconds(self, mode: Mode) -> float:
        """Return the processor time of one run."""
        started = time.process_time()
        self._run(self._machines[mode])
        return time.process_time() - started

    def reference(self) -> Observation:
        """Return what single-step mode sees."""
        return self._run(Machine(self._workload.image, self._workload.functions, lambda _: 0, Mode.STEPS))


def difference(workload: Workload, measured: Observation, reference: Observation) -> str | None:
    """Return what is wrong with a measured observation, None when nothing is."""
    if measured.outcome is not Outcome.RETURNED or not measured.exact:
        return f"{measured.outcome.value}: {measured.why or 'inexact'}"
    if measured.depth != workload.depth:
        return f"expected depth {workload.depth}, got {measured.depth}"
    for name in ("depth", "own", "chain", "instructions", "blocks"):
        if getattr(measured, name) != getattr(reference, name):
            return f"{name}: single-step {getattr(reference, name)}, blocks {getattr(measured, name)}"
    return None


def main() -> int:
    """Run every workload; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-v", "--verbose", action="store_true", help="add spreads and seconds")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="pairs of runs a workload (default 7)")
    parser.add_argument("--only", metavar="NAME", help="one workload")
    options = parser.parse_args()
    failed = False
    for workload in workloads():
        if options.only not in (None, workload.name):
            continue
        bench = Bench(workload)
        pairs = [(bench.seconds(Mode.UNWATCHED), bench.seconds(Mode.BLOCKS)) for _ in range(options.rounds)]
        ratios = sorted(watched / bare for bare, watched in pairs)
        wrong = difference(workload, bench.observation, bench.reference())
        failed = failed or wrong is not None
        print(f"ratio {statistics.median(ratios):.2f} {workload.name}")
        if options.verbose:
            bare = statistics.median(bare for bare, _ in pairs)
            count = bench.observation.instructions
            print(f"      {ratios[0]:.2f} to {ratios[-1]:.2f}; bare {bare:.2f} s for {count} instructions")
        print(f"      {wrong or f'depth {bench.observation.depth}, as in single-step mode'}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
