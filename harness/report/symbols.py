"""The listing of `stackemu symbols`: a driver's functions, and where each name and extent came from."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence

import msgspec
from rich.text import Text

from stackemu.emu.image import Image
from stackemu.emu.symbols.function import Function, Kind
from stackemu.harness.printable import path_text, printable
from stackemu.harness.report.figures import counts
from stackemu.harness.report.footer import Note, command_line
from stackemu.harness.report.page import Page, to_text
from stackemu.harness.report.table import footer, plain_table
from stackemu.harness.results import DriverInfo, SymbolsInfo

SCHEMA = "stackemu.symbols/1"


class Symbol(msgspec.Struct, frozen=True, kw_only=True):
    """One function of the listing."""

    name: str
    decorated: str | None
    prototype: str | None
    rva: int
    address: int
    size: int | None
    kind: str
    name_source: str
    extent_source: str | None


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The whole listing, as its JSON has it."""

    schema: str = SCHEMA
    driver: DriverInfo
    functions: tuple[Symbol, ...]


def listing(image: Image, functions: Sequence[Function], symbols: SymbolsInfo) -> Listing:
    """Return `functions` of `image` as a listing, in their order."""
    return Listing(
        driver=DriverInfo(
            path=path_text(image.path),
            name=printable(image.path.name),
            sha256=image.sha256,
            machine=image.machine,
            base=image.base,
            symbols=symbols,
        ),
        functions=tuple(_symbol(image, function) for function in functions),
    )


def render_table(document: Listing, page: Page) -> str:
    """Return the listing as a table with a footer; RVAs are hexadecimal, sizes decimal bytes.

    A name that is no plain function's has its kind behind it.
    """
    table = plain_table(["rva", "size"], ["name from", "extent from", "name"])
    for symbol in document.functions:
        texts = (
            f"{symbol.rva:08x}",
            "-" if symbol.size is None else str(symbol.size),
            symbol.name_source,
            symbol.extent_source or "-",
            _name_and_kind(symbol),
        )
        table.add_row(*(Text(text) for text in texts))
    return to_text([table, *footer(_notes(document), page)], page)


def render_json(document: Listing) -> bytes:
    """Return the listing as JSON, indented, with a final newline."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def render_csv(document: Listing) -> str:
    """Return the listing as CSV: addresses and RVAs as 0x..., unknown values as empty cells."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, Symbol.__struct_fields__, lineterminator="\n")
    writer.writeheader()
    for symbol in document.functions:
        hexadecimal = {"rva": f"{symbol.rva:#x}", "address": f"{symbol.address:#x}"}
        writer.writerow(msgspec.structs.asdict(symbol) | hexadecimal)
    return stream.getvalue()


def _symbol(image: Image, function: Function) -> Symbol:
    return Symbol(
        name=function.name,
        decorated=function.decorated,
        prototype=None if function.prototype is None else str(function.prototype),
        rva=function.rva,
        address=image.base + function.rva,
        size=function.size,
        kind=function.kind.value,
        name_source=function.name_source.value,
        extent_source=None if function.extent_source is None else function.extent_source.value,
    )


def _name_and_kind(symbol: Symbol) -> str:
    """Return the name, and what it is where it is no plain function."""
    kind = "" if symbol.kind == Kind.FUNCTION.value else f" ({symbol.kind})"
    return printable(symbol.name) + kind


def _notes(document: Listing) -> list[Note]:
    driver = document.driver
    symbols = driver.symbols
    where = f" ({printable(symbols.path)})" if symbols.path is not None else ""
    image = f"{printable(driver.name)} ({driver.machine} at {driver.base:#x})"
    notes = [
        Note("functions", f"{len(document.functions)} listed of {image}"),
        Note("symbols", f"{symbols.source}{where}"),
    ]
    if document.functions:
        names = Counter(symbol.name_source for symbol in document.functions)
        notes.append(Note("names from", counts(dict(names))))
    return [*notes, Note("next", command_line(driver, "static"), command=True)]
