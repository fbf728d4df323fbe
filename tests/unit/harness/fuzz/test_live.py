"""The live view: what it draws fits the terminal, and names cannot change it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stackemu.harness.fuzz.live import LiveView, picture
from stackemu.harness.fuzz.progress import Crash, Progress, Standing

PROGRESS = Progress(
    executions=1000,
    rate=50.0,
    seconds=20.0,
    blocks_seen=30,
    blocks=40,
    blocks_new=30,
    deepest=1229,
    deepest_function="Deep",
    corpus=7,
    crashes=1,
    last_find=3.0,
    workers=2,
)
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


@pytest.mark.parametrize("height", [12, 24, 50])
def test_it_is_no_higher_and_no_wider_than_the_terminal(height: int) -> None:
    standings = [_standing(f"{HOSTILE}{index}", 100) for index in range(100)]
    crashes = [Crash("fault", HOSTILE, HOSTILE, None)] * 9
    lines = _drawn(standings, crashes, height)
    assert len(lines) <= max(height, 16)
    assert all(len(line) <= 80 for line in lines)
    assert "\x1b[31m" not in "".join(lines)


def test_pictures_that_follow_each_other_too_soon_are_left_out() -> None:
    stream = io.StringIO()
    with LiveView("zoo.sys", Console(file=stream, width=80, height=24, force_terminal=True)) as view:
        view.show(PROGRESS, [_standing("First", 8)], [])
        view.show(PROGRESS, [_standing("Second", 8)], [])
    assert "First" in stream.getvalue()
    assert "Second" not in stream.getvalue()
