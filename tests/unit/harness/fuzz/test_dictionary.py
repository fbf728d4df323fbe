"""Words for mutation: what a driver's source compares its input with is among them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stackemu.emu.code.model import CodeModel
from stackemu.emu.slots import MAX_SLOT_SIZE
from stackemu.harness.fuzz.dictionary import MAX_TOKENS, tokens_of
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
