"""`.su` files of clang and GCC."""

from __future__ import annotations

import pytest

from stackemu.emu.errors import InputError
from stackemu.harness.verify import su
from stackemu.harness.verify.claim import Claim, Figure


def read(text: str) -> list[Claim]:
    return list(su.read(text.split("\n"), "x.su").claims)


def test_clang_writes_no_column() -> None:
    [claim] = read("passthrough/log.c:18:\x01_PtFormatTime@8\t52\tstatic\n")
    assert claim.figures == {Figure.CLANG_FRAME: 52}
    assert (claim.name, claim.place, claim.line) == ("_PtFormatTime@8", "passthrough/log.c:18", 1)
    assert not claim.dynamic


# Written by i686-w64-mingw32-gcc 12 for C, by g++ 12 for C++.
@pytest.mark.parametrize(
    ("line", "name", "figures", "dynamic"),
    [
        ("a.c:2:39:f\t80\tstatic", "f", {Figure.GCC_FRAME: 80}, False),
        ("a.c:4:39:d\t44\tdynamic", "d", {Figure.GCC_FRAME: 44}, True),
        ("a.c:3:39:h\t144\tdynamic,bounded", "h", {Figure.GCC_BOUNDED: 144}, False),
        ("c.cpp:1:112:int N::A::f(int)\t48\tstatic", "int N::A::f(int)", {Figure.GCC_FRAME: 48}, False),
    ],
)
def test_gcc_writes_a_column(line: str, name: str, figures: dict[Figure, int], dynamic: bool) -> None:
    [claim] = read(line)
    assert (claim.name, claim.figures, claim.dynamic) == (name, figures, dynamic)


@pytest.mark.parametrize("file", ["C:\\src\\a.c", "C:/src/a b.c", "a.c", "/src/a:b.c"])
@pytest.mark.parametrize("name", ["_f@8", "@f@8", "?f@C@@QAEXXZ", "_ZN1C1fEv", "f.constprop.0"])
def test_files_and_names_are_told_apart(file: str, name: str) -> None:
    [claim] = read(f"{file}:12:{name}\t8\tstatic")
    assert (claim.name, claim.place) == (name, f"{file}:12")


@pytest.mark.parametrize(
    "line",
    [
        "a.c:1:f\t8",
        "a.c:1:f\t8\tsta",
        "a.c:1:f\tx\tstatic",
        "a.c:1:\t8\tstatic",
        "a.c\t8\tstatic",
        "f",
        "a.c:1:f\t-8\tstatic",
    ],
)
def test_a_line_of_another_form_is_refused_by_its_number(line: str) -> None:
    with pytest.raises(InputError, match=r"^x\.su:2: .*cut off"):
        read(f"a.c:1:g\t0\tstatic\n{line}")
