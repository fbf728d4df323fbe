"""Where every unknown byte comes from: arguments, untouched memory and results of kernel APIs.

An input is a seed and a style. Each value depends only on the input and on what is asked for (which
argument, which page, which call), so the same input gives the same run on every machine.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

ARENA_BASE = 0x86000000
"""Kernel pool addresses: what a pointer that nobody typed points to. Pages appear when touched."""
ARENA_OBJECTS = 64
PAGE = 0x1000

STATUS_SUCCESS = 0
STATUS_INVALID_PARAMETER = 0xC000000D
STATUS_INSUFFICIENT_RESOURCES = 0xC000009A
_FAILURES = (STATUS_INVALID_PARAMETER, STATUS_INSUFFICIENT_RESOURCES, 0xC0000034, 0xC0000023)


class Style(enum.Enum):
    """What unknown words tend to be; each value gives the weights of (zero, small, pointer, random)."""

    POINTERS = (0, 0, 1, 0)
    ZEROS = (1, 0, 0, 0)
    SMALL = (1, 3, 1, 0)
    MIXED = (3, 3, 3, 1)
    RANDOM = (1, 2, 1, 4)


class Place(enum.Enum):
    """What an override changes; its key says which one."""

    MEMORY = "memory"
    """The first content of memory; the key is an address."""
    ARGUMENT = "argument"
    REGISTER = "register"
    OUTCOME = "call"
    """Whether an API call succeeds (0 or 1); the key is its ordinal in the run."""
    FAILURE = "status"
    """The NTSTATUS of an API call that fails."""
    RESULT = "result"
    """A number that an API call answers with."""


@dataclass(frozen=True, slots=True)
class Override:
    """One place of an input with a value of its own; `size` is in bytes, for memory."""

    place: Place
    key: int
    value: int
    size: int = 4

    @property
    def label(self) -> str:
        """Return a text that names the place and its value."""
        key = f"{self.key:#x}" if self.place is Place.MEMORY else str(self.key)
        width = f"/{self.size}" if self.size != 4 else ""
        return f"{self.place.value}@{key}{width}={self.value:#x}"

    def hides(self, other: Override) -> bool:
        """Return whether nothing is left of `other` when this one is applied after it."""
        if self.place is not other.place:
            return False
        if self.place is not Place.MEMORY:
            return self.key == other.key
        return self.key <= other.key and other.key + other.size <= self.key + self.size


@dataclass(frozen=True, slots=True)
class Input:
    """One input: `succeed` says whether APIs succeed (None: each call decides on its own)."""

    seed: int
    style: Style
    succeed: bool | None
    overrides: tuple[Override, ...] = ()
    """What differs from what seed and style say; of two for one place the later holds."""

    @property
    def label(self) -> str:
        """Return a text that names this input: it is its witness until byte streams exist."""
        outcome = {True: "succeed", False: "fail", None: "either"}[self.succeed]
        words = [f"seed={self.seed}", f"memory={self.style.name.lower()}", f"apis={outcome}"]
        return ",".join(words + [override.label for override in self.overrides])

    def with_override(self, override: Override) -> Input:
        """Return this input with one place changed."""
        kept = tuple(one for one in self.overrides if not override.hides(one))
        return replace(self, overrides=(*kept, override))

    def _override(self, place: Place, key: int) -> int | None:
        for one in self.overrides:
            if one.place is place and one.key == key:
                return one.value
        return None

    @property
    def memory_overrides(self) -> Iterator[tuple[int, bytes]]:
        """Yield address and bytes of memory that holds something else than seed and style say."""
        for one in self.overrides:
            if one.place is Place.MEMORY:
                yield one.key, (one.value & ((1 << 8 * one.size) - 1)).to_bytes(one.size, "little")

    def page(self, address: int) -> bytes:
        """Return the 4,096 bytes of a page that is touched for the first time."""
        data = _page(self._key, address)
        patched: bytearray | None = None
        for at, value in self.memory_overrides:
            if address - len(value) < at < address + PAGE:
                patched = patched or bytearray(data)
                for index, byte in enumerate(value):
                    if 0 <= at + index - address < PAGE:
                        patched[at + index - address] = byte
        return bytes(patched) if patched is not None else data

    def argument(self, index: int, is_pointer: bool | None) -> int:
        """Return the argument at `index`; `is_pointer` None means that its type is not known."""
        override = self._override(Place.ARGUMENT, index)
        if override is not None:
            return override
        if is_pointer or (is_pointer is None and self.style is Style.POINTERS):
            return pointer(index)
        return self._word("argument", index)

    def overrides_argument(self, index: int) -> bool:
        """Return whether an override says what the argument at `index` is."""
        return self._override(Place.ARGUMENT, index) is not None

    def register(self, number: int) -> int:
        """Return what an unspecified register holds at a function's entry: a pointer."""
        override = self._override(Place.REGISTER, number)
        if override is not None:
            return override
        return pointer(32 + number)

    def succeeds(self, call: int) -> bool:
        """Return whether the API call with this ordinal in the run succeeds."""
        override = self._override(Place.OUTCOME, call)
        if override is not None:
            return bool(override)
        if self.succeed is not None:
            return self.succeed
        return self._generator("outcome", call).random() < 0.6

    def status(self, call: int) -> int:
        """Return an NTSTATUS for the API call with this ordinal."""
        if self.succeeds(call):
            return STATUS_SUCCESS
        return self.failure(call)

    def failure(self, call: int) -> int:
        """Return an NTSTATUS for the API call with this ordinal when it fails."""
        override = self._override(Place.FAILURE, call)
        return override if override is not None else self._generator("status", call).choice(_FAILURES)

    def result(self, call: int) -> int:
        """Return a number that an API call answers with; `call` is 8 times its ordinal plus which number."""
        override = self._override(Place.RESULT, call)
        return override if override is not None else self._word("result", call)

    @property
    def _key(self) -> _Key:
        return (self.seed, self.style, self.succeed)

    def _generator(self, purpose: str, number: int) -> random.Random:
        return _generator(self._key, purpose, number)

    def _word(self, purpose: str, number: int) -> int:
        return self._generator(purpose, number).choice(_vocabulary(self._key))


