"""A moment of a campaign made by hand, for what shows campaigns."""

from __future__ import annotations

from stackemu.harness.fuzz.progress import Progress

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
    workers=2,
)
