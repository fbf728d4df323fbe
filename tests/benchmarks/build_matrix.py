"""Static figures over the whole matrix of builds of the sample drivers, against every other source of them.

    python tests/benchmarks/build_matrix.py [--jobs N] [TEXT]

Builds each driver with every combination of -O0, -O1, -O2, -Os, frame pointers, stack protectors and SSE (only those
whose name contains TEXT, when it is given), and prints a row for each: how many functions were compared with each
source, and how many figures differ. Every difference is listed below. Ends with 1 when there are any.

tests/integration/test_build_matrix.py says what the sources are; it tests a part of the matrix.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "reference"))

from driver_matrix import Matrix, has_toolchain
from static_comparison import CHECKS, Comparison, compare_all

WIDTH = 72
"""Columns for a build's name: the longest has 71."""


def row(name: str, cells: list[object]) -> str:
    """Return a line of the table."""
    return f"{name:{WIDTH}}" + "".join(f"{cell!s:>11}" for cell in cells)


def listing(comparison: Comparison) -> list[str]:
    """Return a line for each difference of a build."""
    return [
        f"{comparison.variant}: {one.function}: {one.source} has {one.figure} {one.expected}, stackemu {one.stackemu}"
        for one in comparison.differences
    ]


def main() -> int:
    """Print the table and the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", default="", metavar="TEXT", help="only builds whose name contains this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    options = parser.parse_args()
    if not has_toolchain():
        print("build_matrix.py: needs clang, lld-link, llvm-dlltool and llvm-pdbutil", file=sys.stderr)
        return 2

    with tempfile.TemporaryDirectory() as name:
        variants = [one for one in Matrix(Path(name) / "drivers").variants() if options.text in str(one)]
    differences: list[str] = []
    totals = dict.fromkeys(CHECKS, 0)
    print(row("build", [*CHECKS, "different"]))
    for comparison in compare_all(variants, options.jobs):
        print(row(str(comparison.variant), [*comparison.compared.values(), len(comparison.differences)]), flush=True)
        differences += listing(comparison)
        totals = {source: count + comparison.compared[source] for source, count in totals.items()}
    print(row(f"{len(variants)} builds", [*totals.values(), len(differences)]))
    print(*differences, sep="\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
