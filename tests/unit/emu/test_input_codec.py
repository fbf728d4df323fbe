"""Inputs as bytes: exact examples worked out by hand from the format, round trips, and bytes from strangers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackemu.emu.input_codec import MAX_OVERRIDES, decode, encode
from stackemu.emu.inputs import ARENA_BASE, Input, Override, Place, Style
from stackemu.emu.slots import MAX_SLOT_SIZE

ZERO = Input(0, Style.ZEROS, succeed=True)


def _memory(draw_key: int, value: int, size: int) -> Override:
    return Override(Place.MEMORY, draw_key, value % (1 << 8 * size), size)


WORDS = st.integers(0, (1 << 32) - 1)
OVERRIDES = st.one_of(
    st.builds(_memory, WORDS, st.integers(0, (1 << 512) - 1), st.integers(1, MAX_SLOT_SIZE)),
    st.builds(Override, st.sampled_from([one for one in Place if one is not Place.MEMORY]), WORDS, WORDS),
)
INPUTS = st.builds(
    Input,
    st.integers(0, (1 << 64) - 1),
    st.sampled_from(Style),
    st.sampled_from([None, False, True]),
    st.lists(OVERRIDES, max_size=20).map(tuple),
)


@pytest.mark.parametrize(
    ("source", "data"),
    [
        # version 1 (0x40), style ZEROS = 1 (0x04), succeed = 2; seed 0
        (ZERO, "46 00"),
        # style MIXED = 3 (0x0c), either = 0; seed 300 = 0b10_0101100
        (Input(300, Style.MIXED, None), "4c ac 02"),
        # memory is place 0, size 4 (0x30); 0x100 beyond the arena's begin, zigzag 0x200 = 0b100_0000000
        (ZERO.with_override(Override(Place.MEMORY, ARENA_BASE + 0x100, 0x44332211)), "46 00 30 80 04 11 22 33 44"),
        # argument is place 1: number 2, value 7
        (ZERO.with_override(Override(Place.ARGUMENT, 2, 7)), "46 00 01 02 07"),
    ],
    ids=["zero", "seed and style", "memory", "argument"],
)
def test_the_format(source: Input, data: str) -> None:
    assert encode(source) == bytes.fromhex(data)
    assert decode(bytes.fromhex(data)) == source


def test_a_neighbour_in_memory_takes_two_bytes_and_its_value() -> None:
    source = ZERO.with_override(Override(Place.MEMORY, ARENA_BASE + 0x100, 1))
    further = source.with_override(Override(Place.MEMORY, ARENA_BASE + 0x104, 2))
    assert encode(further) == encode(source) + bytes.fromhex("30 00 02 00 00 00")


@given(INPUTS)
def test_what_is_decoded_is_what_was_encoded(source: Input) -> None:
    assert decode(encode(source)) == source


@given(st.binary(max_size=64))
def test_bytes_from_strangers_are_an_input_with_these_bytes_or_none(data: bytes) -> None:
    try:
        source = decode(data)
    except ValueError:
        return
    assert encode(source) == data


@given(INPUTS, st.data())
def test_what_is_cut_off_is_no_input_or_another(source: Input, data: st.DataObject) -> None:
    whole = encode(source)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        other = decode(cut)
    except ValueError:
        return
    assert other != source


@pytest.mark.parametrize(
    "data",
    [
        "",
        "46",
        "06 00",
        "7f 00",
        "46 80",
        "46 80 00",
        "46 00 07 00 00",
        "46 00 11 00 00",
        "46 00 f0 05 00 0000000000",
        "46 ff ff ff ff ff ff ff ff ff 02",
        "46 00 01 02 80 80 80 80 10",
        "46 00 00 ff ff ff ff 7f 00",
        "46 00 f0 41 00" + "00" * 65,
        "46 00 30 00 11 22 33",
        "46 00 30 00 11 22 33 44 55",
    ],
    ids=[
        "nothing",
        "no seed",
        "another version",
        "a style that does not exist",
        "a number without end",
        "a number that is longer than it has to be",
        "a place that does not exist",
        "a size where there is none",
        "a size that is longer than it has to be",
        "a number of 65 bits",
        "a word of 33 bits",
        "an address below zero",
        "65 bytes of memory",
        "a value that is cut off",
        "bytes left over",
    ],
)
def test_malformed_bytes_are_refused(data: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(bytes.fromhex(data))


def test_memory_holds_as_much_of_a_value_as_fits() -> None:
    wide = Override(Place.MEMORY, ARENA_BASE, 0x1FF, 1)
    assert encode(ZERO.with_override(wide)) == bytes.fromhex("46 00 00 00 ff")


@pytest.mark.parametrize(
    "override",
    [
        Override(Place.ARGUMENT, 0, 1 << 32),
        Override(Place.ARGUMENT, -1, 0),
        Override(Place.MEMORY, 1 << 32, 0),
        Override(Place.MEMORY, ARENA_BASE, 0, MAX_SLOT_SIZE + 1),
        Override(Place.MEMORY, ARENA_BASE, 0, 0),
    ],
    ids=["a wide value", "a key below zero", "an address beyond 4 GiB", "too much memory", "no memory"],
)
def test_what_could_not_be_read_back_is_not_written(override: Override) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode(ZERO.with_override(override))


def test_the_number_of_overrides_is_bounded() -> None:
    with pytest.raises(ValueError, match="overrides"):
        decode(bytes.fromhex("4600") + bytes.fromhex("010000") * (MAX_OVERRIDES + 1))
