"""`stackemu run` on a driver that this project did not write and that has no symbols: WinDivert32.sys."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]
AGREED = Path(__file__).parents[1] / "data" / "windivert32_functions.txt"
FIGURES = ("outcome", "own", "depth", "chain", "instructions")


@pytest.fixture(scope="module")
def as_json(stackemu: Stackemu, windivert32: Path) -> str:
    """What `run --format json` wrote to stdout."""
    done = stackemu("run", windivert32, "--format", "json")
    assert done.returncode == 0
    return done.stdout


@pytest.fixture(scope="module")
def quick(stackemu: Stackemu, windivert32: Path) -> str:
    """The same with the fixed inputs alone."""
    done = stackemu("run", windivert32, "--format", "json", "--effort", "quick")
    assert done.returncode == 0
    return done.stdout


@pytest.fixture(scope="module")
def document(as_json: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(as_json)
    return loaded


@pytest.fixture(scope="module")
def functions(document: dict[str, Any]) -> dict[int, Any]:
    """The results by RVA."""
    return {function["rva"]: function for function in document["functions"]}


def agreed_rvas() -> list[int]:
    return [int(line, 16) for line in AGREED.read_text().splitlines() if not line.startswith("#")]


def test_every_function_that_two_disassemblers_agree_on_is_found(functions: dict[int, Any]) -> None:
    assert len(agreed_rvas()) == 27
    assert [hex(rva) for rva in agreed_rvas() if rva not in functions] == []


def test_code_that_only_pointers_lead_to_is_found_too(functions: dict[int, Any]) -> None:
    assert len(functions) >= 40


def test_import_thunks_are_told_apart_from_functions(
    stackemu: Stackemu, windivert32: Path, functions: dict[int, Any]
) -> None:
    done = stackemu("symbols", windivert32, "--format", "json")
    listed = json.loads(done.stdout)["functions"]
    thunks = {one["name"]: one["rva"] for one in listed if one["kind"] == "import thunk"}
    # `jmp [IAT slot]`, read in objdump's disassembly.
    assert (thunks["_allmul"], thunks["memcpy"], thunks["FwpsInjectionHandleCreate0"]) == (0x3AE4, 0x3AFC, 0x3E2C)
    assert functions.keys().isdisjoint(thunks.values())
    assert functions.keys() | set(thunks.values()) == {one["rva"] for one in listed}


def test_driver_entry_succeeds_and_registers_its_callbacks(
    document: dict[str, Any], functions: dict[int, Any]
) -> None:
    assert (document["initialisation"]["outcome"], document["initialisation"]["status"]) == ("returned", 0)
    roles = {role["role"] for function in functions.values() for role in function["roles"]}
    # Each name stands in the driver's source (WinDivert 1.3, sys/windivert.c).
    assert {"EvtIoDeviceControl", "EvtDeviceFileCreate", "EvtFileCleanup", "EvtFileClose", "EvtDriverUnload",
            "EvtIoInCallerContext", "EvtTimerFunc", "EvtWorkItem", "classifyFn", "DriverEntry"} <= roles  # fmt: skip


def test_every_function_is_run_and_most_return(document: dict[str, Any], functions: dict[int, Any]) -> None:
    outcomes = [function["measured"] and function["measured"]["outcome"] for function in functions.values()]
    assert None not in outcomes
    assert "crashed" not in outcomes
    assert outcomes.count("returned") >= 0.9 * len(outcomes)
    assert document["summary"]["measured"] == document["summary"]["functions"] == len(functions)


def test_no_static_figure_is_refuted_by_a_run(functions: dict[int, Any]) -> None:
    assert [hex(rva) for rva, function in functions.items() if function["verdict"] == "exceeds"] == []


def test_shares_of_a_chain_add_up_to_its_depth(functions: dict[int, Any]) -> None:
    for rva, function in functions.items():
        shares = [frame["bytes"] for frame in function["measured"]["chain"]]
        assert sum(shares) == function["measured"]["depth"], hex(rva)
        assert function["measured"]["chain"][0]["function"] == function["name"]


def test_no_function_goes_deeper_itself_than_it_goes_with_its_callees(functions: dict[int, Any]) -> None:
    own_and_depth = {rva: (one["measured"]["own"], one["measured"]["depth"]) for rva, one in functions.items()}
    assert {hex(rva): pair for rva, pair in own_and_depth.items() if pair[0] > pair[1]} == {}


def test_figures_established_by_hand(functions: dict[int, Any]) -> None:
    # Established by hand from the disassembly. push ebp is 4, five arguments for sub_1c6a make it 24, the call
    # 28; sub_1c6a takes its 20 bytes off with `ret 14h`. Behind the first test, push edi makes it 8, five
    # arguments 28, the call 32; the calls after that go no deeper. Had sub_1c6a been taken for a function that
    # leaves its arguments to the caller, each of the five calls would have added 20.
    assert functions[0x29D4]["static"]["own"] == 32


def test_block_mode_gives_what_watching_every_instruction_gives(
    stackemu: Stackemu, windivert32: Path, quick: str
) -> None:
    done = stackemu("run", windivert32, "--format", "json", "--effort", "quick", "--single-step")
    stepped = {function["rva"]: function["measured"] for function in json.loads(done.stdout)["functions"]}
    watched = {function["rva"]: function["measured"] for function in json.loads(quick)["functions"]}
    assert stepped.keys() == watched.keys()
    for rva, measured in watched.items():
        assert [measured[name] for name in FIGURES] == [stepped[rva][name] for name in FIGURES], hex(rva)


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_seed_gives_one_document_however_many_processes(
    stackemu: Stackemu, windivert32: Path, quick: str, jobs: int
) -> None:
    options = ("--format", "json", "--effort", "quick", "--seed", "0", "--jobs", str(jobs))
    assert stackemu("run", windivert32, *options).stdout == quick


def test_another_seed_gives_other_inputs_and_says_so(stackemu: Stackemu, windivert32: Path, quick: str) -> None:
    one = json.loads(quick)
    other = json.loads(stackemu("run", windivert32, "--format", "json", "--effort", "quick", "--seed", "1").stdout)
    assert (one["settings"]["seed"], other["settings"]["seed"]) == (0, 1)
    assert other["functions"] != one["functions"]
    assert [item["static"] for item in other["functions"]] == [item["static"] for item in one["functions"]]


def test_the_document_names_the_driver_and_its_schema(document: dict[str, Any], windivert32: Path) -> None:
    assert document["schema"] == "stackemu.measurement/1"
    # `sha256sum` of the file in the wheel pydivert 2.1.0
    assert document["driver"] == {
        "path": str(windivert32),
        "name": "WinDivert32.sys",
        "sha256": "bd27499533e42d64bcab52a018add1e361de02f04c4b1d16852cb643bf4c5755",
        "machine": "x86",
        "base": 0xA5DE0000,
        "symbols": {"source": "discovery", "path": None},
    }
