"""The table of roots: each role against the 12 KiB that a kernel stack has on x86."""

from __future__ import annotations

from stackemu.harness.report.roots import SHOWN, RootRow, root_rows
from stackemu.harness.results import RoleFigures


def role(name: str, depth: int, outcome: str = "returned") -> RoleFigures:
    return RoleFigures(role=name, depth=depth, outcome=outcome)


def test_depth_is_set_beside_the_stack(make_function) -> None:
    # 3,072 of 12,288 bytes are a quarter.
    function = make_function("PtCreate", roles=(role("IRP_MJ_CREATE", 3072),))
    assert root_rows([function]) == [RootRow("3072", "25.0 %", "IRP_MJ_CREATE", "PtCreate")]


def test_the_deepest_role_comes_first_whichever_function_it_is_of(make_function) -> None:
    both = make_function("PtBoth", roles=(role("DPC", 100), role("IRP_MJ_READ", 300)))
    other = make_function("PtOther", roles=(role("DriverUnload", 200),))
    assert [row.role for row in root_rows([both, other])] == ["IRP_MJ_READ", "DriverUnload", "DPC"]


def test_a_role_whose_run_did_not_return_is_a_lower_bound(make_function) -> None:
    (row,) = root_rows([make_function(roles=(role("DPC", 100, "faulted"),))])
    assert row.depth == ">=100"


def test_functions_that_the_kernel_does_not_call_are_left_out(make_function) -> None:
    assert root_rows([make_function("PtHelper")]) == []


def test_a_short_report_shows_the_first_ones(make_function) -> None:
    functions = [make_function(f"F{n}", roles=(role("DPC", n),)) for n in range(SHOWN + 5)]
    assert len(root_rows(functions)) == SHOWN
    assert len(root_rows(functions, verbose=True)) == SHOWN + 5


def test_hostile_names_are_escaped(make_function) -> None:
    (row,) = root_rows([make_function("evil\x1b[2J", roles=(role("DPC\n", 4),))])
    assert (row.function, row.role) == (r"evil\x1b[2J", r"DPC\n")
