"""The emulated kernel's own memory: what its functions remember from one call to the next."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import TypeVar

from stackemu.emu.image import Image
from stackemu.emu.inputs import PAGE
from stackemu.emu.kernel.roots import Root

POOL_BASE = 0x85000000
POOL_SIZE = 0x00F00000
"""Kernel addresses that `KernelState.reserve` hands out, below the arena of untyped pointers."""
_POOL_ALIGNMENT = 16
MAX_ROOTS = 4096

T = TypeVar("T")


@dataclass(slots=True)
class Pool:
    """Addresses handed out so far."""

    next: int = POOL_BASE


@dataclass(slots=True)
class Records:
    """What the driver showed of itself: the functions it asked to be called back at, and odd behaviour."""

    roots: dict[Root, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    unmodelled: dict[str, int] = field(default_factory=dict)
    """Kernel functions without behaviour of their own that were called, with the address behind the first call:
    the input decided their results."""


class KernelState:
    """State by family: each family of kernel functions keeps a dataclass of its own here.

    `keep` makes the present state the one that `reset` goes back to.
    """

    def __init__(self, image: Image) -> None:
        """Start with nothing remembered."""
        self.image = image
        self._states: dict[type, object] = {}
        self._kept: bytes = pickle.dumps({})
        self._is_changed = False
        self._left_checkpoint = True

    def of(self, kind: type[T]) -> T:
        """Return the state of this type, made by calling the type when there is none yet."""
        self._is_changed = self._left_checkpoint = True
        state = self._states.get(kind)
        if not isinstance(state, kind):
            state = self._states[kind] = kind()
        return state

    def reserve(self, size: int) -> int:
        """Return an address with room for `size` bytes, 0 when the pool is used up; nothing is mapped yet."""
        pool = self.of(Pool)
        address = pool.next
        size = max(size, 1) + _POOL_ALIGNMENT  # room between allocations, as pool headers take
        if address + size > POOL_BASE + POOL_SIZE:
            return 0
        pool.next = (address + size + _POOL_ALIGNMENT - 1) & -_POOL_ALIGNMENT
        return address

    @property
    def records(self) -> Records:
        """Return what the driver showed of itself so far."""
        return self.of(Records)

    def add_root(self, root: Root) -> None:
        """Remember a function that the driver wants to be called at; addresses outside the image are not its own."""
        roots = self.records.roots
        if self.image.is_code(root.address - self.image.base) and len(roots) < MAX_ROOTS:
            roots.setdefault(root)

    def reset(self) -> None:
        """Go back to the state of the last `keep`."""
        if self._is_changed:
            self._states = pickle.loads(self._kept)
            self._is_changed = False
        records = self._states.get(Records)
        if isinstance(records, Records):
            records.notes.clear()
            records.unmodelled.clear()

    def checkpoint(self) -> bytes:
        """Return the present state, for `go_back`."""
        self._left_checkpoint = False
        return pickle.dumps(self._states)

    def go_back(self, checkpoint: bytes) -> None:
        """Go back to the last `checkpoint`."""
        if self._left_checkpoint:
            self._states = pickle.loads(checkpoint)
            self._left_checkpoint = False

    @property
    def snapshot(self) -> bytes:
        """Return what `reset` goes back to."""
        return self._kept

    @property
    def pool_end(self) -> int:
        """Return the address from where on runs are given pool memory that start from what `reset` goes back to."""
        states: dict[type, object] = pickle.loads(self._kept)
        pool = states.get(Pool)
        return pool.next if isinstance(pool, Pool) else POOL_BASE

    def start_from(self, snapshot: bytes) -> None:
        """Make a snapshot what `reset` goes back to."""
        self._kept = snapshot
        self._is_changed = True

    def keep(self) -> None:
        """Make the present state what `reset` goes back to.

        Later allocations lie in pages of their own, so that their first content is that of later inputs.
        """
        pool = self.of(Pool)
        pool.next = (pool.next + PAGE - 1) & -PAGE
        self._kept = pickle.dumps(self._states)
