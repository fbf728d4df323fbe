"""Drivers made of a few hand-assembled functions, without a file.

A function is a listing: each line has an instruction's bytes in hexadecimal and its text as capstone writes
it, which is checked; of a jump only the mnemonic. `<name>` behind the bytes stands for the distance to
another function (rel32).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import capstone
import pytest
from made_images import code_section, data_section, made_image

from stackemu.emu.image import Image
from stackemu.emu.symbols.function import FrameRecord, Function, Prototype, Source
from stackemu.harness.session import Driver

TEXT = 0x1000
SPACING = 0x100
"""Functions begin this many bytes apart, with int3 between them."""

MakeDriver = Callable[..., Driver]


@pytest.fixture
def make_driver() -> MakeDriver:
    """Return a maker of drivers from listings by name; names that begin with `sub_` have no symbol."""

    def make(
        listings: Mapping[str, str],
        *,
        prototypes: Mapping[str, Prototype] | None = None,
        frames: Mapping[str, tuple[FrameRecord, ...]] | None = None,
    ) -> Driver:
        rvas = {name: TEXT + SPACING * index for index, name in enumerate(listings)}
        text = bytearray(b"\xcc" * SPACING * len(listings))
        functions = []
        for name, listing in listings.items():
            code = _assembled(listing, rvas[name], rvas)
            text[rvas[name] - TEXT : rvas[name] - TEXT + len(code)] = code
            functions.append(
                Function(
                    rva=rvas[name],
                    name=name,
                    name_source=Source.CALL_TARGET if name.startswith("sub_") else Source.PDB_PROCEDURE,
                    size=len(code),
                    prototype=(prototypes or {}).get(name),
                    frames=(frames or {}).get(name, ()),
                )
            )
        assert len(text) == SPACING * len(listings), "a function is too long"
        return Driver(_image(bytes(text)), tuple(functions), "pdb", None, ())

    return make


def _assembled(listing: str, rva: int, rvas: Mapping[str, int]) -> bytes:
    code = b""
    for line in filter(None, map(str.strip, listing.splitlines())):
        encoded, text = re.split(r"\s{2,}", line, maxsplit=1)
        prefix, _, target = encoded.partition("<")
        piece = bytes.fromhex(prefix)
        if target:
            assert text in ("call", "jmp")
            piece += (rvas[target.rstrip(">")] - (rva + len(code) + len(piece) + 4)).to_bytes(
                4, "little", signed=True
            )
        else:
            decoded = _disassembled(piece) or "(bad)"
            assert text == (decoded.split()[0] if decoded.startswith("j") else decoded)
        code += piece
    return code


def _disassembled(code: bytes) -> str:
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    return "; ".join(f"{one.mnemonic} {one.op_str}".strip() for one in decoder.disasm(code, 0))


def _image(text: bytes) -> Image:
    """Return an image of code at `TEXT` and a page of data behind it."""
    size = (len(text) + 0xFFF) & -0x1000
    sections = (
        code_section(text, TEXT),
        data_section(bytes(0x1000), TEXT + size),
    )
    return made_image(sections, headers=b"MZ".ljust(0x400, b"\0"))
