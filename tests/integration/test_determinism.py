"""The same command gives the same bytes: on every run, and however many processes share the work."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stackemu.harness.results import from_json

Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]
Survey = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def first(stackemu: Stackemu, stackzoo: Path) -> str:
    """The document of one run."""
    return stackemu("run", stackzoo, "--format", "json").stdout


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_second_run_gives_the_same_bytes(stackemu: Stackemu, stackzoo: Path, first: str, jobs: int) -> None:
    again = stackemu("run", stackzoo, "--format", "json", "--seed", "0", "--jobs", jobs)
    assert again.stdout == first


def test_nothing_hangs_on_the_order_of_hashes(
    command: Sequence[str], environment: dict[str, str], stackzoo: Path, first: str
) -> None:
    done = subprocess.run(
        [*command, "run", str(stackzoo), "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "PYTHONHASHSEED": "12345"},
    )
    assert done.stdout == first


@pytest.mark.parametrize("report_format", ["table", "csv", "markdown"])
def test_reports_for_people_are_the_same_too(stackemu: Stackemu, passthrough: Path, report_format: str) -> None:
    one = stackemu("run", passthrough, "-v", "--format", report_format)
    two = stackemu("run", passthrough, "-v", "--format", report_format, "--jobs", "2")
    assert (one.returncode, two.stdout) == (0, one.stdout)


def test_a_function_gets_the_same_figures_alone_as_among_others(
    survey: Survey, stackemu: Stackemu, passthrough: Path
) -> None:
    # Were memory or the processor's state left over from the function before, this would show it.
    together = {one["name"]: one for one in survey(passthrough)["functions"]}
    for name in ("PtLogFileName", "PtPreOperationPassThrough", "DriverEntry"):
        done = stackemu("run", passthrough, "--func", name, "--format", "json")
        (alone,) = json.loads(done.stdout)["functions"]
        assert without_bound(alone) == without_bound(together[name])


def without_bound(function: dict[str, Any]) -> dict[str, Any]:
    """Return a result without its bound, for which what the runs of other functions called and registered counts."""
    kept = {key: value for key, value in function.items() if key not in ("why", "bracket")}
    return kept | {"static": {key: function["static"][key] for key in ("locals", "saved", "frame", "own")}}


def test_another_seed_is_named_and_gives_a_whole_document(survey: Survey, stackzoo: Path, first: str) -> None:
    other = survey(stackzoo, "--seed", "7")
    assert other["settings"]["seed"] == 7
    document = from_json(json.dumps(other).encode())
    before = from_json(first.encode())
    assert [one.name for one in document.functions] == [one.name for one in before.functions]
    for one, other_one in zip(document.functions, before.functions, strict=True):
        assert (one.static.frame, one.static.own) == (other_one.static.frame, other_one.static.own)
    assert document.summary.measured == before.summary.measured
    assert "exceeds" not in document.summary.verdicts


def test_another_seed_gives_other_inputs(survey: Survey, stackzoo: Path, first: str) -> None:
    # What ZooDynamicAlloca allocates is its argument's to say.
    assert survey(stackzoo, "--seed", "7")["functions"] != json.loads(first)["functions"]


def test_a_saved_document_is_what_stdout_would_have_had(
    stackemu: Stackemu, stackzoo: Path, first: str, tmp_path: Path
) -> None:
    target = tmp_path / "zoo.json"
    done = stackemu("run", stackzoo, "--format", "json", "-o", target)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert target.read_text() == first
    assert msgspec.json.decode(target.read_bytes())["schema"] == "stackemu.measurement/1"
    assert os.listdir(tmp_path) == ["zoo.json"]
