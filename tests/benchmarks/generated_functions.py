"""How many random functions are measured right: generated with the truth about them, and held against it.

    python tests/benchmarks/generated_functions.py --count 10000 --seed 1

Every figure of every function is compared, statically and on every path in single-step and in block mode. Where the
host can run the functions itself, its processor is asked about the deepest run of each. Prints each disagreement
with the function's assembly text, then what was compared; a disagreement fails.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "reference"))

from generated_bodies import generate
from generated_checks import Disagreement, Opinion, Report, check, native_opinion

from stackemu.harness.native.availability import why_not

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
    lines = [f"  {one.figure}: expected {one.expected}, stackemu says {one.seen}" for one in disagreements]
    return "\n".join([disagreements[0].function.symbol, *lines, disagreements[0].function.text, ""])


def main() -> int:
    """Generate, compare and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="functions (default 1000)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first program (default 1)")
    options = parser.parse_args()
    started = time.monotonic()
    missing = why_not()
    report = checked(options.count, options.seed, native_opinion if missing is None else None)
    for _, group in itertools.groupby(report.disagreements, key=lambda one: id(one.function)):
        print(describe(list(group)))
    if missing is not None:
        print(f"not asked: this host's processor ({missing})")
    print(f"seconds: {time.monotonic() - started:.0f}")
    print(
        f"{report.functions} functions, {report.runs} runs in each of two modes, "
        f"{report.opinions} native runs compared, {len(report.disagreements)} disagreements"
    )
    return 1 if report.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
