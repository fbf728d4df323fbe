"""`--annotations FILE` on the command line: what users know closes what the code leaves open."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]


def function_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    (function,) = json.loads(done.stdout)["functions"]
    found: dict[str, Any] = function
    return found


def test_a_bounded_recursion_closes_its_bracket(stackemu: Stackemu, stackzoo: Path, tmp_path: Path) -> None:
    # ZooRecursive's argument is masked with 7 in recursion.c: eight frames stand at most.
    known = tmp_path / "known.toml"
    known.write_text("[recursion]\nZooRecursive = 8\n")
    options = ("--func", "ZooRecursive", "--format", "json")
    before = function_of(stackemu("run", stackzoo, *options))
    after = function_of(stackemu("run", stackzoo, *options, "--annotations", known))
    assert (before["static"]["bound"], before["bracket"]) == (None, "open")
    assert "recursion ZooRecursive > ZooRecursive" in before["why"]
    assert (after["static"]["bound"], after["bracket"]) == (after["measured"]["depth"], "closed")


def test_kernel_functions_cost_what_the_file_says(stackemu: Stackemu, ioctl: Path, tmp_path: Path) -> None:
    known = tmp_path / "known.toml"
    known.write_text("[api-cost]\nRtlQueryRegistryValues = 3000\n")
    options = ("--func", "IoctlReadDelay", "--format", "json")
    free = function_of(stackemu("static", ioctl, *options))["static"]
    dear = function_of(stackemu("static", ioctl, *options, "--annotations", known))["static"]
    assert dear["bound"] == free["bound"] + 3000
    assert dear["path"][-1] == {"function": "RtlQueryRegistryValues", "bytes": 3000}


def test_what_is_out_of_date_is_left_out_with_a_warning(stackemu: Stackemu, stackzoo: Path, tmp_path: Path) -> None:
    known = tmp_path / "known.toml"
    known.write_text('[indirect]\n"ZooCallback+0x1" = { targets = [], code = "ff10" }\n')
    done = stackemu("static", stackzoo, "--func", "ZooCallback", "--annotations", known)
    assert done.returncode == 0
    assert "the call site has changed" in done.stderr


@pytest.mark.parametrize("text", ["[recursion]\nNobody = 3\n", "[indirect"])
def test_what_cannot_be_meant_exits_with_one_line(
    stackemu: Stackemu, stackzoo: Path, tmp_path: Path, text: str
) -> None:
    known = tmp_path / "known.toml"
    known.write_text(text)
    done = stackemu("run", stackzoo, "--annotations", known)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert str(known) in done.stderr
