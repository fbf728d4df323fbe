"""Assembly as text: functions, their instructions, labels and tables, and what names say of conventions.

It takes what the compiler writes (`clang -S -masm=intel`) and hand-written Intel-syntax `.S` files.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Line(NamedTuple):
    """One instruction."""

    mnemonic: str
    operands: tuple[str, ...]
    text: str


@dataclass
class Function:
    """A function's instructions and the labels between them."""

    symbol: str
    lines: list[Line] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)


@dataclass
class Listing:
    """A file of assembly: its functions by symbol, and the tables of labels in its data."""

    functions: dict[str, Function] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)


def undecorated(symbol: str) -> str:
    """Return the C name: `_f@8`, `@f@8` and `_f` are all f."""
    match = re.fullmatch(r"[_@](.+?)(?:@\d+)?", symbol)
    return match.group(1) if match else symbol


def _logical_lines(text: str) -> Iterator[str]:
    """Yield statements without comments, constants and macros expanded."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    constants = dict(re.findall(r"^#define\s+(\w+)\s+(-?\w+)\s*$", text, flags=re.MULTILINE))
    macros: dict[str, tuple[list[str], list[str]]] = {}
    collecting: list[str] | None = None
    for raw in text.splitlines():
        if re.match(r"\s*\.asci", raw):
            continue  # text, whatever it looks like
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        if line.startswith(".macro"):
            name, *parameters = line.split()[1:]
            macros[name] = (parameters, collecting := [])
        elif line == ".endm":
            collecting = None
        elif collecting is not None:
            collecting.append(line)
        else:
            for word, value in constants.items():
                line = re.sub(rf"\b{word}\b", value, line)
            yield from _expanded(line, macros)


def _expanded(line: str, macros: Mapping[str, tuple[list[str], list[str]]]) -> Iterator[str]:
    word, _, rest = line.partition(" ")
    if word not in macros:
        yield line
        return
    parameters, body = macros[word]
    values = [value.strip() for value in rest.split(",")]
    for item in body:
        for parameter, value in zip(parameters, values, strict=True):
            item = item.replace(f"\\{parameter}", value)
        yield item


def _split_operands(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in re.split(r",(?![^\[]*\])", text)) if text else ()


def parse(text: str) -> Listing:
    """Read a file of assembly; a function is a label that `.def` gave the type of a function."""
    listing = Listing()
    typed: set[str] = set()
    defining = ""
    current: Function | None = None
    table: list[str] | None = None
    for statement in _logical_lines(text):
        for line in filter(None, (part.strip() for part in statement.split(";"))):
            if line.startswith(".def"):
                defining = line.split()[1].strip('"')
            elif line.startswith(".type") and line.split()[1] == "32":
                typed.add(defining)
            elif match := re.fullmatch(r'(?:"(.+)"|([\w@?$.]+)):', line):
                label = match.group(1) or match.group(2)
                table = listing.tables.setdefault(label, [])
                if label in typed:
                    current = listing.functions[label] = Function(label)
                elif current is not None:
                    current.labels[label] = len(current.lines)
            elif line.startswith(".long"):
                if table is not None:
                    table += [word.strip().strip('"') for word in line[5:].split(",")]
            elif not line.startswith((".", "@")) and current is not None:
                current.lines.append(_instruction(line))
    _resolve_aliases(listing)
    return listing


def _resolve_aliases(listing: Listing) -> None:
    """Two labels at one place are two names of one function."""
    symbols = list(listing.functions)
    for first, second in reversed(list(itertools.pairwise(symbols))):
        if not listing.functions[first].lines:
            listing.functions[first] = listing.functions[second]


def _instruction(line: str) -> Line:
    words = line.replace("\t", " ").split(None, 1)
    mnemonic = words[0].lower()
    rest = words[1].strip() if len(words) > 1 else ""
    if mnemonic in ("lock", "rep", "repne", "repe", "repz", "repnz"):
        inner = _instruction(rest)
        return Line(inner.mnemonic, inner.operands, line)
    return Line(mnemonic, _split_operands(rest), line)


def callee_pops(listing: Listing) -> dict[str, int]:
    """Return what each function takes off its caller's stack, from its own returns."""
    pops: dict[str, int] = {}
    for symbol, function in listing.functions.items():
        counts = {
            int(line.operands[0], 0) for line in function.lines if line.mnemonic in ("ret", "retl") and line.operands
        }
        if len(counts) == 1:
            pops[symbol] = counts.pop()
        elif not counts and any(line.mnemonic in ("ret", "retl") for line in function.lines):
            pops[symbol] = 0
    return pops


def decorated_pops(symbol: str) -> int:
    """Return what a name says that the callee pops: stdcall all, fastcall all but ECX and EDX, cdecl nothing."""
    name = symbol.removeprefix("__imp_")
    match = re.fullmatch(r"([_@]).+@(\d+)", name)
    if match is None:
        return 0
    size = int(match.group(2))
    return size if match.group(1) == "_" else max(0, size - 8)
