"""The report of a campaign: the table, what repeats its runs, and the same as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from stackemu.harness.fuzz.progress import Crash, Progress, Standing
from stackemu.harness.report.fuzz import render, to_json
from stackemu.harness.report.page import Page

PROGRESS = Progress(
    executions=1000,
    rate=50.0,
    seconds=20.0,
    blocks_seen=30,
    blocks=40,
    blocks_new=30,
    deepest=1229,
    deepest_function="Read",
    corpus=7,
    crashes=1,
    last_find=3.0,
    workers=0,
)
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
    assert "1 more functions" in text
    assert "and 2 more crashes" in text


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
    assert document["progress"]["executions"] == 1000
