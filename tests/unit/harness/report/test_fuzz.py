"""The report of a campaign: the table, what repeats its runs, and the same as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_campaign import PROGRESS

from stackemu.harness.fuzz.progress import Crash, Standing
from stackemu.harness.report.fuzz import render, to_json
from stackemu.harness.report.page import Page

READ = Standing(
    function="Read",
    rva=0x1000,
    role="IRP_MJ_READ",
    own=29,
    depth=1229,
    outcome="returned",
    chain=(("Read", 29), ("Format", 1200)),
    before=("IRP_MJ_DEVICE_CONTROL",),
    input_size=14,
    witness=Path("my corpus/witnesses/Read-1000.json"),
)
LOOP = replace(
    READ, function="Loop", role=None, own=8, depth=8, outcome="budget", chain=(("Loop", 8),), before=(), input_size=2
)
CRASH = Crash("bugcheck", "Check", "KeBugCheckEx(0xf7)", Path("my corpus/crashes/bugcheck-1.json"))


def test_the_report() -> None:
    assert render([READ, LOOP], [CRASH], PROGRESS, Page()) == (
        "depth  of 12 KiB  own  input  function > deepest chain\n"
        " 1229     10.0 %   29     14  Read 29 > Format 1200\n"
        "                                root: IRP_MJ_READ\n"
        "                                after: IRP_MJ_DEVICE_CONTROL\n"
        "  >=8      0.1 %    8      2  Loop 8\n"
        "                                outcome: budget\n"
        "\n"
        "#1000 cov: 30/40 (+30) deep: 1229 bytes (Read) corp: 7 exec/s: 50 lastfind: 3s crash: 1 uptime: 20s\n"
        "the deepest once more: stackemu replay 'my corpus/witnesses/Read-1000.json' --trace\n"
        "bugcheck in Check: KeBugCheckEx(0xf7)\n"
        "  stackemu replay 'my corpus/crashes/bugcheck-1.json'\n"
    )


def test_a_verbose_report_has_the_command_below_each_function() -> None:
    text = render([READ, LOOP], [], PROGRESS, Page(), verbose=True)
    assert text.count("stackemu replay 'my corpus/witnesses/Read-1000.json'") == 2


def test_without_a_corpus_it_says_how_to_have_one() -> None:
    text = render([replace(READ, witness=None)], [], PROGRESS, Page())
    assert "stackemu replay" not in text
    assert "--corpus DIR" in text


def test_what_is_left_out_is_counted() -> None:
    text = render([READ, LOOP], [CRASH] * 7, PROGRESS, Page(), top=1)
    assert "Loop" not in text
    assert "the first 1 of 2 functions; --top N shows more" in text
    assert "the first 5 of 7 crashes; -v shows all" in text


def test_hostile_names_are_printable() -> None:
    evil = "\x1b[2J"
    text = render(
        [replace(READ, function=evil, chain=((evil, 1229),))], [replace(CRASH, function=evil)], PROGRESS, Page()
    )
    assert "\x1b" not in text


def test_json() -> None:
    document = json.loads(to_json([READ], [CRASH], PROGRESS))
    assert document["schema"] == "stackemu.campaign-result/1"
    assert document["functions"] == [
        {
            "name": "Read",
            "rva": 0x1000,
            "root": "IRP_MJ_READ",
            "own": 29,
            "depth": 1229,
            "outcome": "returned",
            "chain": [{"function": "Read", "bytes": 29}, {"function": "Format", "bytes": 1200}],
            "before": ["IRP_MJ_DEVICE_CONTROL"],
            "input_size": 14,
            "witness": "my corpus/witnesses/Read-1000.json",
        }
    ]
    assert document["crashes"][0]["kind"] == "bugcheck"


def test_json_has_integers_only() -> None:
    progress = replace(PROGRESS, rate=49.6, seconds=20.9, last_find=3.9)
    assert json.loads(to_json([], [], progress), parse_float=pytest.fail)["progress"] == {
        "executions": 1000,
        "rate": 50,
        "seconds": 20,
        "blocks_seen": 30,
        "blocks": 40,
        "blocks_new": 30,
        "deepest": 1229,
        "deepest_function": "Read",
        "corpus": 7,
        "crashes": 1,
        "last_find": 3,
        "workers": 2,
    }
    assert json.loads(to_json([], [], replace(PROGRESS, last_find=None)))["progress"]["last_find"] is None


def test_json_holds_a_path_that_is_no_utf8() -> None:
    path = Path("corpus\udcff/Read-1000.json")
    document = json.loads(to_json([replace(READ, witness=path)], [], PROGRESS))
    assert document["functions"][0]["witness"] == r"corpus\xff/Read-1000.json"


def test_frames_that_repeat_are_counted() -> None:
    chain = (("Read", 29), *[("Walk", 12)] * 100)
    assert " 1229     10.0 %   29     14  Read 29 > Walk 12 x100\n" in render(
        [replace(READ, chain=chain)], [], PROGRESS, Page()
    )


def test_the_middle_of_a_long_chain_is_left_out_unless_asked_for() -> None:
    one = replace(READ, chain=tuple((f"F{index}", 1) for index in range(20)))
    assert "F10 1" not in render([one], [], PROGRESS, Page())
    assert "F10 1" in render([one], [], PROGRESS, Page(), verbose=True)


def test_a_function_that_its_chain_does_not_begin_with_is_named_first() -> None:
    one = replace(READ, chain=(("Format", 1229),))
    assert "Read > Format 1229\n" in render([one], [], PROGRESS, Page())


def test_crashes_are_listed_by_kind() -> None:
    crashes = [replace(CRASH, kind=kind, function=name) for kind, name in (("wild-jump", "A"), ("budget", "C"))]
    lines = render([READ], [*crashes, replace(CRASH, function="B")], PROGRESS, Page()).splitlines()
    assert [line.split(" in ")[0] for line in lines if " in " in line] == ["budget", "bugcheck", "wild-jump"]


def test_rows_fit_the_page() -> None:
    one = replace(READ, chain=tuple((f"PtSomeLongerFunction{index}", 60) for index in range(7)))
    for width in (60, 80, 120):
        rows = render([one], [], PROGRESS, Page(width=width)).split("\n\n")[0].splitlines()
        assert len(rows) > 3
        assert max(map(len, rows)) <= width
