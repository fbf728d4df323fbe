"""A reference for stack use: what a function's own instructions reach, read off assembly text.

Written apart from stackemu and knowing nothing of it: it decodes no machine code, reads no PDB, and merges no
paths. `assembly_text` reads, `stack_paths` walks, `stack_step` carries out one instruction.

All figures are bytes below E, the value of ESP at the function's entry (where the return address lies). They include
outgoing arguments and the return address that the function's own calls push, and not what callees use.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from assembly_text import Function, callee_pops, parse, undecorated
from stack_paths import INDIRECT, own_use

DRIVERS = Path(__file__).resolve().parents[2] / "drivers"
DRIVER_INDIRECT = {"passthrough": {}, "ioctl": {INDIRECT: 12}, "stackzoo": {INDIRECT: 8}}
"""Bytes that callees behind pointers pop: every pointer of the zoo is a ZOO_ROUTINE (two words), that of ioctl a
PIOCTL_ANSWER (three), all __stdcall; passthrough calls none."""


class Reference(NamedTuple):
    """What the text says of one function, in bytes: its own use, None for no constant, and what it aligns ESP to."""

    own: int | None
    alignment: int = 4


def references(assembly_text: str, pops: Mapping[str, int]) -> dict[str, Reference]:
    """Return what a text says of each of its functions, by undecorated name.

    `pops` says what callees take off the stack, by symbol as it stands in the text; what it does not hold is taken
    from the text's own `ret N`, then from the symbol's decoration. `pops[INDIRECT]` is for calls through pointers.
    """
    listing = parse(assembly_text)
    known = {**callee_pops(listing), **pops}
    return {
        undecorated(symbol): Reference(own_use(function, listing, known), _alignment(function))
        for symbol, function in listing.functions.items()
    }


def references_of_driver(driver: str, flags: Sequence[str], drivers: Path = DRIVERS) -> dict[str, Reference]:
    """Return what the texts of a sample driver say, built with `flags`, of which the first is the -O level."""
    texts = driver_assembly(driver, flags, drivers)
    pops = {symbol: count for text in texts.values() for symbol, count in callee_pops(parse(text)).items()}
    pops.update(DRIVER_INDIRECT[driver])
    return {name: one for text in texts.values() for name, one in references(text, pops).items()}


def driver_assembly(driver: str, flags: Sequence[str], drivers: Path = DRIVERS) -> dict[str, str]:
    """Return the assembly text of each source of a sample driver, hand-written ones included, by file name."""
    with tempfile.TemporaryDirectory(prefix="stackemu-assembly-") as name:
        argv = [sys.executable, str(drivers / "build.py"), driver, "--assembly", name, f"--opt={flags[0]}"]
        subprocess.run([*argv, f"--flags={' '.join(flags[1:])}"], check=True)
        texts = {path.name: path.read_text() for path in sorted(Path(name).iterdir())}
    include = drivers / driver / "asm.inc"
    for path in sorted((drivers / driver).glob("*.S")):
        texts[path.name] = include.read_text() + path.read_text()
    return texts


def _alignment(function: Function) -> int:
    masks = [line.operands[1] for line in function.lines if line.mnemonic == "and" and line.operands[0] == "esp"]
    return max([4, *(-int(mask, 0) for mask in masks)])
