"""The status line: its form is that of other fuzzers, nothing in a name can break it, and it is written sparingly."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_campaign import PROGRESS

from stackemu.harness import output
from stackemu.harness.fuzz.status import duration, news, status_line


def test_the_line() -> None:
    assert status_line(PROGRESS) == (
        "#1000 cov: 30/40 (+30) deep: 1229 bytes (Read) corp: 7 exec/s: 50 lastfind: 3s crash: 1 uptime: 20s"
    )


def test_before_anything_was_found() -> None:
    line = status_line(replace(PROGRESS, last_find=None, deepest=0, deepest_function=""))
    assert "deep: 0 bytes (-)" in line
    assert "lastfind: never" in line


def test_a_name_cannot_move_the_cursor() -> None:
    line = status_line(replace(PROGRESS, deepest_function="Pt\r\x1b[2J"))
    assert "(Pt\\r\\x1b[2J)" in line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0s"), (59.99, "59s"), (60.0, "1m00s"), (127.0, "2m07s"), (3600.0, "1h00m"), (90061.0, "25h01m")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_news_are_code_depth_and_crashes_and_not_that_time_passes() -> None:
    assert news(replace(PROGRESS, executions=10**9, seconds=500.0, rate=1.0)) == news(PROGRESS)
    for change in ({"blocks_seen": 701}, {"deepest": 417}, {"crashes": 4}):
        assert news(replace(PROGRESS, **change)) != news(PROGRESS)


class Clock:
    """A clock that goes on when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(output, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_a_log_gets_a_line_when_there_is_news_and_every_ten_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with output.StatusLine() as line:
        for now, text, mark in (
            (0.0, "first", 1),
            (5.0, "nothing new", 1),
            (6.0, "news", 2),
            (6.5, "news at once again", 3),
            (15.0, "the news that waited", 3),
            (24.9, "nothing new yet", 3),
            (25.0, "ten seconds later", 3),
        ):
            clock.now = 1000.0 + now
            line.show(text, mark)
    assert capsys.readouterr() == ("", "first\nnews\nthe news that waited\nten seconds later\n")


@contextmanager
def _terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Make stderr a terminal of so many columns; yield what reads its output."""
    termios = pytest.importorskip("termios")
    reader, writer = os.openpty()
    try:
        termios.tcsetwinsize(writer, (24, columns))
        with os.fdopen(writer, "w", encoding="utf-8") as stream:
            monkeypatch.setattr(sys, "stderr", stream)
            yield reader
            monkeypatch.undo()
    finally:
        os.close(reader)


def test_on_a_terminal_the_line_is_rewritten_a_few_times_a_second_and_then_removed(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _terminal(80, monkeypatch) as reader:
        with output.StatusLine() as line:
            for text in ("one", "two", "three", "four"):
                line.show(text, 0)
                clock.now += output.REDRAWN / 2 + 0.001
        # EL (ECMA-48, CSI K) erases from the cursor to the end of the line.
        assert os.read(reader, 1000) == b"\r\x1b[Kone\r\x1b[Kthree\r\x1b[K"


@pytest.mark.parametrize(("name", "columns"), [("x" * 100, 49), ("\u6df1" * 100, 48)])
def test_a_line_is_cut_where_it_would_wrap(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # An ideograph takes two columns (UAX #11, East Asian Width W), so that 24 of them fit into 49.
    monkeypatch.setenv("COLUMNS", "200")
    with _terminal(50, monkeypatch) as reader:
        with output.StatusLine() as line:
            line.show(name, 0)
        shown = os.read(reader, 1000).decode()
    width = 1 if name[0] == "x" else 2
    assert shown.count(name[0]) * width == columns
