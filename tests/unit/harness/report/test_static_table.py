from stackemu.harness.report import static_table
from stackemu.harness.report.page import Page


def test_rendering_at_80_columns(make_function, make_measurement) -> None:
    document = make_measurement(
        make_function("PtCreate", depth=None),
        make_function("PtFormat", depth=None, static_own=None, open_reasons=("dynamic alloca at a5de3010",)),
    )
    assert (
        static_table.render(document, document.functions, Page())
        == """\
own  bound  frame  locals  saved  function
136      -    112      96     16  PtCreate
  -      -    112      96     16  PtFormat

functions:   2 in PassThrough.sys (x86, names from pdb)
no constant: PtFormat: dynamic alloca at a5de3010
next:        stackemu run PassThrough.sys
"""
    )


def test_verbose_adds_source_reasons_and_findings(make_function, make_measurement) -> None:
    document = make_measurement(make_function(root="DriverEntry", open_reasons=("recursion",), findings=("FPO",)))
    lines = static_table.render(document, document.functions, Page(), verbose=True).splitlines()
    assert [line.strip() for line in lines[2:6]] == [
        "root: DriverEntry",
        "source: data flow",
        "open: recursion",
        "finding: FPO",
    ]
