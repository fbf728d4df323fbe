"""Inputs: what overrides change, and what is left of those before them."""

from __future__ import annotations

from stackemu.emu.inputs import ARENA_BASE, Input, Override, Place, Style

ZERO = Input(0, Style.ZEROS, True)
AT = ARENA_BASE + 0x100


def _bytes(source: Input) -> bytes:
    return source.page(ARENA_BASE)[0x100:0x108]


def test_a_later_override_of_a_place_replaces_the_earlier() -> None:
    source = ZERO.with_override(Override(Place.ARGUMENT, 2, 7)).with_override(Override(Place.ARGUMENT, 2, 9))
    assert source.argument(2, is_pointer=False) == 9
    assert len(source.overrides) == 1


def test_one_byte_changes_one_byte_of_what_was_given_before() -> None:
    source = ZERO.with_override(Override(Place.MEMORY, AT, 0x44332211))
    assert _bytes(source.with_override(Override(Place.MEMORY, AT, 0x99, 1))) == bytes.fromhex("9922334400000000")
    assert _bytes(source.with_override(Override(Place.MEMORY, AT + 3, 0x99, 1))) == bytes.fromhex("1122339900000000")


def test_what_is_covered_wholly_is_forgotten() -> None:
    source = ZERO.with_override(Override(Place.MEMORY, AT + 1, 0x99, 1))
    wider = source.with_override(Override(Place.MEMORY, AT, 0x44332211))
    assert wider.overrides == (Override(Place.MEMORY, AT, 0x44332211),)


def test_an_override_across_two_pages_shows_in_both() -> None:
    source = ZERO.with_override(Override(Place.MEMORY, ARENA_BASE + 0xFFE, 0x44332211))
    assert source.page(ARENA_BASE)[-2:] == b"\x11\x22"
    assert source.page(ARENA_BASE + 0x1000)[:2] == b"\x33\x44"
