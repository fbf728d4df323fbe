"""Places of an input that mutation may change, and what is known of the values that belong there."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

from stackemu.emu.inputs import Input, Override, Place

MAX_SLOT_SIZE = 64
"""Bytes of the largest slot."""


class Kind(enum.IntEnum):
    """How the value of a slot is used, which decides how it is changed (numbers: mutation.h)."""

    BYTES = 0
    """Nothing is known: characters, fields of a structure, numbers."""
    LENGTH = 1
    """A size or a count: boundary values."""
    POINTER = 2
    """An address: null, memory that is there, user-mode memory."""
    STATUS = 3
    """An NTSTATUS."""
    ENUM = 4
    """A small number that names a case."""
    OUTCOME = 5
    """0 or 1: whether a kernel function succeeds."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of an input, as overrides name it (`inputs.Override`); `size` is in bytes."""

    place: Place
    key: int
    size: int = 4
    kind: Kind = Kind.BYTES

    def override(self, value: int) -> Override:
        """Return the override that gives this place a value."""
        return Override(self.place, self.key, value, self.size)


def with_values(source: Input, values: Iterable[tuple[Slot, int]]) -> Input:
    """Return an input in which slots hold other values: what overlaps a changed piece of memory stays around it."""
    for slot, value in values:
        override = slot.override(value)
        if slot.place is not Place.MEMORY:
            source = source.with_override(override)
            continue
        kept = tuple(
            one for one in source.overrides if (one.place, one.key, one.size) != (Place.MEMORY, slot.key, slot.size)
        )
        source = replace(source, overrides=(*kept, override))
    return source