_Key: TypeAlias = tuple[int, Style, bool | None]
"""What all of an input but its overrides depends on."""


def _generator(key: _Key, purpose: str, number: int) -> random.Random:
    seed, style, succeed = key
    text = f"{seed}/{style.name}/{succeed}/{purpose}/{number}"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "little"))


def pointer(index: int) -> int:
    """Return the address of the arena's object `index`; each object has a page of its own, and room above."""
    return ARENA_BASE + (index % ARENA_OBJECTS) * 0x4000 + 0x100


@functools.lru_cache(maxsize=64)
def _vocabulary(key: _Key) -> tuple[int, ...]:
    """Return the 256 words that this input's memory is made of, in the proportions of its style."""
    generator = _generator(key, "vocabulary", 0)
    words = []
    for kind in generator.choices(range(4), key[1].value, k=256):
        if kind == 0:
            words.append(0)
        elif kind == 1:
            words.append(generator.randrange(1, 64))
        elif kind == 2:
            words.append(pointer(generator.randrange(ARENA_OBJECTS)))
        else:
            words.append(generator.getrandbits(32))
    return tuple(words)


@functools.lru_cache(maxsize=1024)
def _page(key: _Key, address: int) -> bytes:
    vocabulary = _vocabulary(key)
    choices = _generator(key, "page", address).randbytes(PAGE // 4)
    return struct.pack(f"<{PAGE // 4}I", *map(vocabulary.__getitem__, choices))


def default_inputs(seed: int, count: int) -> tuple[Input, ...]:
    """Return `count` inputs that differ in what memory looks like and in whether APIs succeed."""
    plan: list[tuple[Style, bool | None]] = [
        (Style.POINTERS, True),
        (Style.ZEROS, True),
        (Style.MIXED, True),
        (Style.SMALL, True),
        (Style.POINTERS, False),
        (Style.MIXED, None),
        (Style.SMALL, None),
        (Style.RANDOM, None),
    ]
    return tuple(Input(seed + index // len(plan), *plan[index % len(plan)]) for index in range(count))
