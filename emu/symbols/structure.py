"""A structure of the driver's source: its size and its members, as debug information tells them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """A member: its name, its C type (`_IRP*`, `unsigned long`, `_UNICODE_STRING`) and its offset in bytes."""

    name: str
    type: str
    offset: int


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure, class or union by its tag; `size` in bytes."""

    name: str
    size: int
    members: tuple[Member, ...]
