"""What the code alone says, in one document: figures, bounds with their paths, and no measurement."""

from __future__ import annotations

from collections.abc import Callable

from stackemu.harness.results import from_json, to_json
from stackemu.harness.session import Driver
from stackemu.harness.static_survey import image_bounds, static_survey

MakeDriver = Callable[..., Driver]

# outer: push 4 and call 4, own 8; inner: two pushes, own 8, so that outer's bound is 16.
LISTINGS = {
    "outer": """
        50            push eax
        e8<inner>     call
        58            pop eax
        c3            ret
    """,
    "inner": """
        56            push esi
        57            push edi
        5f            pop edi
        5e            pop esi
        c3            ret
    """,
}


def test_figures_and_bounds_stand_without_a_measurement(make_driver: MakeDriver) -> None:
    driver = make_driver(LISTINGS)
    outer, inner = static_survey(driver, driver.functions).functions
    assert (outer.static.own, outer.static.bound) == (8, 16)
    assert [(step.function, step.bytes) for step in outer.static.path] == [("outer", 8), ("inner", 8)]
    assert (inner.static.own, inner.static.bound) == (8, 8)
    for one in (outer, inner):
        assert (one.measured, one.verdict, one.why) == (None, "not-run", "only static figures were asked for")


def test_the_summary_counts_nothing_as_measured(make_driver: MakeDriver) -> None:
    driver = make_driver(LISTINGS)
    summary = static_survey(driver, driver.functions).summary
    assert (summary.functions, summary.measured, summary.deepest, summary.outcomes) == (2, 0, None, {})
    assert summary.verdicts == {"not-run": 2}


def test_only_functions_asked_for_are_in_the_document_and_bounded_with_all_that_they_call(
    make_driver: MakeDriver,
) -> None:
    driver = make_driver(LISTINGS)
    [outer] = static_survey(driver, driver.functions[:1]).functions
    assert (outer.name, outer.static.bound) == ("outer", 16)
    bounds = image_bounds(driver, driver.code_model(), driver.functions[:1])
    assert bounds.worst(driver.image.base + driver.functions[1].rva)[0].bytes == 8


def test_the_document_survives_being_written(make_driver: MakeDriver) -> None:
    driver = make_driver(LISTINGS)
    document = static_survey(driver, driver.functions)
    assert from_json(to_json(document)) == document
