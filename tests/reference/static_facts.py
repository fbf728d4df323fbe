"""Everything that is said of the functions of one build: by stackemu, the assembly text, clang and the PDB."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from asm_frames import DRIVER_INDIRECT, Reference, references
from assembly_text import Function, callee_pops, decorated_pops, parse, undecorated
from compiler_frames import (
    FrameData,
    FrameProc,
    StackUsage,
    frame_data_by_function,
    read_frame_data,
    read_procedures,
    read_stack_usage,
)
from driver_matrix import Built, Variant, pdb_text
from stack_paths import INDIRECT
from stack_step import REGISTERS

from stackemu.emu.symbols.function import FrameRecord, Kind
from stackemu.harness.results import StaticFigures
from stackemu.harness.session import open_driver
from stackemu.harness.static_survey import static_survey

SECOND_NAMES = frozenset(("_chkstk",))
"""Other labels of a function: the PDB's symbols give it one name (here `_alloca_probe`)."""
UNNAMED = re.compile(r"sub_[0-9a-f]+")
"""Hand-written funclets and the target of a push and ret: no function in any source."""

Key = tuple[str, int]
"""A name, and which of the functions of that name it is in the order of linking: headers have static functions."""
_T = TypeVar("_T")
_RESERVES = re.compile(r"sub\s+esp, \d+|push\s+eax")
"""LLVM reserves a single word with `push eax`."""


@dataclass(frozen=True)
class Facts:
    """What each source says of one build's functions."""

    static: Mapping[Key, StaticFigures]
    records: Mapping[Key, Mapping[str, FrameRecord]]
    """The debug records that stackemu read, by their source."""
    text: Mapping[Key, Reference]
    usage: Mapping[Key, StackUsage]
    procedures: Mapping[Key, FrameProc]
    """Functions of C sources; the debug information has no others."""
    frame_data: Mapping[Key, FrameData]
    only_arguments: frozenset[Key]
    """Functions whose reserved frame is room for the arguments of a callee that pops all of it, by the text."""

    @property
    def compiled(self) -> Sequence[Key]:
        """Functions of C sources that all speak of; checks of the text and of the sources report what is missing."""
        sources = (self.text, self.usage, self.procedures, self.frame_data)
        return sorted(set(self.static).intersection(*sources))


def gather(variant: Variant, built: Built) -> Facts:
    """Ask every source about a build."""
    driver = open_driver(built.image)
    functions = [
        one for one in driver.functions if one.kind is not Kind.IMPORT_THUNK and not UNNAMED.fullmatch(one.name)
    ]
    keys = {function.rva: key for key, function in _keyed((one.name, one) for one in functions).items()}
    dump = pdb_text(built.pdb, "symbols", "section-headers", "fpo")
    text, only_arguments = _text_facts(variant, built)
    return Facts(
        static={keys[one.rva]: one.static for one in static_survey(driver, functions).functions},
        records={keys[one.rva]: {record.source: record for record in one.frames} for one in functions},
        text=text,
        usage=_keyed((one.name, one) for one in read_stack_usage(built.stack_usage)),
        procedures={keys[one.rva]: one for one in read_procedures(dump)},
        frame_data={keys[rva]: one for rva, one in frame_data_by_function(read_frame_data(dump)).items()},
        only_arguments=only_arguments,
    )


def _keyed(pairs: Iterable[tuple[str, _T]]) -> dict[Key, _T]:
    """Return values by key; pairs come in the order of linking, which is that of addresses."""
    seen: Counter[str] = Counter()
    keyed = {}
    for name, value in pairs:
        keyed[name, seen[name]] = value
        seen[name] += 1
    return keyed


def _text_facts(variant: Variant, built: Built) -> tuple[dict[Key, Reference], frozenset[Key]]:
    listings = [parse(text) for text in built.texts]
    pops = {symbol: count for listing in listings for symbol, count in callee_pops(listing).items()}
    pops |= DRIVER_INDIRECT.get(variant.driver, {})
    figures: list[tuple[str, Reference]] = []
    only_arguments: list[tuple[str, bool]] = []
    for listing, text in zip(listings, built.texts, strict=True):
        # Of two static functions of one name, each text means its own.
        known = {**pops, **callee_pops(listing)}
        figures += [item for item in references(text, known).items() if item[0] not in SECOND_NAMES]
        only_arguments += [
            (undecorated(symbol), reserves_only_arguments(function, known))
            for symbol, function in listing.functions.items()
        ]
    return _keyed(figures), frozenset(key for key, is_so in _keyed(only_arguments).items() if is_so)


def reserves_only_arguments(function: Function, pops: Mapping[str, int]) -> bool:
    """Return whether a function reserves stack just for arguments, all of which one callee pops.

    LLVM reserves room for outgoing arguments in the prologue of functions that do not push any. Such a frame is the
    function's own variables and the most that a call needs; so there are no variables where a call takes all of it.
    """
    lines = function.lines
    at = next((number for number, line in enumerate(lines) if _RESERVES.fullmatch(line.text)), None)
    if at is None or any(line.mnemonic == "push" for line in lines[at + 1 :]):
        return False
    reserved = int(lines[at].operands[1]) if lines[at].mnemonic == "sub" else 4
    calls = (line.operands[0] for line in lines if line.mnemonic == "call")
    return any(_popped_by(operand, pops) == reserved for operand in calls)


def _popped_by(operand: str, pops: Mapping[str, int]) -> int | None:
    """Return what the callee of a call takes off the stack, None for a call through a pointer of unknown type."""
    imported = re.search(r"\[(__imp_.+)\]", operand)
    symbol = imported.group(1) if imported else operand
    if not imported and ("[" in operand or operand in REGISTERS):
        return pops.get(INDIRECT)
    return pops.get(symbol, decorated_pops(symbol))
