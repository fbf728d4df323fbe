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
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Input:
    """One input: `succeed` says whether APIs succeed (None: each call decides on its own)."""

    seed: int
    style: Style
    succeed: bool | None

    @property
    def label(self) -> str:
        """Return a text that names this input: it is its witness until byte streams exist."""
        outcome = {True: "succeed", False: "fail", None: "either"}[self.succeed]
        return f"seed={self.seed},memory={self.style.name.lower()},apis={outcome}"

    def page(self, address: int) -> bytes:
        """Return the 4,096 bytes of a page that is touched for the first time."""
        return _page(self, address)

    def argument(self, index: int, is_pointer: bool | None) -> int:
        """Return the argument at `index`; `is_pointer` None means that its type is not known."""
        if is_pointer or (is_pointer is None and self.style is Style.POINTERS):
            return pointer(index)
        return self._word("argument", index)

    def register(self, number: int) -> int:
        """Return what an unspecified register holds at a function's entry: a pointer."""
        return pointer(32 + number)

    def succeeds(self, call: int) -> bool:
        """Return whether the API call with this ordinal in the run succeeds."""
        if self.succeed is not None:
            return self.succeed
        return self._generator("outcome", call).random() < 0.6

    def status(self, call: int) -> int:
        """Return an NTSTATUS for the API call with this ordinal."""
        if self.succeeds(call):
            return STATUS_SUCCESS
        return self._generator("status", call).choice(_FAILURES)

    def result(self, call: int) -> int:
        """Return an integer result for the API call with this ordinal."""
        return self._word("result", call)

    def object(self, call: int) -> int:
        """Return the address of a new object for the API call with this ordinal."""
        return ARENA_BASE + 0x01000000 + (call % 0x400) * 0x4000

    def _generator(self, purpose: str, key: int) -> random.Random:
        text = f"{self.seed}/{self.style.name}/{self.succeed}/{purpose}/{key}"
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return random.Random(int.from_bytes(digest, "little"))

    def _word(self, purpose: str, key: int) -> int:
        return self._generator(purpose, key).choice(_vocabulary(self))


def pointer(index: int) -> int:
    """Return the address of the arena's object `index`; each object has a page of its own, and room above."""
    return ARENA_BASE + (index % ARENA_OBJECTS) * 0x4000 + 0x100


@functools.lru_cache(maxsize=64)
def _vocabulary(source: Input) -> tuple[int, ...]:
    """Return the 256 words that this input's memory is made of, in the proportions of its style."""
    generator = source._generator("vocabulary", 0)
    words = []
    for kind in generator.choices(range(4), source.style.value, k=256):
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
def _page(source: Input, address: int) -> bytes:
    vocabulary = _vocabulary(source)
    choices = source._generator("page", address).randbytes(PAGE // 4)
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
