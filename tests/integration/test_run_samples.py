"""`stackemu run` on the sample drivers: every function measured, exact wherever its path depends on no data."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]

DIFFERENT_ENDS = {
    # ends in KeBugCheckEx
    "ZooReportOverrun": "bugcheck",
    "__report_gsfailure": "bugcheck",
}
HELPERS_RUN_ALONE = ("_alloca_probe", "_chkstk", "__SEH_", "__EH_", "_SEH_", "@__security_check_cookie", "sub_")
"""Prefixes of helpers and of nameless funclets, which only make sense inside their callers."""


def _document(stackemu: Stackemu, driver: Path, *options: str) -> dict[str, Any]:
    done = stackemu("run", driver, "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def of_passthrough(stackemu: Stackemu, passthrough: Path) -> dict[str, Any]:
    return _document(stackemu, passthrough)


@pytest.fixture(scope="module")
def of_stackzoo(stackemu: Stackemu, stackzoo: Path) -> dict[str, Any]:
    return _document(stackemu, stackzoo)


@pytest.fixture(params=["passthrough", "stackzoo"])
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    chosen: dict[str, Any] = request.getfixturevalue(f"of_{request.param}")
    return chosen


def test_every_function_is_measured(document: dict[str, Any]) -> None:
    assert [one["name"] for one in document["functions"] if one["measured"] is None] == []


def test_no_static_figure_is_refuted(document: dict[str, Any]) -> None:
    assert [one["name"] for one in document["functions"] if one["verdict"] == "exceeds"] == []


def test_driver_entry_succeeds(document: dict[str, Any]) -> None:
    assert (document["initialisation"]["outcome"], document["initialisation"]["status"]) == ("returned", 0)


def test_every_function_of_passthrough_returns(of_passthrough: dict[str, Any]) -> None:
    outcomes = {one["name"]: one["measured"]["outcome"] for one in of_passthrough["functions"]}
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "returned"} == {}


def test_static_and_measured_own_agree_in_passthrough(of_passthrough: dict[str, Any]) -> None:
    verdicts = [one["verdict"] for one in of_passthrough["functions"]]
    assert verdicts.count("exact") >= 0.9 * len(verdicts)


def test_every_zoo_function_that_can_return_does(of_stackzoo: dict[str, Any]) -> None:
    others = {
        one["name"]: one["measured"]["outcome"]
        for one in of_stackzoo["functions"]
        if one["measured"]["outcome"] != "returned" and not one["name"].startswith(HELPERS_RUN_ALONE)
    }
    assert {name: outcome for name, outcome in others.items() if DIFFERENT_ENDS.get(name) != outcome} == {}


def test_every_zoo_function_is_exact_unless_its_own_use_is_no_constant(of_stackzoo: dict[str, Any]) -> None:
    for one in of_stackzoo["functions"]:
        expected = "dynamic" if one["static"]["own"] is None else "exact"
        assert one["verdict"] == expected, (one["name"], one["why"])


def test_the_hidden_path_is_found_and_replays(of_stackzoo: dict[str, Any]) -> None:
    hidden = next(one for one in of_stackzoo["functions"] if one["name"] == "ZooHiddenDeepPath")
    # ZooHiddenBottom's frame is what drivers/stackzoo.su says, to which saved registers and arguments come.
    assert hidden["measured"]["depth"] > 3000
    assert hidden["measured"]["chain"][-1]["function"] == "ZooHiddenBottom"


def test_shares_of_a_chain_add_up_to_its_depth(document: dict[str, Any]) -> None:
    for one in document["functions"]:
        assert sum(frame["bytes"] for frame in one["measured"]["chain"]) == one["measured"]["depth"], one["name"]


def test_most_blocks_are_seen(document: dict[str, Any]) -> None:
    seen = sum(one["measured"]["blocks_seen"] for one in document["functions"])
    assert seen >= 0.95 * sum(one["measured"]["blocks"] for one in document["functions"])


def test_locals_are_those_of_the_compiler(of_passthrough: dict[str, Any], passthrough: Path) -> None:
    """clang's figure leaves out what is pushed for calls: it lies between the locals and the whole own use."""
    for line in passthrough.with_suffix(".su").read_text().splitlines():
        place, size, kind = line.split("\t")
        name = place.rsplit(":", 1)[1].removeprefix("_").split("@")[0]
        found = next((one for one in of_passthrough["functions"] if one["name"] == name), None)
        if found is None or kind != "static":
            continue
        assert found["static"]["locals"] <= int(size) <= found["static"]["own"], name


@pytest.mark.parametrize("driver", ["passthrough", "stackzoo"])
def test_single_steps_give_the_same_document(stackemu: Stackemu, request: pytest.FixtureRequest, driver: str) -> None:
    path: Path = request.getfixturevalue(driver)
    watched = request.getfixturevalue(f"of_{driver}")
    stepped = _document(stackemu, path, "--single-step")
    figures = [(one["name"], one["measured"], one["verdict"], one["witness"]) for one in watched["functions"]]
    assert [(one["name"], one["measured"], one["verdict"], one["witness"]) for one in stepped["functions"]] == figures


def test_one_seed_gives_one_document_however_many_processes(
    stackemu: Stackemu, stackzoo: Path, of_stackzoo: dict[str, Any]
) -> None:
    assert _document(stackemu, stackzoo, "--jobs", "2") == of_stackzoo


def test_functions_are_chosen_by_pattern_and_the_table_says_what_to_type_next(
    stackemu: Stackemu, passthrough: Path
) -> None:
    done = stackemu("run", passthrough, "--func", "passthrough!ptpre*")
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        "depth",
        "own/static",
        "frame",
        "locals",
        "verdict",
        "function",
        ">",
        "deepest",
        "chain",
    ]
    assert "functions: 2 in passthrough.sys (x86, names from pdb), 2 measured" in lines
    assert any(line.startswith("next:") for line in lines)
