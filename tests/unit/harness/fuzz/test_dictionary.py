"""Words for mutation: what a driver's source compares its input with is among them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from stackemu.emu.code.model import CodeModel
from stackemu.emu.slots import MAX_SLOT_SIZE
from stackemu.harness.fuzz.dictionary import MAX_TOKENS, tokens, tokens_of
from stackemu.harness.session import Driver, open_driver

DRIVERS = Path(__file__).parents[4] / "drivers"


def _opened(name: str) -> tuple[Driver, CodeModel]:
    driver = open_driver(DRIVERS / f"{name}.sys")
    return driver, driver.code_model()


def _tokens(name: str, function: str) -> tuple[bytes, ...]:
    driver, model = _opened(name)
    rva = next(one.rva for one in driver.functions if one.name == function)
    return tokens_of(model, driver.image.base + rva)


def test_the_magic_number_of_the_hidden_path_is_among_its_words() -> None:
    source = (DRIVERS / "stackzoo" / "hidden.c").read_text()
    found = re.search(r"#define ZOO_MAGIC (0x[0-9A-F]+)", source)
    assert found is not None
    assert int(found.group(1), 16).to_bytes(4, "little") in _tokens("stackzoo", "ZooHiddenDeepPath")


def test_neighbours_of_a_number_are_there_for_comparisons_of_order() -> None:
    source = (DRIVERS / "stackzoo" / "hidden.c").read_text()
    found = re.search(r"#define ZOO_MAX_LENGTH (\d+)", source)
    assert found is not None
    limit = int(found.group(1))
    widths = (1, 2, 4)
    tokens = _tokens("stackzoo", "ZooHiddenDeepPath")
    # `Length > ZOO_MAX_LENGTH` may be compiled as >= 65 as well as > 64.
    assert any((limit + 1).to_bytes(width, "little") in tokens for width in widths)


@pytest.mark.parametrize("name", ["stackzoo", "passthrough", "ioctl", "echo"])
def test_words_are_few_and_fit_into_a_slot(name: str) -> None:
    driver, model = _opened(name)
    for function in driver.functions:
        tokens = tokens_of(model, driver.image.base + function.rva)
        assert len(tokens) <= MAX_TOKENS
        assert len(set(tokens)) == len(tokens)
        assert all(0 < len(token) <= MAX_SLOT_SIZE for token in tokens)
        assert bytes(4) not in tokens


def test_a_word_that_is_compared_letter_by_letter_is_one_word() -> None:
    source = (DRIVERS / "stackzoo" / "hidden.c").read_text()
    letters = re.findall(r"Buffer\[\d\] != '(.)'", source)
    assert len(letters) == 4
    assert "".join(letters).encode() in _tokens("stackzoo", "ZooHiddenDeepPath")


def test_the_cases_of_a_switch_are_words() -> None:
    """ioctl.h, with CTL_CODE of wdm.h: device type << 16 | function << 2 | method, for any access."""
    header = (DRIVERS / "ioctl" / "ioctl.h").read_text()
    found = re.findall(r"CTL_CODE\(FILE_DEVICE_UNKNOWN, (0x\w+), (METHOD_\w+), FILE_ANY_ACCESS\)", header)
    methods = {"METHOD_BUFFERED": 0, "METHOD_IN_DIRECT": 1, "METHOD_OUT_DIRECT": 2, "METHOD_NEITHER": 3}
    codes = {struct.pack("<I", 0x22 << 16 | int(number, 16) << 2 | methods[method]) for number, method in found}
    assert len(codes) == 6
    assert codes <= set(_tokens("ioctl", "IoctlDeviceControl"))


SUBTRACTIONS = """
    8b 44 24 04           mov eax, dword ptr [esp + 4]
    2d 00 20 22 00        sub eax, 0x222000
    74 0a                 je
    83 e8 24              sub eax, 0x24
    74 05                 je
    48                    dec eax
    74 02                 je
    33 c0                 xor eax, eax
    c2 04 00              ret 4
"""
NEGATIVE = """
    b8 00 e0 dd ff        mov eax, 0xffdde000
    03 44 24 04           add eax, dword ptr [esp + 4]
    83 f8 40              cmp eax, 0x40
    74 00                 je
    c2 04 00              ret 4
"""
FRAME = """
    81 ec 34 12 00 00     sub esp, 0x1234
    81 c4 34 12 00 00     add esp, 0x1234
    83 f8 ff              cmp eax, -1
    3d fe ff ff ff        cmp eax, 0xfffffffe
    c3                    ret
"""


@pytest.fixture
def words(make_driver: Callable[..., Driver]) -> Callable[[str], set[int]]:
    """Return a reader of the 32-bit words of a function that is given as a listing."""

    def read(listing: str) -> set[int]:
        driver = make_driver({"Function": listing})
        found = tokens_of(driver.code_model(), driver.image.base + driver.functions[0].rva)
        return {int.from_bytes(token, "little") for token in found if len(token) == 4}

    return read


def test_cases_that_are_tested_by_one_subtraction_after_the_other_are_words(words: Callable[[str], set[int]]) -> None:
    """0x222000, then 0x24 more, then one more: what the number was, not what is left of it."""
    assert {0x222000, 0x222024, 0x222025} <= words(SUBTRACTIONS)


def test_a_number_is_compared_from_which_the_first_case_was_subtracted(words: Callable[[str], set[int]]) -> None:
    """-0x222000 is 0xFFDDE000; what is equal to 0x40 then was 0x222040."""
    assert {0x222000, 0x222040} <= words(NEGATIVE)


def test_the_size_of_a_frame_and_what_mutation_tries_anyway_are_no_words(words: Callable[[str], set[int]]) -> None:
    assert words(FRAME) == set()


def test_a_string_that_code_refers_to_is_a_word() -> None:
    """The format that stackzoo's ebp.c passes to _snwprintf, in UTF-16."""
    source = (DRIVERS / "stackzoo" / "ebp.c").read_text()
    found = re.search(r'L"(%p[^"]*)"', source)
    assert found is not None
    function = re.findall(r"NTAPI (\w+)\(", source[: found.start()])[-1]
    assert found.group(1).encode("utf-16-le") in _tokens("stackzoo", function)


def test_the_words_of_an_image_are_those_of_all_its_code_and_constants() -> None:
    driver, model = _opened("stackzoo")
    strings, everything = tokens(driver), tokens(driver, model)
    device = "\\Device\\StackZoo".encode("utf-16-le")  # driver.c
    assert device in strings
    assert struct.pack("<I", 0x5A004B1D) not in strings
    assert {device, struct.pack("<I", 0x5A004B1D), b"DEEP"} <= set(everything)
    assert len(everything) == len(set(everything)) <= MAX_TOKENS
