"""The status line: its form is that of other fuzzers, and nothing in a name can break it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackemu.harness.fuzz.progress import Progress
from stackemu.harness.fuzz.status import duration, status_line

PROGRESS = Progress(
    executions=123456,
    rate=5432.1,
    seconds=127.9,
    blocks_seen=700,
    blocks=739,
    blocks_new=12,
    deepest=416,
    deepest_function="PtPreOperation",
    corpus=88,
    crashes=3,
    last_find=4.2,
    workers=2,
)


def test_the_line() -> None:
    assert status_line(PROGRESS) == (
        "#123456 cov: 700/739 (+12) deep: 416 bytes (PtPreOperation) corp: 88 exec/s: 5432 "
        "lastfind: 4s crash: 3 uptime: 2m07s"
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
