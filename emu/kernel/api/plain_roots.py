"""Callbacks that are called with the very words that they were registered with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.irql import set_irql
from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.roots import Root, Words


def plain_words(_context: Context, root: Root) -> Words:
    """Return the words of the registration."""
    return Words(root.context)


def plain_words_at(irql: int) -> Callable[[Context, Root], Words]:
    """Return what raises the IRQL and returns the words of the registration."""

    def build(context: Context, root: Root) -> Words:
        set_irql(context, irql)
        return Words(root.context)

    return build


ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"plain": plain_words}
