"""Callbacks that are called with the very words that they were registered with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.roots import Root, Words


def _words(_context: Context, root: Root) -> Words:
    return Words(root.context)


ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"plain": _words}
