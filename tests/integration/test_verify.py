"""`stackemu verify`: what debuggers and compilers say of the sample drivers, and what is not true of them."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

DATA = Path(__file__).resolve().parents[1] / "data" / "verify"


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Invoke = Callable[..., Ended]
Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def listing() -> Path:
    """A session of 2011, with its figures from the compiler's assembly."""
    return DATA / "passthrough.ace.log"


@pytest.fixture
def wrong_listing(listing: Path, tmp_path: Path) -> Path:
    """The same, with 4 bytes too many for one function."""
    path = tmp_path / "wrong.log"
    path.write_bytes(listing.read_bytes().replace(b"68 bytes used", b"72 bytes used"))
    return path


def document(ended: Ended, code: int = 0) -> dict[str, Any]:
    assert ended.code == code, ended.err
    result: dict[str, Any] = json.loads(ended.out)
    return result


def verdicts(result: dict[str, Any]) -> Counter[str]:
    return Counter(function["verdict"] for function in result["functions"])


def test_the_listing_of_2011_agrees(invoke: Invoke, passthrough: Path, listing: Path) -> None:
    result = document(invoke("verify", passthrough, "--against", listing, "--format", "json"))
    assert verdicts(result) == {"agree": 13}
    assert result["unmentioned"] == []
    assert result["notes"] == []
    assert result["schema"] == "stackemu.verification/1"
    assert result["source"]["format"] == "!ace.stack_usage listing"


def test_it_agrees_in_utf_16_too(invoke: Invoke, passthrough: Path, listing: Path, tmp_path: Path) -> None:
    path = tmp_path / "utf-16.log"
    path.write_bytes(listing.read_text().encode("utf-16"))
    assert verdicts(document(invoke("verify", passthrough, "--against", path, "--format", "json"))) == {"agree": 13}


def test_what_the_compiler_says_agrees(invoke: Invoke, sample: Path) -> None:
    usage = sample.with_suffix(".su")
    result = document(invoke("verify", sample, "--against", usage, "--format", "json", "--no-run"))
    assert set(verdicts(result)) <= {"agree", "not-measured"}
    assert len(result["functions"]) == len(usage.read_text().splitlines())
    alloca = [function["figures"][0]["part"] for function in result["functions"] if function["verdict"] != "agree"]
    assert set(alloca) <= {"alloca"}


def test_a_stack_trace_agrees_call_by_call(invoke: Invoke, stackzoo: Path) -> None:
    trace = DATA / "stackzoo.kf.log"
    result = document(invoke("verify", stackzoo, "--against", trace, "--format", "json"))
    by_name = {(one["name"], one["line"]): one for one in result["functions"] if one["verdict"] != "not-in-driver"}
    assert {key: one["verdict"] for key, one in by_name.items()} == {
        ("ZooMovEspEbp", 4): "agree",
        ("ZooMovEspEbp", 12): "agree",
        ("ZooPopDiscard", 17): "agree",
        ("ZooAndEsp64", 22): "agree",
    }
    assert {one["confirmed"] for one in by_name.values()} == {"exact"}


