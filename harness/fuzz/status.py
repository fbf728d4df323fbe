"""The status line of a campaign, as fuzzers print it."""

from __future__ import annotations

from stackemu.harness.fuzz.progress import Progress
from stackemu.harness.printable import printable

_MINUTE, _HOUR = 60, 3600


def status_line(progress: Progress) -> str:
    """Return where a campaign stands, in one line.

    `#executions cov: basic blocks seen/there (+new) deep: bytes (function) corp: inputs kept exec/s: rate
    lastfind: how long ago crash: different ones uptime: how long`.
    """
    last = duration(progress.last_find) if progress.last_find is not None else "never"
    return (
        f"#{progress.executions} cov: {progress.blocks_seen}/{progress.blocks} (+{progress.blocks_new}) "
        f"deep: {progress.deepest} bytes ({printable(progress.deepest_function) or '-'}) corp: {progress.corpus} "
        f"exec/s: {progress.rate:.0f} lastfind: {last} crash: {progress.crashes} uptime: {duration(progress.seconds)}"
    )


def news(progress: Progress) -> tuple[int, int, int]:
    """Return what differs between two moments when something was found between them that people wait for."""
    return progress.blocks_seen, progress.deepest, progress.crashes


def duration(seconds: float) -> str:
    """Return a time in words: `7s`, `2m07s`, `1h02m`."""
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
