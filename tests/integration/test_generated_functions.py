"""Random x86 functions, generated with the truth about their stack: everything that stackemu says of them is true.

Every function is held against its generator's truth statically, and dynamically on every path in both modes. What
the generator found once stands here as a case of its own, in as few instructions as show it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from stackemu.harness.native.availability import why_not
from stackemu.harness.results import FunctionResult
from stackemu.harness.session import open_driver
from stackemu.harness.survey import static_survey

sys.path.append(str(Path(__file__).resolve().parents[1] / "reference"))

from generated_checks import Report, check, native_opinion  # noqa: E402 -- lies outside the package on purpose
from generated_bodies import generate  # noqa: E402
from generated_images import build, has_toolchain  # noqa: E402
from generated_scope import Program  # noqa: E402
from generated_truth import Generated  # noqa: E402

pytestmark = pytest.mark.skipif(not has_toolchain(), reason="needs clang and lld")

PROGRAMS = {1: 100, 2: 100, 3: 100}
"""Functions by seed."""
FORMS = {
    "ebp", "fpo", "enter", "pushad", "seh", "dynamic", "realigned", "realigned-ebx", "realigned-ecx", "push-ecx",
    "hot-patch", "early-return", "return-from-the-middle", "tail-jump", "switch", "loop", "arguments-left", "double",
    "call-direct", "call-register", "call-saved", "call-memory", "nested-call", "outgoing-area", "push-by-condition",
    "push-constant", "push-register", "push-flags", "push-all", "push-here", "push-segment", "push-word",
    "push-memory", "push-late", "allocate-probe", "allocate-sub", "allocate-mov",
}  # fmt: skip
"""What functions are made of."""


def described(report: Report) -> str:
    """Return the first disagreement with its function's text."""
    return "\n".join(f"{one.figure}: {one.expected}, not {one.stackemu}\n{one.function.text}" for one in report.unexplained[:1])


@pytest.mark.parametrize("seed", PROGRAMS)
def test_all_figures_are_the_truth(seed: int) -> None:
    report = check(generate(seed, PROGRAMS[seed]))
    assert not report.unexplained, described(report)
    assert report.functions == PROGRAMS[seed]
    assert report.runs > 5 * report.functions


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_the_processor_agrees() -> None:
    report = check(generate(4, 40), native_opinion)
    assert not report.unexplained, described(report)
    assert report.opinions == report.functions


def test_every_form_is_there() -> None:
    features = {feature for seed, count in PROGRAMS.items() for one in generate(seed, count).functions for feature in one.features}
    assert features == FORMS


def test_a_seed_gives_the_same_functions() -> None:
    first, second = generate(7, 30), generate(7, 30)
    assert [one.text for one in first.functions] == [one.text for one in second.functions]
    assert [one.text for one in generate(8, 30).functions] != [one.text for one in first.functions]


# -- what the generator found --


def statics(directory: Path, *functions: tuple[str, str]) -> dict[str, FunctionResult]:
    """Return what stackemu says of functions, each a decorated name and instructions, by undecorated name."""
    made = [Generated(f"f{number}", "", 0, f"FUNCTION {name}\n{text}") for number, (name, text) in enumerate(functions)]
    for function, (name, _) in zip(made, functions, strict=True):
        function.given_symbol = name
    driver = open_driver(build(Program(made, [0]), directory))
    return {one.name: one for one in static_survey(driver, driver.functions).functions}