def test_an_earlier_result_of_the_same_driver_agrees(invoke: Invoke, passthrough: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    assert invoke("run", passthrough, "--effort", "quick", "--format", "json", "-o", earlier).code == 0
    result = document(invoke("verify", passthrough, "--against", earlier, "--format", "json"))
    assert set(verdicts(result)) == {"agree"}
    assert result["notes"] == []


def test_a_result_of_another_image_is_said_to_be_one(invoke: Invoke, passthrough: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    assert invoke("static", passthrough, "--format", "json", "-o", earlier).code == 0
    earlier.write_text(re.sub(r'"sha256": "\w+"', '"sha256": "0"', earlier.read_text()))
    result = document(invoke("verify", passthrough, "--against", earlier, "--format", "json", "--no-run"))
    assert "another image" in result["notes"][0]


def test_a_wrong_figure_is_a_contradiction_that_is_named(
    invoke: Invoke, passthrough: Path, wrong_listing: Path
) -> None:
    ended = invoke("verify", passthrough, "--against", wrong_listing)
    assert ended.code == 1
    assert re.fullmatch(
        rf"stackemu: {re.escape(str(wrong_listing))}:7: PtNormalizeNameComponentExCallback: "
        r"locals 72 contradicts the driver's 68: 4 bytes more [^\n]*\n",
        ended.err,
    )
    first_row = ended.out.splitlines()[1].split()
    assert first_row == ["72", "68", "locals", "contradiction", "PtNormalizeNameComponentExCallback"]


def test_without_a_run_it_only_differs(invoke: Invoke, passthrough: Path, wrong_listing: Path) -> None:
    result = document(invoke("verify", passthrough, "--against", wrong_listing, "--no-run", "--format", "json"))
    assert verdicts(result) == {"agree": 12, "differ": 1}


def test_addresses_of_another_build_are_pointed_out(
    invoke: Invoke, passthrough: Path, listing: Path, tmp_path: Path
) -> None:
    path = tmp_path / "moved.log"
    path.write_bytes(listing.read_bytes().replace(b"a5dee034", b"a5dee038"))
    result = document(invoke("verify", passthrough, "--against", path, "--no-run", "--format", "json"))
    assert result["notes"] == ["addresses that do not fit this image: 1 of 13; the source may be of another build"]


def test_a_warning_of_the_compiler_is_an_estimate(invoke: Invoke, passthrough: Path, tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    words = (
        "Function uses '2072' bytes of stack: exceeds /analyze:stacksize '1024'. Consider moving some data to heap."
    )
    log.write_text(
        f"log.c(32): warning C6262: {words}\n\tFUNCTION: PtLogFileName (32)\nlog.c(9): warning C6262: {words}\n"
    )
    result = document(invoke("verify", passthrough, "--against", log, "--format", "json"))
    assert [(one["name"], one["verdict"]) for one in result["functions"]] == [
        ("PtLogFileName", "differ"),
        ("log.c:9", "not-in-driver"),
    ]


def test_csv_has_one_row_a_figure(invoke: Invoke, passthrough: Path, wrong_listing: Path) -> None:
    ended = invoke("verify", passthrough, "--against", wrong_listing, "--format", "csv", "--top", "2")
    wrong, largest = csv.DictReader(ended.out.splitlines())
    assert (wrong["name"], wrong["source"], wrong["driver"], wrong["difference"]) == (
        "PtNormalizeNameComponentExCallback",
        "72",
        "68",
        "4",
    )
    assert (largest["name"], largest["figure"], largest["verdict"]) == ("PtLogFileName", "locals", "agree")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no format that is known"),
        (bytes(range(256)) * 40, "no format that is known"),
        (b"96 bytes used for locals by func: a5dee450 PassThrough!PtNorm (struct _FLT_INST", "cut off"),
        (b"passthrough/log.c:18:_PtFormatTime@8\t52\tsta", "cut off"),
        (b"log.c(32): warning C6262: Function uses '20", "cut off"),
        (b'{"schema": "stackemu.measurement/1", "driver": {"pa', "cut off"),
        (b"kd> kf\n #   Memory  ChildEBP RetAddr\n00           8078ad10 a5de", "cut off"),
    ],
)
def test_bad_input_gives_one_line(
    invoke: Invoke, passthrough: Path, tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "source"
    path.write_bytes(content)
    ended = invoke("verify", passthrough, "--against", path)
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(r"stackemu: [^\n]+\n", ended.err)
    assert words in ended.err


def test_the_driver_is_no_source(invoke: Invoke, passthrough: Path) -> None:
    ended = invoke("verify", passthrough, "--against", passthrough)
    assert ended.code == 2
    assert "no format that is known" in ended.err


def test_the_report_does_not_overwrite_the_source(invoke: Invoke, passthrough: Path, wrong_listing: Path) -> None:
    before = wrong_listing.read_bytes()
    ended = invoke("verify", passthrough, "--against", wrong_listing, "-o", wrong_listing)
    assert ended.code == 2
    assert wrong_listing.read_bytes() == before


def test_exit_codes_reach_the_shell(
    stackemu: Stackemu, passthrough: Path, listing: Path, wrong_listing: Path
) -> None:
    assert stackemu("verify", passthrough, "--against", listing).returncode == 0
    assert stackemu("verify", passthrough, "--against", wrong_listing).returncode == 1
    assert stackemu("verify", passthrough).returncode == 2
