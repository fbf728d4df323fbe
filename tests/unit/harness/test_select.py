import pytest

from stackemu.emu.errors import UsageError
from stackemu.emu.symbols.function import Function, Kind, Source
from stackemu.harness.select import near_misses, select_functions

NAMES = (
    "DriverEntry",
    "PtCreate",
    "PtNormalizeNameComponentExCallback",
    "Foo::operator!=",
    "Foo::operator[]",
    "?dtor$1@?0?Foo",
    "@@Foo::bar",
    "_start",
)


def function(rva: int, name: str, kind: Kind = Kind.FUNCTION, decorated: str | None = None) -> Function:
    return Function(rva=rva, name=name, name_source=Source.PDB_PROCEDURE, kind=kind, decorated=decorated)


FUNCTIONS = (
    *(function(0x1000 + 16 * index, name) for index, name in enumerate(NAMES)),
    function(0x2000, "PtClose", decorated="_PtClose@8"),
    function(0x3000, "IoCreateDevice", Kind.IMPORT_THUNK),
    function(0x3010, "IoDeleteDevice", Kind.IMPORT_THUNK),
)


def selected(*patterns: str, **options: bool) -> list[str]:
    return [f.name for f in select_functions(FUNCTIONS, "PassThrough.sys", patterns, **options)]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("PtCreate", ["PtCreate"]),
        ("ptcreate", ["PtCreate"]),
        ("PtC*", ["PtCreate", "PtClose"]),
        ("PtC????", ["PtClose"]),
        ("*callback", ["PtNormalizeNameComponentExCallback"]),
        ("PassThrough!PtC*", ["PtCreate", "PtClose"]),
        ("passthrough.SYS!ptcreate", ["PtCreate"]),
        ("pass*!ptcreate", ["PtCreate"]),
        ("*!ptcreate", ["PtCreate"]),
        ("Foo::*", ["Foo::operator!=", "Foo::operator[]"]),
        ("*operator!=", ["Foo::operator!="]),
        ("PassThrough!*operator!=", ["Foo::operator!="]),
        ("*[]", ["Foo::operator[]"]),
        ("?dtor$1@?0?Foo", ["?dtor$1@?0?Foo"]),
        ("@@Foo::*", ["@@Foo::bar"]),
        ("_*", ["_start"]),
        ("_ptclose@8", ["PtClose"]),
    ],
)
def test_patterns(pattern: str, names: list[str]) -> None:
    assert selected(pattern) == names


def test_without_patterns_everything_but_import_thunks() -> None:
    assert selected() == [*NAMES, "PtClose"]
    assert selected(import_thunks=True) == [*NAMES, "PtClose", "IoCreateDevice", "IoDeleteDevice"]


def test_patterns_add_up_and_keep_the_order_of_the_functions() -> None:
    assert selected("PtCl*", "Driver*", "*Entry") == ["DriverEntry", "PtClose"]


def test_import_thunks_are_selected_by_their_exact_name_only() -> None:
    assert selected("iocreatedevice") == ["IoCreateDevice"]
    assert selected("PassThrough!IoCreateDevice") == ["IoCreateDevice"]
    assert "IoCreateDevice" not in selected("*Create*")
    assert "IoCreateDevice" in selected("*Create*", import_thunks=True)
    with pytest.raises(UsageError, match=r"only import thunks \(IoCreateDevice, IoDeleteDevice\)"):
        selected("Io*")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("PtCrate", "no function matches --func 'PtCrate'; near misses: PtCreate"),
        ("PtNormlaize*", "near misses: PtNormalizeNameComponentExCallback"),
        ("Component", "near misses: PtNormalizeNameComponentExCallback"),
        ("PassThrough!PtCrate", "near misses: PtCreate"),
        ("nt!PtCreate", "the module is PassThrough; near misses: PtCreate"),
        ("qqqqqqqq", "'stackemu symbols PassThrough.sys' lists the functions"),
        ("", "lists the functions"),
    ],
)
def test_nothing_matched(pattern: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        selected(pattern)
    assert message in str(caught.value)


def test_one_pattern_without_a_match_is_an_error_even_beside_good_ones() -> None:
    with pytest.raises(UsageError, match="PtCrate"):
        selected("PtCreate", "PtCrate")


def test_many_stars_cost_no_time() -> None:
    with pytest.raises(UsageError):
        select_functions([function(0, "a" * 5000)], "a.sys", ["*" * 500 + "b"])


def test_near_misses_are_few() -> None:
    assert len(near_misses("Pt", [f"Pt{n}" for n in range(50)])) == 3
