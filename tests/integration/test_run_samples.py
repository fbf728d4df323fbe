"""`stackemu run` on the sample drivers, whose sources and compiler's figures stand beside them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import capstone
import pytest

from stackemu.emu.load_image import load_image

Survey = Callable[..., dict[str, Any]]
Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]
Results = Mapping[str, dict[str, Any]]

PASSTHROUGH_FUNCTIONS = 22
"""Those whose names begin with Pt, as `grep '^Pt' drivers/passthrough/*.c` counts them."""

ENDS_OTHERWISE = {
    "ZooReportOverrun": ("bugcheck", "is KeBugCheckEx and nothing else"),
}
"""Functions of stackzoo that cannot return when they are called out of context, and why."""

RUN_TIME_AMOUNTS = {
    "ZooDynamicAlloca",
    "ZooDynamicAllocaInLoop",
    "ZooAlignedAlloca",
    "ZooAllocaProbeDynamic",
    "ZooPushLoop",
}
"""Functions of stackzoo whose stack use the argument decides."""

FRAME_HELPERS = {
    "_alloca_probe",
    "_SEH_prolog",
    "_SEH_prolog4",
    "_SEH_epilog",
    "_SEH_epilog4",
    "_EH_prolog",
    "_EH_prolog3",
    "_EH_epilog3",
}
"""Functions of stackzoo that build or remove their caller's frame."""

FRAMELESS_CODE = re.compile(r"sub_[0-9a-f]+")
"""Code without a symbol: a funclet, which needs its parent's frame, and the target of a push and ret."""


class CompilerFrame(NamedTuple):
    """A line of a `.su` file: the frame in bytes, and whether alloca adds to it."""

    size: int
    dynamic: bool


@pytest.fixture(scope="module")
def pt(survey: Survey, passthrough: Path) -> dict[str, Any]:
    return survey(passthrough, "--func", "Pt*")


@pytest.fixture(scope="module")
def zoo(survey: Survey, stackzoo: Path) -> dict[str, Any]:
    return survey(stackzoo)


def by_name(document: Mapping[str, Any]) -> Results:
    return {function["name"]: function for function in document["functions"]}


def compiler_frames(driver: Path) -> Iterator[tuple[str, CompilerFrame]]:
    """Yield (name, frame) of each function in the `.su` file that the compiler wrote."""
    for line in driver.with_suffix(".su").read_text().splitlines():
        place, size, kind = line.split("\t")
        decorated = place.split(":")[-1].lstrip("\x01")
        yield re.sub(r"^[_@]|@\d+$", "", decorated), CompilerFrame(int(size), kind == "dynamic")


def realigns(driver: Path, function: Mapping[str, Any]) -> bool:
    """Return whether an `and esp, ...` stands in the function: then .su counts its padding in another way."""
    code = load_image(driver).read(function["rva"], function["size"])
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    return any(one.mnemonic == "and" and one.op_str.startswith("esp") for one in decoder.disasm(code, 0))


def test_every_function_of_passthrough_is_measured_and_returns(pt: dict[str, Any]) -> None:
    assert len(pt["functions"]) == PASSTHROUGH_FUNCTIONS
    assert pt["summary"]["outcomes"] == {"returned": PASSTHROUGH_FUNCTIONS}


def test_at_least_nine_of_ten_verdicts_of_passthrough_are_exact(pt: dict[str, Any]) -> None:
    verdicts = [function["verdict"] for function in pt["functions"]]
    assert set(verdicts) <= {"exact", "within"}
    assert verdicts.count("exact") >= 0.9 * len(verdicts)


def test_functions_of_stackzoo_return_where_they_can(zoo: dict[str, Any]) -> None:
    outcomes = {name: function["measured"]["outcome"] for name, function in by_name(zoo).items()}
    others = {
        name: outcome
        for name, outcome in outcomes.items()
        if outcome != "returned" and not FRAMELESS_CODE.fullmatch(name)
    }
    assert others == {name: outcome for name, (outcome, _) in ENDS_OTHERWISE.items()}


def test_functions_of_stackzoo_are_exact_where_their_use_is_a_constant(zoo: dict[str, Any]) -> None:
    not_exact = {name: one["verdict"] for name, one in by_name(zoo).items() if one["verdict"] != "exact"}
    assert not_exact.keys() <= RUN_TIME_AMOUNTS | FRAME_HELPERS
    assert {name: not_exact.get(name) for name in RUN_TIME_AMOUNTS} == dict.fromkeys(RUN_TIME_AMOUNTS, "dynamic")


def test_a_path_behind_a_magic_number_a_word_and_a_checksum_is_found(zoo: dict[str, Any], stackzoo: Path) -> None:
    hidden = by_name(zoo)["ZooHiddenDeepPath"]["measured"]
    assert [frame["function"] for frame in hidden["chain"]][-1] == "ZooHiddenBottom"
    assert hidden["depth"] > dict(compiler_frames(stackzoo))["ZooHiddenBottom"].size > 3000


