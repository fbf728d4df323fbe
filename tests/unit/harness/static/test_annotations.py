"""Files of annotations: what they say, what is out of date, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stackemu.emu.errors import InputError
from stackemu.harness.session import Driver
from stackemu.harness.static.annotations import Annotations, load_annotations

CALLER = """
8b442404  mov eax, dword ptr [esp + 4]
ff10      call dword ptr [eax]
c3        ret
"""
LEAF = "c3  ret\n"


@pytest.fixture
def driver(make_driver: Callable[..., Driver]) -> Driver:
    return make_driver({"PtCall": CALLER, "PtLeaf": LEAF})


def load(driver: Driver, tmp_path: Path, text: str | bytes) -> Annotations:
    path = tmp_path / "known.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_annotations(path, driver.image, driver.functions)


def test_every_section_is_read(driver: Driver, tmp_path: Path) -> None:
    known = load(
        driver,
        tmp_path,
        """
        [indirect]
        "PtCall+0x4" = { targets = ["PtLeaf"], code = "ff10" }
        "0x1000" = { targets = [] }
        [api-cost]
        ZwCreateFile = 2048
        [recursion]
        PtLeaf = 16
        """,
    )
    base = driver.image.base
    assert known.indirect == {0x1004: (base + 0x1100,), 0x1000: ()}
    assert known.api_cost == {"ZwCreateFile": 2048}
    assert known.recursion == {base + 0x1100: 16}
    assert known.warnings == ()


def test_a_call_site_that_has_changed_is_left_out_with_a_warning(driver: Driver, tmp_path: Path) -> None:
    known = load(driver, tmp_path, '[indirect]\n"PtCall+0x4" = { targets = ["PtLeaf"], code = "ff5208" }\n')
    assert known.indirect == {}
    (warning,) = known.warnings
    assert "[indirect] PtCall+0x4 is left out: the call site has changed: there is ff10c3, not ff5208" in warning


def test_a_call_site_outside_the_code_is_left_out_with_a_warning(driver: Driver, tmp_path: Path) -> None:
    known = load(driver, tmp_path, '[indirect]\n"0x900000" = { targets = [] }\n')
    assert known.indirect == {}
    assert "there is no code" in known.warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[indirect\n", "not a file of annotations"),
        ("[indirects]\n", "not a file of annotations"),
        ('[indirect]\n"PtCall+4" = { targets = [] }\n', "neither like 0x1520"),
        ('[indirect]\n"PtCall+0x4" = { targets = ["Nobody"] }\n', "the driver has no function Nobody"),
        ('[indirect]\n"PtCall+0x4" = { targets = [], code = "xy" }\n', "no row of bytes"),
        ("[recursion]\nPtLeaf = 0\n", "is not a number from 1"),
        ('[api-cost]\nZwClose = "much"\n', "not a file of annotations"),
        (b"\xff\xfe\x00", "not a file of annotations"),
        (b"#" * ((1 << 20) + 1), "more than 1048576 bytes"),
    ],
)
def test_what_cannot_be_meant_is_refused(driver: Driver, tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        load(driver, tmp_path, text)
    assert "known.toml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(driver: Driver, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_annotations(tmp_path / "absent.toml", driver.image, driver.functions)
