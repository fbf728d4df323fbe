import csv
import io
from pathlib import Path

import msgspec
import pytest
from made_images import made_image

from stackemu.emu.symbols.function import Function, Kind, Parameter, Prototype, Source
from stackemu.harness.report import symbols
from stackemu.harness.report.page import Page
from stackemu.harness.results import SymbolsInfo


@pytest.fixture
def document() -> symbols.Listing:
    image = made_image((), path=Path("PassThrough.sys"), size=0x9000)
    functions = (
        Function(
            rva=0x1000,
            name="PtCreate",
            name_source=Source.PDB_PROCEDURE,
            size=60,
            extent_source=Source.PDB_PROCEDURE,
            decorated="_PtCreate@4",
            prototype=Prototype("long", "stdcall", (Parameter("Data", "void *"),)),
        ),
        Function(rva=0x2000, name="IoCreateDevice", name_source=Source.IMPORT_THUNK, kind=Kind.IMPORT_THUNK),
    )
    return symbols.listing(image, functions, SymbolsInfo(source="pdb", path="PassThrough.pdb"))


def test_the_table(document: symbols.Listing) -> None:
    assert (
        symbols.render_table(document, Page())
        == """\
     rva  size  name from      extent from    name
00001000    60  pdb procedure  pdb procedure  PtCreate
00002000     -  import thunk   -              IoCreateDevice (import thunk)

functions:  2 listed of PassThrough.sys (x86 at 0xa5de0000)
symbols:    pdb (PassThrough.pdb)
names from: 1 import thunk, 1 pdb procedure
next:       stackemu static PassThrough.sys
"""
    )


def test_the_next_command_names_symbols_that_are_elsewhere(document: symbols.Listing) -> None:
    info = SymbolsInfo(source="pdb", path="/symbols/PassThrough.pdb")
    elsewhere = msgspec.structs.replace(document, driver=msgspec.structs.replace(document.driver, symbols=info))
    (following,) = [line for line in symbols.render_table(elsewhere, Page()).splitlines() if line.startswith("next:")]
    assert following.endswith("stackemu static PassThrough.sys --symbols /symbols/PassThrough.pdb")


def test_json_has_numbers_and_null(document: symbols.Listing) -> None:
    data = msgspec.json.decode(symbols.render_json(document))
    assert data["schema"] == "stackemu.symbols/1"
    assert data["functions"][0]["address"] == 0xA5DE1000
    assert data["functions"][0]["prototype"] == "(void * Data)"
    assert data["functions"][1]["size"] is None
    assert data["functions"][1]["kind"] == "import thunk"


def test_csv_has_hexadecimal_addresses_and_empty_cells(document: symbols.Listing) -> None:
    rows = list(csv.DictReader(io.StringIO(symbols.render_csv(document))))
    assert rows[0]["rva"] == "0x1000"
    assert rows[0]["decorated"] == "_PtCreate@4"
    assert (rows[1]["size"], rows[1]["extent_source"]) == ("", "")


def test_an_empty_listing_has_a_header_and_a_footer(document: symbols.Listing) -> None:
    empty = msgspec.structs.replace(document, functions=())
    lines = symbols.render_table(empty, Page()).splitlines()
    assert lines[0].split()[0] == "rva"
    assert "functions: 0 listed of PassThrough.sys (x86 at 0xa5de0000)" in lines