def test_driver_entry_succeeds_before_anything_else_runs(sample: Path, survey: Survey) -> None:
    initialisation = survey(sample)["initialisation"]
    assert (initialisation["outcome"], initialisation["status"]) == ("returned", 0)


def test_most_blocks_are_seen(sample: Path, survey: Survey) -> None:
    figures = [function["measured"] for function in survey(sample)["functions"]]
    assert sum(one["blocks_seen"] for one in figures) >= 0.95 * sum(one["blocks"] for one in figures)


def test_every_verdict_but_exact_has_its_reason(zoo: dict[str, Any], pt: dict[str, Any]) -> None:
    for function in (*zoo["functions"], *pt["functions"]):
        if function["verdict"] != "exact" or function["measured"]["outcome"] != "returned":
            assert function["why"], function["name"]


def test_shares_of_a_chain_add_up_to_its_depth(sample: Path, survey: Survey) -> None:
    for function in survey(sample)["functions"]:
        measured = function["measured"]
        assert sum(frame["bytes"] for frame in measured["chain"]) == measured["depth"], function["name"]
        assert measured["chain"][0]["function"] == function["name"]
        assert measured["own"] <= measured["depth"]


def test_frames_are_those_that_the_compiler_says(sample: Path, survey: Survey) -> None:
    results = by_name(survey(sample))
    compared = 0
    for name, frame in compiler_frames(sample):
        static = results[name]["static"]
        assert (static["own"] is None) == frame.dynamic, name
        if not frame.dynamic and not realigns(sample, results[name]):
            assert (name, static["frame"]) == (name, frame.size)
            compared += 1
    assert compared >= 18


def test_every_run_goes_at_least_as_deep_as_the_frame_that_the_compiler_says(sample: Path, survey: Survey) -> None:
    results = by_name(survey(sample))
    for name, frame in compiler_frames(sample):
        assert results[name]["measured"]["own"] >= frame.size, name


def test_a_chain_is_the_calls_of_the_source(pt: dict[str, Any]) -> None:
    # passthrough/operations.c calls PtLogFileName, and passthrough/log.c PtFormatTime and PtAppendNumber.
    chain = by_name(pt)["PtPostOperationPassThrough"]["measured"]["chain"]
    assert [frame["function"] for frame in chain] == [
        "PtPostOperationPassThrough",
        "PtLogFileName",
        "PtFormatTime",
        "PtAppendNumber",
    ]


def test_recursion_is_counted_frame_by_frame(zoo: dict[str, Any], stackzoo: Path) -> None:
    # (Value & 7) + 1 frames at most; each turn takes the compiler's frame, two arguments and a return address,
    # and the last goes deepest at its call of memcpy, with three.
    frame = dict(compiler_frames(stackzoo))["ZooRecursive"].size
    chain = by_name(zoo)["ZooRecursive"]["measured"]["chain"]
    assert {one["function"] for one in chain} == {"ZooRecursive"}
    assert 1 < len(chain) <= 8
    assert [one["bytes"] for one in chain[:-1]] == [frame + 8 + 4] * (len(chain) - 1)
    assert chain[-1]["bytes"] == frame + 12 + 4


def test_figures_that_the_assembly_gives_by_hand(zoo: dict[str, Any]) -> None:
    # Counted in stackzoo/idioms.S: every push 4, every call 4, whatever is taken off ESP as it stands.
    expected = {
        "ZooPushEcxLocal": 4,
        "ZooPushEcxTwice": 4 + 8 + 8 + 4,
        "ZooEnterLeave": 4 + 64 + 4,
        "ZooPopDiscard": 16 + 4,
        "ZooPushPopMove": 4,
        "ZooXchgEsp": 96,
        "ZooCallPop": 4,
        "ZooPushad": 32,
        "ZooPushfd": 8,
        "ZooLeaEsp": 40,
        # `and esp, -8` behind `push ebp` costs 4 where E is a multiple of 8; `and esp, -64` behind two pushes
        # costs 60 at most.
        "ZooAndEsp8": 4 + 4 + 24,
        "ZooAndEsp64": 8 + 60 + 128 + 8 + 4,
    }
    results = by_name(zoo)
    assert {name: results[name]["measured"]["own"] for name in expected} == expected
    assert {name: results[name]["static"]["own"] for name in expected} == expected


def test_the_table_says_what_the_document_says(stackemu: Stackemu, passthrough: Path, pt: dict[str, Any]) -> None:
    done = stackemu("run", passthrough, "--func", "Pt*")
    assert (done.returncode, done.stderr) == (0, "")
    # depth, bound, own/static, frame, locals, verdict, name; what a chain is folded to begins with blanks and '>'.
    rows = re.findall(r"^ *(\d+) +\S+ +\S+ +\d+ +\d+  (\S+) +(\w+)", done.stdout, re.MULTILINE)
    expected = sorted((one["measured"]["depth"], one["verdict"], one["name"]) for one in pt["functions"])
    assert sorted((int(depth), verdict, name) for depth, verdict, name in rows) == expected
