"""Names of sources found among a driver's functions."""

from __future__ import annotations

import pytest

from stackemu.emu.symbols.function import Function, Kind, Source
from stackemu.harness.verify.claim import Claim
from stackemu.harness.verify.matching import match_claims, misplaced, without_signature


def function(rva: int, name: str, decorated: str | None = None, kind: Kind = Kind.FUNCTION) -> Function:
    return Function(rva, name, Source.PDB_PROCEDURE, decorated=decorated, kind=kind)


def claim(name: str | None, module: str | None = None, address: int | None = None, place: str | None = None) -> Claim:
    return Claim(line=1, figures={}, name=name, module=module, address=address, place=place)


FUNCTIONS = [
    function(0x1000, "PtSetup", "_PtSetup@16"),
    function(0x1100, "C::f", "?f@C@@QAEHH@Z"),
    function(0x1200, "Helper"),
    function(0x1300, "Helper"),
    function(0x1400, "DbgPrint", kind=Kind.IMPORT_THUNK),
]


def found(one: Claim, *others: Claim) -> list[int]:
    return [function.rva for function in match_claims([one, *others], FUNCTIONS, "PassThrough")[0].functions]


@pytest.mark.parametrize(
    ("name", "rva"),
    [
        ("PtSetup", 0x1000),
        ("_PtSetup@16", 0x1000),
        ("@PtSetup@16", 0x1000),
        ("C::f", 0x1100),
        ("?f@C@@QAEHH@Z", 0x1100),
        ("int C::f(int)", 0x1100),
    ],
)
def test_a_name_is_found_with_and_without_decoration(name: str, rva: int) -> None:
    assert found(claim(name)) == [rva]


def test_modules_are_compared_without_regard_to_case() -> None:
    assert found(claim("PtSetup", module="PASSTHROUGH")) == [0x1000]
    assert found(claim("PtSetup", module="nt")) == []


def test_an_import_thunk_is_no_function_of_the_driver() -> None:
    assert found(claim("DbgPrint")) == []


def test_an_address_decides_between_functions_of_one_name() -> None:
    elsewhere = claim("PtSetup", address=0xF7001000)
    assert found(claim("Helper", address=0xF7001300), elsewhere) == [0x1300]
    assert found(claim("Helper"), elsewhere) == [0x1200, 0x1300]


def test_a_function_named_by_its_place_alone_is_not_found() -> None:
    [match] = match_claims([claim(None, place="names.c:76")], FUNCTIONS, "PassThrough")
    assert match.functions == ()
    assert "place" in (match.why or "")


def test_addresses_of_another_build_are_counted() -> None:
    claims = [claim("PtSetup", address=0x1000), claim("C::f", address=0x1100), claim("?f@C@@QAEHH@Z", address=0x1104)]
    assert misplaced(match_claims(claims, FUNCTIONS, "PassThrough")) == (1, 3)


@pytest.mark.parametrize(
    ("signature", "name"),
    [
        ("int N::A::f(int)", "N::A::f"),
        ("void N::t(std::map<int, char>) [with T = int]", "N::t"),
        ("int std::map<int, char>::f(int)", "std::map<int, char>::f"),
        ("char* f()", "f"),
        ("A::A(int)", "A::A"),
        ("bool A::operator()(int) const", "bool A::operator()(int) const"),
        ("f", "f"),
    ],
)
def test_a_signature_is_reduced_to_the_qualified_name(signature: str, name: str) -> None:
    assert without_signature(signature) == name
