import pytest

from stackemu.harness.report.sorting import SortKey, arrange


def names(functions) -> list[str]:
    return [function.name for function in functions]


@pytest.fixture
def functions(make_function):
    return [
        make_function("b", rva=0x30, depth=100, own=10, static_own=None, locals_bytes=4),
        make_function("A", rva=0x20, depth=100, own=30, static_own=20, locals_bytes=None),
        make_function("c", rva=0x10, depth=None, static_own=40, locals_bytes=0),
        make_function("d", rva=0x40, depth=200, own=20, static_own=20, locals_bytes=8),
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (SortKey.DEPTH, ["d", "A", "b", "c"]),
        (SortKey.OWN, ["A", "d", "b", "c"]),
        (SortKey.STATIC, ["c", "A", "d", "b"]),
        (SortKey.LOCALS, ["d", "b", "c", "A"]),
        (SortKey.FRAME, ["d", "b", "c", "A"]),
        (SortKey.NAME, ["A", "b", "c", "d"]),
        (SortKey.ADDRESS, ["c", "A", "b", "d"]),
    ],
)
def test_largest_first_unknown_last_ties_by_address(functions, key, expected) -> None:
    assert names(arrange(functions, key)) == expected


def test_top_takes_the_first_of_the_sorted(functions) -> None:
    assert names(arrange(functions, SortKey.DEPTH, 2)) == ["d", "A"]
    assert len(arrange(functions, SortKey.DEPTH, 99)) == 4
