from stackemu.harness.report import table
from stackemu.harness.report.page import Page

LONG_NAME = "std::map<unsigned long, class Foo<char, wchar_t>, struct std::less<unsigned long> >::operator[]"
DEEP_CHAIN = (
    ("PtNormalizeNameComponentExCallback", 136),
    ("PtDoRequestOperationStatus", 1000),
    ("PtLog", 104),
)


def test_rendering_at_80_columns(make_function, make_measurement) -> None:
    deep = make_function(
        "PtNormalizeNameComponentExCallback",
        depth=1240,
        outcome="budget",
        chain=DEEP_CHAIN,
        verdict="within",
        why="the loop at a5de1034 did not end within 1000000 instructions",
    )
    flat = make_function("PtCreate", rva=0x2000, depth=240, chain=(("PtCreate", 136), ("PtLog", 104)))
    idle = make_function("PtUnload", rva=0x3000, depth=None, locals_bytes=0, verdict="not-run", why="no code")
    document = make_measurement(deep, flat, idle)
    assert (
        table.render(document, document.functions, Page())
        == """\
 depth  bound  own/static  frame  locals  verdict  function > deepest chain
>=1240      -   >=136/136    112      96  within   PtNormalizeNameComponentExCallback
                                                     > PtDoRequestOperationStatus
                                                     > PtLog
   240      -     136/136    112      96  exact    PtCreate > PtLog
     -      -       -/136     16       0  not-run  PtUnload

functions: 3 in PassThrough.sys (x86, names from pdb), 2 measured
verdicts:  1 exact, 1 not-run, 1 within
outcomes:  1 budget, 1 returned
deepest:   PtNormalizeNameComponentExCallback, >=1240 bytes
not-run:   PtUnload: no code
within:    PtNormalizeNameComponentExCallback: the loop at a5de1034 did not end
           within 1000000 instructions
next:      stackemu run PassThrough.sys --func PtNormalizeNameComponentExCallback --inputs 1000 -v
"""
    )


def test_rows_keep_the_order_they_are_given_in(make_function, make_measurement) -> None:
    functions = [make_function(name, depth=depth) for name, depth in (("B", 8), ("A", 16), ("C", 4))]
    text = table.render(make_measurement(*functions), functions, Page())
    assert [line.split()[-1] for line in text.splitlines()[1:4]] == ["B", "A", "C"]


def test_rows_fit_80_columns_unless_a_name_alone_is_wider(make_function, make_measurement) -> None:
    chain = tuple((f"PtStep{index}", 60) for index in range(7))
    document = make_measurement(make_function("PtStep0", chain=chain, depth=420), make_function(LONG_NAME))
    for verbose in (False, True):
        lines = table.render(document, document.functions, Page(), verbose=verbose).splitlines()
        assert [line for line in lines if len(line) > 80 and LONG_NAME not in line] == []


def test_a_name_is_never_cut_or_folded(make_function, make_measurement) -> None:
    document = make_measurement(make_function(LONG_NAME))
    assert LONG_NAME in table.render(document, document.functions, Page(width=40)).splitlines()[1]


def test_a_wider_page_keeps_the_chain_on_one_line(make_function, make_measurement) -> None:
    document = make_measurement(make_function(DEEP_CHAIN[0][0], chain=DEEP_CHAIN))
    row = table.render(document, document.functions, Page(width=200)).splitlines()[1]
    assert row.endswith("PtNormalizeNameComponentExCallback > PtDoRequestOperationStatus > PtLog")


def test_figures_of_a_run_that_did_not_return_are_lower_bounds(make_function, make_measurement) -> None:
    for outcome, depth in (("returned", "136"), ("faulted", ">=136"), ("bugcheck", ">=136")):
        document = make_measurement(make_function(outcome=outcome))
        row = table.render(document, document.functions, Page()).splitlines()[1]
        assert row.split()[0] == depth


def test_a_static_figure_that_is_no_constant_is_a_dash(make_function, make_measurement) -> None:
    document = make_measurement(make_function(static_own=None, locals_bytes=None, verdict="dynamic"))
    assert table.render(document, document.functions, Page()).splitlines()[1].split()[1:6] == [
        "-",
        "136/-",
        "-",
        "-",
        "dynamic",
    ]


def test_there_are_no_escapes_unless_asked_for(make_function, make_measurement) -> None:
    document = make_measurement(make_function("evil\x1b[31m\nname[bold]", verdict="exceeds"))
    plain = table.render(document, document.functions, Page(), verbose=True)
    assert "\x1b" not in plain
    assert r"evil\x1b[31m\nname[bold]" in plain
    assert "\x1b[" in table.render(document, document.functions, Page(color=True))


def test_no_line_ends_in_blanks(make_function, make_measurement) -> None:
    document = make_measurement(make_function("A"), make_function("PtMuchLongerName"))
    lines = table.render(document, document.functions, Page()).splitlines()
    assert lines == [line.rstrip() for line in lines]


def test_verbose_adds_outcome_reasons_findings_and_shares(make_function, make_measurement) -> None:
    function = make_function(
        chain=(("PtCreate", 136), ("PtLog", 104)),
        depth=240,
        verdict="within",
        why="a5de1034 not reached",
        root="IRP_MJ_CREATE",
        findings=("FPO says 12",),
        witness="w.json",
    )
    document = make_measurement(function)
    lines = table.render(document, document.functions, Page(width=100), verbose=True).splitlines()
    assert [line[49:].strip() for line in lines[1:8]] == [
        "PtCreate 136 > PtLog 104",
        "root: IRP_MJ_CREATE",
        "outcome: returned, runs: 16",
        "blocks: 12/14, instructions: 1204",
        "why: a5de1034 not reached",
        "finding: FPO says 12",
        "witness: w.json",
    ]
    assert "settings:  seed 0, inputs 16" in lines


def test_no_functions_still_give_a_header_and_a_footer(make_measurement) -> None:
    lines = table.render(make_measurement(), (), Page()).splitlines()
    assert lines[0].startswith("depth  bound  own/static")
    assert lines[2].startswith("functions: 0 in PassThrough.sys")


def test_a_contradiction_stands_before_everything_else_in_the_footer(make_function, make_measurement) -> None:
    why = "measured depth 240 is more than the bound 136: one of them is wrong"
    document = make_measurement(make_function(depth=240, bracket="contradicted", why=why), make_function("PtRead"))
    lines = table.render(document, document.functions, Page(width=120)).splitlines()
    footer = lines[lines.index("") + 1 :]
    assert footer[1] == f"contradiction: PtCreate: {why}"


def test_a_closed_bracket_is_an_equals_sign(make_function, make_measurement) -> None:
    document = make_measurement(make_function(bracket="closed"))
    assert table.render(document, document.functions, Page()).splitlines()[1].split()[:3] == ["136", "=", "136/136"]
