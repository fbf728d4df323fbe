"""Imports that the input alone answers: which they are, and in what order they are listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stackemu.emu.image import Image, Import
from stackemu.harness.report.imports import missing_imports, render
from stackemu.harness.report.page import Page
from stackemu.harness.session import open_driver

IOCTL = Path(__file__).resolve().parents[4] / "drivers" / "ioctl.sys"


def image(name: str, functions: Sequence[str]) -> Image:
    imports = tuple(Import("ntoskrnl.exe", one, None, 0x3000 + 4 * number) for number, one in enumerate(functions))
    return replace(open_driver(IOCTL).image, path=Path(name), imports=imports)


IMAGES = (
    image("a.sys", ["IoCreateDevice", "NobodyKnowsThis", "KeTickCount", "OnlyHere"]),
    image("b.sys", ["NobodyKnowsThis", "ExAllocatePoolWithTag"]),
)


def test_what_most_drivers_import_comes_first() -> None:
    found = [(one.name, one.drivers) for one in missing_imports(IMAGES)]
    assert found == [("NobodyKnowsThis", ("a.sys", "b.sys")), ("OnlyHere", ("a.sys",))]


def test_the_kernels_variables_are_no_functions() -> None:
    assert missing_imports([image("a.sys", ["KeTickCount"])]) == []


def test_the_last_line_counts_functions_once() -> None:
    text = render(IMAGES, Page(width=120))
    assert text.splitlines()[-1].startswith("without behaviour: 2 of 4 functions imported")


def test_where_nothing_is_missing_one_line_says_so() -> None:
    assert render([image("a.sys", ["IoCreateDevice"])], Page()) == "without behaviour: none of 1 functions imported\n"
