"""An x86 image made of nothing but what a test is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stackemu.emu.image import DEFAULT_BASE, Image, Section
from stackemu.emu.inputs import PAGE


def made_image(sections: Sequence[Section], **fields: Any) -> Image:
    """Return an image of sections at the default base; `fields` are those of `Image` that differ from nothing.

    Its size, in bytes, is up to the end of the last section, in whole pages.
    """
    nothing: dict[str, Any] = {
        "path": Path("made.sys"),
        "sha256": "",
        "machine": "x86",
        "base": DEFAULT_BASE,
        "size": max((-(-one.end // PAGE) * PAGE for one in sections), default=PAGE),
        "entry": None,
        "headers": b"",
        "imports": (),
        "exports": (),
        "debug_id": None,
        "relocations": (),
        "guard_functions": (),
        "security_cookie": None,
    }
    return Image(sections=tuple(sections), **(nothing | fields))


def code_section(code: bytes, rva: int = 0x1000, *, writable: bool = False) -> Section:
    """Return a section of code; what is left of its last page is int3."""
    text = code.ljust(-(-len(code) // PAGE) * PAGE, b"\xcc")
    return Section(".text", rva, text, writable=writable, executable=True, discardable=False)


def data_section(data: bytes, rva: int, *, writable: bool = True) -> Section:
    """Return a section of data; what is left of its last page is 0."""
    content = data.ljust(-(-len(data) // PAGE) * PAGE, b"\0")
    name = ".data" if writable else ".rdata"
    return Section(name, rva, content, writable=writable, executable=False, discardable=False)
