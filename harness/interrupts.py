"""Ctrl-C held back while a process is started, so that it is neither lost nor met unprepared."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold SIGINT back: in the midst of a fork Python would lose it, and the new process inherits that it is held.

    Where a system has no signal masks nothing is held, since nothing is forked there.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
