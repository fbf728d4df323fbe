"""The live view: what it draws fits the terminal, and names cannot change it."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from made_campaign import PROGRESS
from rich.console import Console

from stackemu.harness.fuzz.live import LiveView, picture
from stackemu.harness.fuzz.progress import Crash, Standing

HOSTILE = "Wide\x1b[31m" + "x" * 300


def _standing(name: str, depth: int) -> Standing:
    return Standing(
        function=name,
        rva=0x1000,
        role="IRP_MJ_READ",
        own=depth,
        depth=depth,
        outcome="returned",
        chain=((name, depth),),
        before=(),
        input_size=2,
        witness=None,
    )


def _drawn(standings: list[Standing], crashes: list[Crash], height: int = 24, width: int = 80) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, force_terminal=False)
    console.print(picture("zoo.sys", PROGRESS, standings, crashes, height))
    return stream.getvalue().splitlines()


def test_it_shows_what_matters() -> None:
    text = "\n".join(_drawn([_standing("Deep", 1229)], [Crash("bugcheck", "Bad", "KeBugCheckEx(0xf7)", None)]))
    for words in ("zoo.sys", "30 of 40 blocks 75.0 %", "last find 3s ago", "1229", "10.0 %", "IRP_MJ_READ", "Deep"):
        assert words in text
    assert "KeBugCheckEx(0xf7)" in text


@pytest.mark.parametrize("height", [10, 12, 24, 50])
def test_it_is_no_higher_and_no_wider_than_the_terminal(height: int) -> None:
    standings = [_standing(f"{HOSTILE}{index}", 100) for index in range(100)]
    crashes = [Crash("fault", HOSTILE, HOSTILE, None)] * 9
    lines = _drawn(standings, crashes, height)
    assert len(lines) <= height
    assert all(len(line) <= 80 for line in lines)
    assert "\x1b[31m" not in "".join(lines)


def test_pictures_that_follow_each_other_too_soon_are_left_out() -> None:
    stream = io.StringIO()
    with LiveView("zoo.sys", Console(file=stream, width=80, height=24, force_terminal=True)) as view:
        view.show(PROGRESS, [_standing("First", 8)], [])
        view.show(PROGRESS, [_standing("Second", 8)], [])
    assert "First" in stream.getvalue()
    assert "Second" not in stream.getvalue()


def test_the_whole_picture() -> None:
    # 30 of 40 blocks are three quarters of the bar's 40 columns; 1229 and 8 of 12,288 bytes are 10.0 % and 0.1 %.
    chain = (("Deep", 29), ("Format", 400), ("Format", 400), ("Format", 400))
    deep = replace(_standing("Deep", 1229), chain=chain)
    helper = replace(_standing("Helper", 8), role=None, chain=())
    assert [line.rstrip() for line in _drawn([deep, helper], [Crash("fault", "Bad", "reads 0x0", None)])] == [
        "zoo.sys     up 20s      1000 executions",
        "50 exec/s   2 at work   last find 3s ago",
        "7 inputs    1 crashes   30 new blocks",
        "\u2501" * 30 + " " * 12 + "30 of 40 blocks 75.0 %",
        "",
        "depth  of 12 KiB  role         function > deepest chain",
        " 1229     10.0 %  IRP_MJ_READ  Deep > Format x3",
        "    8      0.1 %  -            Helper",
        "",
        "crash  in   why",
        "fault  Bad  reads 0x0",
    ]


def test_the_last_crashes_are_shown_the_latest_first() -> None:
    crashes = [Crash("fault", f"Bad{index}", "", None) for index in range(9)]
    lines = _drawn([_standing("Deep", 1229)], crashes)
    assert [line.split()[1] for line in lines[-5:]] == ["Bad8", "Bad7", "Bad6", "Bad5", "Bad4"]


def test_only_names_are_cut_where_there_is_no_room() -> None:
    one = replace(
        _standing("Deep", 12000), chain=(("Deep", 6000), *((f"{HOSTILE}{index}", 60) for index in range(100)))
    )
    lines = _drawn([one], [Crash("imbalance", HOSTILE, HOSTILE, None)], width=60)
    assert lines[5].startswith("depth  of 12 KiB  role")
    assert lines[6].startswith("12000     97.7 %  IRP_MJ_READ  Deep > Wide")
    assert lines[9].startswith("imbalance  Wide")
    assert [line.rstrip()[-1] for line in (lines[6], lines[9])] == ["\u2026", "\u2026"]


def test_brackets_are_no_markup() -> None:
    one = replace(_standing("Get[/bold]", 8), role="[red]role[/x]")
    text = "\n".join(_drawn([one], [Crash("[/kind]", "In[/x]", "[bold]why", None)]))
    for words in ("Get[/bold]", "[red]role[/x]", "[/kind]", "In[/x]", "[bold]why"):
        assert words in text


def test_where_there_is_no_terminal_it_is_a_status_line(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    with LiveView("zoo.sys", Console(file=stream, force_terminal=False)) as view:
        view.show(PROGRESS, [_standing("Deep", 1229)], [])
    assert stream.getvalue() == ""
    assert capsys.readouterr().err == (
        "#1000 cov: 30/40 (+30) deep: 1229 bytes (Read) corp: 7 exec/s: 50 lastfind: 3s crash: 1 uptime: 20s\n"
    )
