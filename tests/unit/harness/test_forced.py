"""Forced branches: what lies behind conditions that no input meets, kept apart from what was measured."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from csv import DictReader

import msgspec
import pytest

from stackemu.harness.forced_survey import can_tell
from stackemu.harness.report import csv, markdown, table
from stackemu.harness.report import forced as words
from stackemu.harness.report.page import Page
from stackemu.harness.results import (
    ChainFrame,
    ForcedBranchFigures,
    ForcedFigures,
    FunctionResult,
    Measurement,
    from_json,
    to_json,
)
from stackemu.harness.runs import RunSettings
from stackemu.harness.session import Driver
from stackemu.harness.survey import run_survey

MakeDriver = Callable[..., Driver]
SETTINGS = RunSettings(inputs=2, initialise=False)

# Unless 0 is not 0: 64 bytes of the function's own, and a callee's 8 on top of a return address.
IMPOSSIBLE = """
31c0          xor eax, eax
85c0          test eax, eax
740c          je
83ec40        sub esp, 0x40
e8<leaf>      call
83c440        add esp, 0x40
90            nop
c3            ret
"""
LEAF = """
56            push esi
57            push edi
5f            pop edi
5e            pop esi
c3            ret
"""
# Unless 0 is not 0, twice.
TWICE = """
31c0          xor eax, eax
85c0          test eax, eax
740c          je
85c0          test eax, eax
7408          je
83ec20        sub esp, 0x20
83c420        add esp, 0x20
90            nop
90            nop
c3            ret
"""
# The deep side pushes for ever.
RUNAWAY = """
31c0          xor eax, eax
85c0          test eax, eax
7403          je
50            push eax
ebfd          jmp
c3            ret
"""
# The deep side reads address 0 once it has got there.
FAULT = """
31c0          xor eax, eax
85c0          test eax, eax
7408          je
83ec10        sub esp, 0x10
8b00          mov eax, dword ptr [eax]
83c410        add esp, 0x10
c3            ret
"""


def _survey(driver: Driver, *, forced: bool = True) -> Measurement:
    return run_survey(driver, driver.functions, dataclasses.replace(SETTINGS, forced=forced), lambda *_: None)


def _function(driver: Driver) -> FunctionResult:
    return _survey(driver).functions[0]


def _branches(function: FunctionResult) -> list[tuple[int, bool, int]]:
    assert function.forced is not None
    return [
        (one.address - function.address, one.taken, one.target - function.address) for one in function.forced.branches
    ]


def test_the_side_that_no_input_reaches_is_estimated(make_driver: MakeDriver) -> None:
    function = _function(make_driver({"outer": IMPOSSIBLE, "leaf": LEAF}))
    forced = function.forced
    assert forced is not None
    assert (forced.own, forced.depth, forced.outcome) == (0x40 + 4, 0x40 + 4 + 8, "returned")
    assert forced.chain == (ChainFrame(function="outer", bytes=0x44), ChainFrame(function="leaf", bytes=8))
    assert _branches(function) == [(4, False, 6)]


def test_measured_figures_and_verdicts_are_the_same_with_and_without(make_driver: MakeDriver) -> None:
    driver = make_driver({"outer": IMPOSSIBLE, "leaf": LEAF, "twice": TWICE, "runaway": RUNAWAY, "fault": FAULT})
    plain, forced = _survey(driver, forced=False), _survey(driver)
    assert all(one.forced is None for one in plain.functions)
    assert any(one.forced is not None for one in forced.functions)
    assert [msgspec.structs.replace(one, forced=None) for one in forced.functions] == list(plain.functions)
    assert forced.summary == plain.summary
    outer = forced.functions[0]
    assert outer.measured is not None
    assert (outer.measured.own, outer.measured.depth, outer.verdict) == (0, 0, "within")


def test_branches_found_behind_a_forced_one_are_forced_too(make_driver: MakeDriver) -> None:
    function = _function(make_driver({"twice": TWICE}))
    assert function.forced is not None
    assert (function.forced.own, function.forced.depth) == (0x20, 0x20)
    assert _branches(function) == [(4, False, 6), (8, False, 10)]


def test_a_run_that_runs_away_estimates_nothing(make_driver: MakeDriver) -> None:
    assert _function(make_driver({"runaway": RUNAWAY})).forced is None


def test_a_run_that_faults_counts_as_far_as_it_got(make_driver: MakeDriver) -> None:
    forced = _function(make_driver({"fault": FAULT})).forced
    assert forced is not None
    assert (forced.own, forced.outcome) == (0x10, "faulted")


def test_branches_of_callees_are_forced_in_the_callers_runs(make_driver: MakeDriver) -> None:
    caller = """
    50            push eax
    e8<outer>     call
    58            pop eax
    c3            ret
    """
    function = _function(make_driver({"caller": caller, "outer": IMPOSSIBLE, "leaf": LEAF}))
    assert function.forced is not None
    assert (function.forced.own, function.forced.depth) == (8, 8 + 0x44 + 8)
    assert [frame.function for frame in function.forced.chain] == ["caller", "outer", "leaf"]


def test_nothing_is_tried_where_the_worst_case_is_known(make_driver: MakeDriver) -> None:
    leaf = _survey(make_driver({"leaf": LEAF})).functions[0]
    assert (leaf.verdict, leaf.bracket) == ("exact", "closed")
    assert not can_tell(leaf)
    assert can_tell(msgspec.structs.replace(leaf, verdict="within"))
    assert can_tell(msgspec.structs.replace(leaf, bracket="open"))
    assert not can_tell(msgspec.structs.replace(leaf, verdict="not-run", measured=None))


def test_a_forced_survey_is_the_same_every_time(make_driver: MakeDriver) -> None:
    driver = make_driver({"outer": IMPOSSIBLE, "leaf": LEAF, "twice": TWICE})
    assert _survey(driver) == _survey(driver)


def test_a_document_survives_saving_and_one_without_the_field_loads(make_driver: MakeDriver) -> None:
    document = _survey(make_driver({"outer": IMPOSSIBLE, "leaf": LEAF}))
    assert from_json(to_json(document)) == document
    raw = msgspec.json.decode(to_json(document))
    for function in raw["functions"]:
        del function["forced"]
    assert all(one.forced is None for one in from_json(msgspec.json.encode(raw)).functions)


def _figures(*taken: bool, outcome: str = "returned") -> ForcedFigures:
    branches = tuple(
        ForcedBranchFigures(address=0x401000 + 16 * index, taken=one, target=0x402000)
        for index, one in enumerate(taken)
    )
    return ForcedFigures(own=40, depth=412, branches=branches, outcome=outcome)


@pytest.mark.parametrize(
    ("forced", "sentence"),
    [
        (_figures(True), "412 bytes deep (own 40) if the branch at 0x00401000 were taken (not measured)"),
        (
            _figures(False, True, outcome="faulted"),
            "412 bytes deep (own 40) if the branch at 0x00401000 were not taken, that at 0x00401010 were taken; "
            "faulted there (not measured)",
        ),
        (
            _figures(True, True, True, True, True),
            "412 bytes deep (own 40) if the branch at 0x00401000 were taken, that at 0x00401010 were taken, that at "
            "0x00401020 were taken, and 2 more went another way (not measured)",
        ),
    ],
)
def test_the_words_say_what_it_takes_and_that_it_is_no_measurement(forced: ForcedFigures, sentence: str) -> None:
    assert words.sentence(forced) == sentence


def test_a_table_shows_it_only_when_asked_for_more(make_driver: MakeDriver) -> None:
    document = _survey(make_driver({"outer": IMPOSSIBLE, "leaf": LEAF}))
    line = f"forced: {words.sentence(document.functions[0].forced or _figures(True))}"
    page = Page(width=200)
    assert line in table.render(document, document.functions, page, verbose=True)
    assert "forced" not in table.render(document, document.functions, page)


def test_a_row_of_csv_has_it_in_cells_of_its_own(make_driver: MakeDriver) -> None:
    document = _survey(make_driver({"outer": IMPOSSIBLE, "leaf": LEAF}))
    outer, leaf = DictReader(io.StringIO(csv.render(document.functions)))
    start = document.functions[0].address
    assert (outer["depth"], outer["forced_depth"], outer["forced_own"]) == ("0", "76", "68")
    assert (outer["forced_branches"], outer["forced_outcome"]) == (f"{start + 4:#x}>{start + 6:#x}", "returned")
    assert (leaf["forced_depth"], leaf["forced_branches"]) == ("", "")


def test_markdown_gives_it_among_the_reasons(make_driver: MakeDriver) -> None:
    document = _survey(make_driver({"outer": IMPOSSIBLE, "leaf": LEAF}))
    assert "(not measured)" in markdown.render(document, document.functions, verbose=True)
    assert "(not measured)" not in markdown.render(document, document.functions)
