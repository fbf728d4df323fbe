"""Figures as text: unknown ones as `-`, lower bounds with `>=`."""

from __future__ import annotations

import pytest

from stackemu.harness.report import figures


def test_a_figure_that_is_not_known_is_a_dash() -> None:
    assert [figures.number(value) for value in (96, 0, None)] == ["96", "0", "-"]


@pytest.mark.parametrize(
    ("outcome", "depth", "own"),
    [
        ("returned", "240", "136/136"),
        ("faulted", ">=240", ">=136/136"),
        ("raised", ">=240", ">=136/136"),
        ("bugcheck", ">=240", ">=136/136"),
        ("budget", ">=240", ">=136/136"),
    ],
)
def test_a_run_that_did_not_return_gives_lower_bounds(make_function, outcome: str, depth: str, own: str) -> None:
    function = make_function(depth=240, own=136, static_own=136, outcome=outcome)
    assert (figures.depth(function), figures.own(function)) == (depth, own)


def test_what_was_not_measured(make_function) -> None:
    function = make_function(depth=None, static_own=136)
    assert (figures.depth(function), figures.own(function)) == ("-", "-/136")


def test_static_own_that_is_no_constant(make_function) -> None:
    assert figures.own(make_function(own=1068, static_own=None)) == "1068/-"


def test_addresses_are_written_as_a_debugger_does(make_measurement) -> None:
    assert figures.address(make_measurement().driver, 0xA5DE1000) == "a5de1000"
    assert figures.address(make_measurement().driver, 0x1000) == "00001000"
    x64 = make_measurement(machine="x64").driver
    assert figures.address(x64, 0xFFFFF80012345678) == "fffff800`12345678"


def test_counts_are_in_descending_order_without_zeros() -> None:
    assert figures.counts({"within": 2, "exact": 20, "exceeds": 0, "dynamic": 2}) == "20 exact, 2 dynamic, 2 within"
    assert figures.counts({}) == ""
