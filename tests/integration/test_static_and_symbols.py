"""`stackemu static` and `stackemu symbols` on the sample drivers, with their symbols and without."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]

ACE_LINE = re.compile(
    r"(?P<locals>\d+) bytes used for locals by func: "
    r"(?P<address>[0-9a-f]{8}) (?P<module>\w+)!(?P<name>\w+)(?P<types> .*)"
)
"""`96 bytes used for locals by func: a5dee450 PassThrough!PtNormalizeNameComponentExCallback (...)`, as in 2011."""


@pytest.fixture
def alone(passthrough: Path, tmp_path: Path) -> Path:
    """passthrough.sys in a directory of its own, without its symbols."""
    return Path(shutil.copy(passthrough, tmp_path))


def defined_in_sources(driver: Path) -> set[str]:
    """Return the functions that the compiler wrote into the driver's `.su` file, without decoration."""
    lines = driver.with_suffix(".su").read_text().splitlines()
    return {re.sub(r"^\x01?[_@]|@\d+$", "", line.split("\t")[0].split(":")[-1]) for line in lines}


def listed(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert (done.returncode, done.stderr) == (0, "")
    functions: list[dict[str, Any]] = json.loads(done.stdout)["functions"]
    return functions


def ace(done: subprocess.CompletedProcess[str]) -> list[re.Match[str]]:
    """Return the lines of an ace listing; a line in another form fails the test."""
    assert (done.returncode, done.stderr) == (0, "")
    matches = [ACE_LINE.fullmatch(line) for line in done.stdout.splitlines()]
    assert None not in matches
    return [match for match in matches if match]


# -- static --


def test_ace_lists_the_largest_first_and_leaves_out_functions_without_locals(
    stackemu: Stackemu, passthrough: Path
) -> None:
    sizes = [int(line["locals"]) for line in ace(stackemu("static", passthrough, "--format", "ace"))]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) > 0


def test_ace_is_the_default_of_static(stackemu: Stackemu, passthrough: Path) -> None:
    assert stackemu("static", passthrough).stdout == stackemu("static", passthrough, "--format", "ace").stdout


def test_ace_names_the_address_the_module_and_the_types(stackemu: Stackemu, passthrough: Path) -> None:
    (line,) = ace(stackemu("static", passthrough, "--func", "PtLogSummary"))
    # drivers/passthrough/log.c: VOID PtLogSummary(PCSTR Reason); llvm-objdump shows `sub esp, 0x60`.
    assert line["locals"] == "96"
    assert line["module"] == "passthrough"
    assert line["types"] == " (const char* Reason)"


def test_ace_of_an_image_without_symbols_has_no_types(stackemu: Stackemu, alone: Path) -> None:
    lines = ace(stackemu("static", alone, "--format", "ace"))
    assert {line["types"] for line in lines} == {" = "}


def test_locals_do_not_hang_on_symbols(stackemu: Stackemu, passthrough: Path, alone: Path) -> None:
    def sizes(driver: Path) -> dict[str, str]:
        return {line["address"]: line["locals"] for line in ace(stackemu("static", driver))}

    assert sizes(alone) == sizes(passthrough)


def test_windbg_patterns(stackemu: Stackemu, passthrough: Path) -> None:
    lines = ace(stackemu("static", passthrough, "--func", "PASSTHROUGH!ptinstance*", "--func", "*Directory"))
    assert {line["name"] for line in lines} == {
        "PtInstanceSetup",
        "PtInstanceTeardownStart",
        "PtInstanceTeardownComplete",
        "PtOpenDirectory",
    }


def test_static_measures_nothing(stackemu: Stackemu, passthrough: Path) -> None:
    for function in listed(stackemu("static", passthrough, "--format", "json")):
        assert function["measured"] is None
        assert function["verdict"] == "not-run"


def test_static_figures_are_those_of_a_run(
    stackemu: Stackemu, sample: Path, survey: Callable[..., dict[str, Any]]
) -> None:
    functions = listed(stackemu("static", sample, "--format", "json"))
    own = {one["name"]: one["static"]["own"] for one in survey(sample)["functions"]}
    assert {one["name"]: one["static"]["own"] for one in functions} == own


# -- symbols --


def test_a_private_pdb_names_every_function_of_the_sources(stackemu: Stackemu, sample: Path) -> None:
    functions = listed(stackemu("symbols", sample, "--format", "json"))
    by_pdb = {one["name"] for one in functions if one["name_source"] == "pdb procedure"}
    assert defined_in_sources(sample) - by_pdb == set()


def test_functions_written_in_assembly_have_their_public_names(stackemu: Stackemu, stackzoo: Path) -> None:
    # An assembly source has no S_GPROC32 records: the names are the linker's publics, the extents our own.
    defined = {
        match[1]
        for name in ("idioms.S", "seh.S")
        for match in re.finditer(r"^FUNCTION _(\w+)", (stackzoo.parent / "stackzoo" / name).read_text(), re.MULTILINE)
    }
    functions = listed(stackemu("symbols", stackzoo, "--format", "json"))
    public = {one["name"] for one in functions if one["name_source"] == "pdb public"}
    assert len(defined) > 40
    assert defined - public == set()
    assert all(one["size"] for one in functions)


def test_without_symbols_every_function_is_found_at_its_address(
    stackemu: Stackemu, passthrough: Path, alone: Path
) -> None:
    named = listed(stackemu("symbols", passthrough, "--format", "json"))
    known = {one["rva"]: one["size"] for one in named if one["kind"] == "function"}
    assert len(known) == len(defined_in_sources(passthrough))
    found = listed(stackemu("symbols", alone, "--format", "json"))
    assert {one["rva"]: one["size"] for one in found if one["kind"] == "function"} == known
    assert {one["name_source"] for one in found if one["kind"] == "function"} == {
        "entry point",
        "call target",
        "code pointer",
    }


def test_without_symbols_functions_are_named_for_their_addresses(stackemu: Stackemu, alone: Path) -> None:
    for function in listed(stackemu("symbols", alone, "--format", "json")):
        if function["name_source"] == "entry point":
            assert function["name"] == "DriverEntry"
        elif function["kind"] == "function":
            assert function["name"] == f"sub_{function['rva']:x}"


def test_exports_name_functions_where_there_is_nothing_else(stackemu: Stackemu, windivert32: Path) -> None:
    # The library beside the driver; its exports are those that its documentation lists.
    library = windivert32.with_suffix(".dll")
    functions = listed(stackemu("symbols", library, "--format", "json"))
    exported = {one["name"] for one in functions if one["name_source"] == "export"}
    assert {"WinDivertOpen", "WinDivertRecv", "WinDivertSend", "WinDivertClose"} <= exported


def test_csv_has_the_same_rows(stackemu: Stackemu, passthrough: Path) -> None:
    rows = list(csv.DictReader(stackemu("symbols", passthrough, "--format", "csv").stdout.splitlines()))
    functions = listed(stackemu("symbols", passthrough, "--format", "json"))
    assert [(row["name"], int(row["rva"], 16)) for row in rows] == [(one["name"], one["rva"]) for one in functions]
