"""Static figures of the sample drivers in builds unlike each other, against every other source of them.

Nothing is allowed for: where a source counts something else than stackemu, the comparison converts the one into the
other (tests/reference/static_comparison.py), and what is left must be equal, function by function.

source      what it counts, in bytes                                          compared with
text        ESP on every path through the compiler's assembly text            own, of every function
su          locals + saved + frame pointer, by `-fstack-usage`                 frame; own is a constant or not
frameproc   S_FRAMEPROC: cbSaveRegs without the frame pointer, cbFrame with    locals, saved; own is a constant or not
framedata   FRAMEDATA: pushed registers with EBP; locals where no EBP frame    saved, locals
records     what stackemu's own PDB reader makes of the last two               llvm-pdbutil's text, field by field
sources     the three of the compiler's among themselves                       each other
findings    the disagreements with debug records that stackemu reports         none

The compiler's sources leave out return addresses, arguments that are pushed, and what realigning a frame adds to it;
they include room for arguments that the prologue reserves. All have the frame, and only the text has own. The old
FPO_DATA is in none of them: lld writes FRAMEDATA only.

tests/benchmarks/build_matrix.py does the same for the whole matrix.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "reference"))

from driver_matrix import Variant, has_toolchain
from static_comparison import CHECKS, Comparison, compare_all

FRAME, COOKIE, SSE = "-fno-omit-frame-pointer", "-fstack-protector-all", "-msse2"
VARIANTS = [
    Variant("passthrough", ("-O0", COOKIE)),
    Variant("passthrough", ("-O1", FRAME, COOKIE)),
    Variant("passthrough", ("-O2", SSE)),
    Variant("passthrough", ("-Os", FRAME, SSE)),
    Variant("ioctl", ("-O0", SSE)),
    Variant("ioctl", ("-O1", COOKIE, SSE)),
    Variant("ioctl", ("-O2", FRAME)),
    Variant("ioctl", ("-Os", FRAME, COOKIE)),
    Variant("stackzoo", ("-O0",)),
    Variant("stackzoo", ("-O1", SSE)),
    Variant("stackzoo", ("-O2", FRAME, COOKIE, SSE)),
    Variant("stackzoo", ("-Os", COOKIE)),
]
"""Each driver at each level; each two of the switches in all four ways."""
FEWEST = {"passthrough": 20, "ioctl": 18, "stackzoo": 50}
"""Functions that a build of each driver has at least: nothing compared would be nothing different."""

pytestmark = pytest.mark.skipif(not has_toolchain(), reason="needs clang, lld-link, llvm-dlltool and llvm-pdbutil")


@pytest.fixture(scope="module")
def comparisons() -> Mapping[Variant, Comparison]:
    return dict(zip(VARIANTS, compare_all(VARIANTS, jobs=2), strict=True))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_source_says_what_stackemu_says(comparisons: Mapping[Variant, Comparison], variant: Variant) -> None:
    assert comparisons[variant].differences == []


@pytest.mark.parametrize("source", CHECKS)
def test_no_source_is_compared_for_few_functions(comparisons: Mapping[Variant, Comparison], source: str) -> None:
    few = {str(one.variant) for one in comparisons.values() if one.compared[source] < FEWEST[one.variant.driver]}
    assert few == set()
