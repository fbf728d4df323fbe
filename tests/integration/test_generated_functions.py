"""Random x86 functions, generated with the truth about their stack: everything that stackemu says of them is true.

Every function is held against its generator's truth statically, and dynamically on every path in both modes; the
host's processor runs the deepest path where it can. tests/benchmarks/generated_functions.py does the same for any
number of functions; what that found stands in the unit tests, in as few instructions as show it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stackemu.harness.native.availability import why_not

sys.path.append(str(Path(__file__).resolve().parents[1] / "reference"))

from generated_bodies import generate
from generated_checks import Report, check, native_opinion
from generated_images import has_toolchain
from generated_truth import Height, Reach

pytestmark = pytest.mark.skipif(not has_toolchain(), reason="needs clang and lld")

SEEDS = (1, 2, 3)
COUNT = 100
"""Functions of each seed."""
FORMS = {
    "ebp", "fpo", "enter", "pushad", "seh", "dynamic", "realigned", "realigned-ebx", "realigned-ecx", "push-ecx",
    "hot-patch", "early-return", "return-from-the-middle", "tail-jump", "switch", "loop", "arguments-left", "double",
    "call-direct", "call-register", "call-saved", "call-memory", "nested-call", "outgoing-area", "push-by-condition",
    "push-constant", "push-register", "push-flags", "push-all", "push-here", "push-segment", "push-word",
    "push-memory", "push-late", "allocate-probe", "allocate-sub", "allocate-mov",
}  # fmt: skip
"""What functions are made of."""


@pytest.fixture(scope="module")
def report() -> Report:
    """Return what came of all functions."""
    whole = Report()
    for seed in SEEDS:
        whole.add(check(generate(seed, COUNT), None if why_not() else native_opinion))
    return whole


def test_all_figures_are_the_truth(report: Report) -> None:
    described = [f"{one.figure}: {one.expected}, not {one.seen}\n{one.function.text}" for one in report.disagreements]
    assert not described, described[0]
    assert report.functions == COUNT * len(SEEDS)
    assert report.runs > 10 * report.functions


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_the_processor_was_asked_about_every_function(report: Report) -> None:
    assert report.opinions == report.functions


def test_figures_that_are_not_the_truth_are_told() -> None:
    program = generate(1, 1)
    (function,) = program.functions
    function.body.insert(0, Reach(Height(below=4 + (function.own or 0))))
    figures = [one.figure.partition(" ")[0] for one in check(program).disagreements]
    assert {"static", "STEPS", "BLOCKS"} == set(figures)


def test_every_form_is_there() -> None:
    functions = [one for seed in SEEDS for one in generate(seed, COUNT).functions]
    assert set().union(*(one.features for one in functions)) == FORMS


def test_a_seed_gives_the_same_functions() -> None:
    first, again, other = ([one.text for one in generate(seed, 30).functions] for seed in (7, 7, 8))
    assert first == again
    assert first != other
