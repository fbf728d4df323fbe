import csv as stdlib_csv
import io

from stackemu.harness.report import csv


def rows_of(text: str) -> list[dict[str, str]]:
    return list(stdlib_csv.DictReader(io.StringIO(text)))


def test_one_row_a_function_with_its_chain(make_function) -> None:
    function = make_function(
        "A",
        chain=(("A", 136), ("B", 104), ("C", 8)),
        depth=248,
        prototype="(int a, int b)",
        root="DriverEntry",
    )
    (row,) = rows_of(csv.render([function]))
    assert row["chain"] == "A>B>C"
    assert row["depth"] == "248"
    assert row["address"] == "0xa5de1000"
    assert row["prototype"] == "(int a, int b)"
    assert row["root"] == "DriverEntry"


def test_unknown_is_an_empty_cell_and_zero_is_zero(make_function) -> None:
    function = make_function(depth=None, static_own=None, locals_bytes=0, open_reasons=("alloca", "recursion"))
    (row,) = rows_of(csv.render([function]))
    assert [row[name] for name in ("depth", "chain", "outcome", "static_own", "bound")] == [""] * 5
    assert row["locals"] == "0"
    assert row["open"] == "alloca; recursion"


def test_every_row_has_every_column(make_function) -> None:
    lines = list(stdlib_csv.reader(io.StringIO(csv.render([make_function(), make_function(depth=None)]))))
    assert {len(line) for line in lines} == {len(csv.HEADER)}


def test_no_functions_leave_the_header() -> None:
    assert csv.render([]) == ",".join(csv.HEADER) + "\n"
