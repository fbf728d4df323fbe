"""How many random functions are measured right: generated with the truth about them, and held against it.

    python tests/benchmarks/generated_functions.py --count 10000 --seed 1 [--native]

Prints how many functions agreed on everything, how many did not for a known reason, and every other disagreement
with the function's assembly text. `--native` asks the host's own processor as well, about the deepest run of each
function. Only a disagreement without a known reason fails.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "reference"))

from generated_checks import Disagreement, Opinion, Report, check, native_opinion
from generated_bodies import generate

PROGRAM = 100
"""Functions of one program: one driver file."""


def checked(count: int, seed: int, opinion: Opinion | None) -> Report:
    """Return what came of `count` functions; the seeds of their programs count up from `seed`."""
    whole = Report()
    for number in range(0, count, PROGRAM):
        whole.add(check(generate(seed + number // PROGRAM, min(PROGRAM, count - number)), opinion))
        print(f"\r{whole.functions} of {count}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return whole


def describe(disagreements: list[Disagreement]) -> str:
    """Return the disagreements about one function with its text."""
    lines = [f"  {one.figure}: expected {one.expected}, stackemu says {one.stackemu}" for one in disagreements]
    return "\n".join([disagreements[0].function.symbol, *lines, disagreements[0].function.text, ""])


def main() -> int:
    """Generate, compare and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="functions (default 1000)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first program (default 1)")
    parser.add_argument("--native", action="store_true", help="ask the host's own processor as well")
    options = parser.parse_args()
    started = time.monotonic()
    report = checked(options.count, options.seed, native_opinion if options.native else None)
    for _, group in itertools.groupby(report.unexplained, key=lambda one: id(one.function)):
        print(describe(list(group)))
    known = Counter(mistake for one in report.disagreements if (mistake := one.explanation))
    for mistake, times in known.most_common():
        print(f"known: {times} times, {mistake}")
    print(f"functions: {report.functions}, {report.agreed} agreed on everything, {len(report.unexplained)} unexplained")
    print(f"runs:      {report.runs} in each of two modes, {report.opinions} on the processor")
    print(f"seconds:   {time.monotonic() - started:.0f}")
    return 1 if report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
