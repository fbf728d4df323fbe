"""Keeps tracer and traced process on one processor while they take turns."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from stackemu.harness.native import ptrace


@contextlib.contextmanager
def on_one_processor(pid: int) -> Iterator[None]:
    """Hold this thread and process `pid` on the processor this thread is on; this thread's own set is restored.

    Only one of the two ever runs. On one processor the kernel switches between them directly, which takes less
    than half the time of waking a sleeping processor. Where the host does not allow it, nothing is moved.
    """
    allowed = os.sched_getaffinity(0)
    current = ptrace.LIBRARY.sched_getcpu()
    try:
        if current in allowed:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, {current})
                os.sched_setaffinity(pid, {current})
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, allowed)
