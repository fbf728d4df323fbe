import re

from stackemu.harness.report import markdown


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_a_table_and_a_list(make_function, make_measurement) -> None:
    document = make_measurement(make_function(chain=(("PtCreate", 136), ("PtLog", 104)), depth=240))
    assert (
        markdown.render(document, document.functions)
        == """\
### Kernel stack used by PassThrough.sys

| function | locals | frame | own/static | depth | bound | deepest chain | verdict |
| :--- | ---: | ---: | ---: | ---: | ---: | :--- | :--- |
| `PtCreate` | 96 | 112 | 136/136 | 240 | - | `PtCreate` &gt; `PtLog` | exact |

- **functions**: 1 in PassThrough.sys (x86, names from pdb), 1 measured
- **verdicts**: 1 exact
- **outcomes**: 1 returned
- **deepest**: PtCreate, 240 bytes
- **next**: `stackemu run PassThrough.sys --format json -o PassThrough.sys.json`
"""
    )


def test_names_cannot_break_the_table(make_function, make_measurement) -> None:
    document = make_measurement(
        make_function("operator|", why="a|b"),
        make_function("`scalar deleting destructor'"),
        make_function("a\nb"),
    )
    for verbose in (False, True):
        lines = markdown.render(document, document.functions, verbose=verbose).splitlines()
        header, *rows = (line for line in lines if line.startswith("| "))
        assert {len(cells(row)) for row in rows} == {len(cells(header))}
        assert len(rows) == 4
        assert cells(rows[1])[0] == r"`operator\|`"
        assert cells(rows[2])[0] == "`` `scalar deleting destructor' ``"


def test_prose_is_escaped(make_function, make_measurement) -> None:
    document = make_measurement(make_function("f", verdict="within", why="<b> *x* _y_ [z]"))
    assert r"- **within**: f: \<b\> \*x\* \_y\_ \[z\]" in markdown.render(document, document.functions)


def test_verbose_adds_columns(make_function, make_measurement) -> None:
    document = make_measurement(
        make_function("A", why="because", findings=("FPO",)), make_function("B", depth=None, why="no stub")
    )
    rows = [cells(line) for line in markdown.render(document, document.functions, verbose=True).splitlines()]
    assert rows[4][-4:] == ["returned", "1204", "12/14", "because; FPO"]
    assert rows[5][-4:] == ["-", "-", "-", "no stub"]
