"""The loader replaces the linker's default cookie, and nothing else."""

from __future__ import annotations

import pytest
from made_images import data_section, made_image

from stackemu.emu.image import Image
from stackemu.emu.security_cookie import DEFAULT_COOKIE, initial_cookie

BASE = 0xA5DE0000


def image(word: int, place: int | None = 0x1010, sha256: str = "00112233" + 56 * "f") -> Image:
    data = bytearray(0x1000)
    data[0x10:0x14] = word.to_bytes(4, "little")
    return made_image((data_section(bytes(data), 0x1000),), sha256=sha256, security_cookie=place)


def test_the_default_is_replaced_by_the_images_own() -> None:
    assert initial_cookie(image(DEFAULT_COOKIE)) == (BASE + 0x1010, 0x00112233)


@pytest.mark.parametrize("sha256", ["0" * 64, "bb40e64e" + "0" * 56, "bb41e64f" + "0" * 56])
def test_no_image_gets_the_default_or_a_half_of_zeros(sha256: str) -> None:
    found = initial_cookie(image(DEFAULT_COOKIE, sha256=sha256))
    assert found is not None
    assert found[1] != DEFAULT_COOKIE
    assert found[1] & 0xFFFF
    assert found[1] >> 16


def test_a_cookie_that_is_no_default_stays() -> None:
    assert initial_cookie(image(0x12345678)) is None
    assert initial_cookie(image(DEFAULT_COOKIE, place=None)) is None
    assert initial_cookie(image(DEFAULT_COOKIE, place=0x900000)) is None
