"""How long `stackemu run` looks for inputs: more effort shows no less, and every level is repeatable."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]
EFFORTS = ("quick", "normal", "thorough")


@pytest.fixture(scope="module")
def documents(stackemu: Stackemu, passthrough: Path) -> dict[str, str]:
    """What a run with each effort printed."""
    return {effort: _run(stackemu, passthrough, effort, 1) for effort in EFFORTS}


def _run(stackemu: Stackemu, driver: Path, effort: str, jobs: int) -> str:
    return stackemu("run", driver, "--effort", effort, "--jobs", jobs, "--format", "json").stdout


@pytest.mark.parametrize("effort", EFFORTS)
def test_the_same_effort_gives_the_same_bytes_in_any_number_of_processes(
    stackemu: Stackemu, passthrough: Path, documents: dict[str, str], effort: str
) -> None:
    assert _run(stackemu, passthrough, effort, 2) == documents[effort]


def test_the_document_says_how_much_was_tried(documents: dict[str, str]) -> None:
    settings = [json.loads(documents[effort])["settings"] for effort in EFFORTS]
    for name in ("explored", "havoc"):
        tried = [one[name] for one in settings]
        assert tried[0] == 0 < tried[1] < tried[2]


def test_changed_inputs_reach_code_that_no_solved_branch_does(documents: dict[str, str]) -> None:
    # Only a name too long for what is left of the line takes the second RtlAppendUnicodeStringToString (log.c).
    quick, normal = (_named(documents[effort], "PtLogFileName")["measured"] for effort in ("quick", "normal"))
    assert quick["blocks_seen"] < normal["blocks_seen"] == normal["blocks"]


def test_more_effort_shows_no_less(documents: dict[str, str]) -> None:
    quick, normal = (json.loads(documents[effort])["functions"] for effort in ("quick", "normal"))
    for less, more in zip(quick, normal, strict=True):
        assert less["name"] == more["name"]
        assert less["measured"]["blocks_seen"] <= more["measured"]["blocks_seen"]
        assert less["measured"]["own"] <= more["measured"]["own"]


@pytest.mark.parametrize("effort", ["quick", "normal"])
def test_explain_speaks_of_the_runs_that_run_makes(
    stackemu: Stackemu, passthrough: Path, documents: dict[str, str], effort: str
) -> None:
    text = stackemu("explain", passthrough, "--effort", effort).stdout
    shown = re.findall(r"^(\S+) at 0x.*?  blocks: (\d+) of (\d+) seen", text, re.MULTILINE | re.DOTALL)
    functions = {one["name"]: one["measured"] for one in json.loads(documents[effort])["functions"]}
    assert shown
    for name, seen, blocks in shown:
        assert (functions[name]["blocks_seen"], functions[name]["blocks"]) == (int(seen), int(blocks)), name


def _named(document: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in json.loads(document)["functions"] if one["name"] == name)
    return found
