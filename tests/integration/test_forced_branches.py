"""`run --forced` on stackzoo, where the truth is known: a longer search finds what a short one has to force."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Survey = Callable[..., dict[str, Any]]
Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]
FUNCTIONS = ("--func", "ZooHidden*", "--func", "ZooSeveralExits")
QUICK = (*FUNCTIONS, "--effort", "quick")


def _by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {function["name"]: function for function in document["functions"]}


@pytest.fixture(scope="module")
def quick(survey: Survey, stackzoo: Path) -> dict[str, dict[str, Any]]:
    return _by_name(survey(stackzoo, *QUICK, "--forced"))


def test_the_estimate_is_what_inputs_reach_that_meet_all_conditions(
    quick: dict[str, dict[str, Any]], survey: Survey, stackzoo: Path
) -> None:
    # A magic number, four letters, a length and a checksum: none of the fixed inputs has them.
    hidden = quick["ZooHiddenDeepPath"]
    reached = _by_name(survey(stackzoo, *FUNCTIONS))["ZooHiddenDeepPath"]["measured"]
    assert hidden["measured"]["depth"] < 100
    assert (hidden["forced"]["own"], hidden["forced"]["depth"]) == (reached["own"], reached["depth"])
    assert hidden["forced"]["chain"] == reached["chain"]


def test_every_forced_branch_lies_in_the_function(quick: dict[str, dict[str, Any]]) -> None:
    hidden = quick["ZooHiddenDeepPath"]
    branches = hidden["forced"]["branches"]
    assert all(0 < one["address"] - hidden["address"] < hidden["size"] for one in branches)
    assert len({one["address"] for one in branches}) == len(branches) > 2


def test_measured_figures_are_those_of_a_run_without_force(
    quick: dict[str, dict[str, Any]], survey: Survey, stackzoo: Path
) -> None:
    plain = _by_name(survey(stackzoo, *QUICK))
    assert {name: {**one, "forced": None} for name, one in quick.items()} == plain


def test_a_verbose_table_shows_it_as_not_measured(stackemu: Stackemu, stackzoo: Path) -> None:
    verbose = stackemu("run", stackzoo, *QUICK, "--forced", "-v").stdout
    assert "forced: 3" in verbose
    assert "(not measured)" in verbose


def test_a_thorough_run_forces_branches_by_itself(stackemu: Stackemu, stackzoo: Path) -> None:
    done = stackemu("run", stackzoo, "--func", "ZooSeveralExits", "--effort", "thorough", "--format", "json")
    assert json.loads(done.stdout)["settings"]["forced"] is True
