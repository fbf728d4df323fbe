"""Decorated names; the C++ ones agree with `llvm-undname-16`."""

from __future__ import annotations

import random
import time

import pytest

from stackemu.emu.symbols.names import convention_of, undecorate


@pytest.mark.parametrize(
    ("decorated", "name", "convention", "size"),
    [
        ("_PtUnload@4", "PtUnload", "stdcall", 4),
        ("DriverEntry@8", "DriverEntry", "stdcall", 8),
        ("__SEH_prolog@4", "_SEH_prolog", "stdcall", 4),
        ("@f@8", "f", "fastcall", 8),
        ("f@@16", "f", "vectorcall", 16),
        ("_name", "name", "cdecl", None),
        ("name", "name", "", None),
        ("_", "_", "cdecl", None),
        ("", "", "", None),
        ("__imp__X@4", "__imp_X", "stdcall", 4),
        ("__imp_@X@4", "__imp_X", "fastcall", 4),
        ("?f@@YGHH@Z", "f", "stdcall", None),
        ("?f@C@ns@@QAEXXZ", "ns::C::f", "thiscall", None),
        ("?f@C@@SIXXZ", "C::f", "fastcall", None),
        ("??0Foo@@QAE@XZ", "Foo::Foo", "thiscall", None),
        ("??1Foo@ns@@UAE@XZ", "ns::Foo::~Foo", "thiscall", None),
        ("??2@YAPAXI@Z", "operator new", "cdecl", None),
        ("??HFoo@@QAEAAV0@ABV0@@Z", "Foo::operator+", "thiscall", None),
        ("?foo@?$bar@HPAUx@@@ns@@SAPAXPAUx@@@Z", "ns::bar<int,x *>::foo", "cdecl", None),
        ("?dtor$1@?0?Foo@4HA", "?dtor$1@?0?Foo@4HA", "", None),
        ("?", "?", "", None),
        ("??", "??", "", None),
        ("?\x1b[0m@@YGHH@Z", "?\x1b[0m@@YGHH@Z", "", None),
    ],
)
def test_known_forms(decorated: str, name: str, convention: str, size: int | None) -> None:
    assert undecorate(decorated) == name
    assert convention_of(decorated) == (convention, size)


def test_long_and_deep_names_come_back_at_once() -> None:
    started = time.perf_counter()
    for name in ("?" + "A@" * 5000, "??0" + "?$a@V" * 200, "?" + "?$A@" * 200, "__imp_" * 2000, "_" * 100_000):
        assert undecorate(name)
        assert convention_of(name) is not None
    assert time.perf_counter() - started < 1


def test_the_demangler_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Wine's code writes `Unknown operator` to stdout, where `--format json` writes its document."""
    generator = random.Random(2)
    seeds = ("?f@@YGHH@Z", "??0Foo@@QAE@XZ", "?foo@?$bar@HPAUx@@@ns@@SAPAXPAUx@@@Z", "?x@?1??f@@YAHXZ@4HA")
    alphabet = "?@$ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_abc"
    for _ in range(5000):
        name = list(generator.choice(seeds))
        for _ in range(generator.randrange(1, 5)):
            name[generator.randrange(len(name))] = generator.choice(alphabet)
        undecorate("?" + "".join(name[1:]))
    assert capfd.readouterr().out == ""
