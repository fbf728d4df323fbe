"""Locals, saved, frame and own of hand-assembled functions, counted from their listings."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackemu.emu.code.model import CodeModel
from stackemu.emu.image import Image, Section
from stackemu.emu.symbols.function import FrameRecord, Function, Source
from stackemu.harness.static.figures import StaticResult, static_figures

BASE = 0xA5DE0000
TWO_ARGUMENTS, ALLOCA_PROBE = 0x1F00, 0x1F10

# code, locals, saved, own; None: no constant
FUNCTIONS = {
    "nothing": ("31 c0 c3", 0, 0, 0),
    # push ecx; mov [esp], ecx; mov eax, [esp]; pop ecx
    "push ecx reserves a local": ("51 89 0c 24 8b 04 24 59 c3", 4, 0, 4),
    # push ebp; mov ebp, esp; sub esp, 16; leave
    "EBP frame": ("55 8b ec 83 ec 10 c9 c3", 16, 4, 20),
    # the same with push ebx; push esi; push edi
    "EBP frame with saved registers": ("55 8b ec 83 ec 10 53 56 57 5f 5e 5b c9 c3", 16, 16, 32),
    # push ebx; push esi; sub esp, 24
    "no frame pointer": ("53 56 83 ec 18 83 c4 18 5e 5b c3", 24, 8, 32),
    # sub esp, 8; push 1; push 2; call (ret 8); add esp, 8: arguments and return address are own, not frame
    "outgoing arguments": ("83 ec 08 6a 01 6a 02 e8 f4 0e 00 00 83 c4 08 c3", 8, 0, 8 + 8 + 4),
    # mov eax, 0x1200; call _alloca_probe; add esp, 0x1200
    "a probed frame": ("b8 00 12 00 00 e8 06 0f 00 00 81 c4 00 12 00 00 c3", 0x1200, 0, 0x1200),
    # enter 32, 0; leave
    "enter": ("c8 20 00 00 c9 c3", 32, 4, 36),
    # push ebp; mov ebp, esp; and esp, -8; sub esp, 16; leave: the worst entry loses 4 bytes
    "a realigned frame": ("55 8b ec 83 e4 f8 83 ec 10 c9 c3", 16, 4, 4 + 4 + 16),
    # push ebp; mov ebp, esp; sub esp, [ebp+8]; leave; ret 4
    "alloca": ("55 8b ec 2b 65 08 c9 c2 04 00", None, 4, None),
    # test ecx, ecx; je exit; push ebx; sub esp, 32; add esp, 32; pop ebx; exit: ret
    "a shrink-wrapped prologue": ("85 c9 74 08 53 83 ec 20 83 c4 20 5b c3", 32, 4, 36),
}  # fmt: skip


def _figures(code: str, frames: tuple[FrameRecord, ...] = ()) -> StaticResult:
    text = bytearray(b"\xcc" * 0x1000)
    pieces = {
        0x1000: code,
        TWO_ARGUMENTS: "c2 08 00",
        # push ecx; lea ecx, [esp+8]; sub ecx, eax; test [ecx], ecx; mov eax, esp; mov esp, ecx; mov ecx, [eax];
        # push dword ptr [eax+4]; ret
        ALLOCA_PROBE: "51 8d 4c 24 08 29 c1 85 09 89 e0 89 cc 8b 08 ff 70 04 c3",
    }
    for rva, data in pieces.items():
        raw = bytes.fromhex(data)
        text[rva - 0x1000 : rva - 0x1000 + len(raw)] = raw
    image = Image(
        path=Path("sample.sys"),
        sha256="",
        machine="x86",
        base=BASE,
        size=0x2000,
        entry=None,
        headers=b"",
        sections=(Section(".text", 0x1000, bytes(text), writable=False, executable=True, discardable=False),),
        imports=(),
        exports=(),
        debug_id=None,
        relocations=(),
        guard_functions=(),
        security_cookie=None,
    )
    names = {BASE + 0x1000: "f", BASE + TWO_ARGUMENTS: "g", BASE + ALLOCA_PROBE: "_alloca_probe"}
    model = CodeModel(image, names, names)
    return static_figures(model, Function(0x1000, "f", Source.EXPORT, frames=frames))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_figures_are_those_of_the_listing(name: str) -> None:
    code, reserved, saved, own = FUNCTIONS[name]
    figures = _figures(code).figures
    assert (figures.locals, figures.saved, figures.own) == (reserved, saved, own)
    assert figures.frame == (None if reserved is None else reserved + saved)


def test_own_that_is_no_constant_says_why_and_where() -> None:
    code, *_ = FUNCTIONS["alloca"]
    (reason,) = _figures(code).figures.own_open
    assert "0xa5de1003" in reason


def test_the_deepest_instruction_is_named() -> None:
    code, *_ = FUNCTIONS["outgoing arguments"]
    assert _figures(code).deepest_at == BASE + 0x1007


def test_blocks_are_counted() -> None:
    code, *_ = FUNCTIONS["a shrink-wrapped prologue"]
    assert _figures(code).blocks == 3


def test_paths_that_disagree_at_a_join_are_a_finding_with_its_address() -> None:
    # test ecx, ecx; je join; push eax; join: nop; ret
    figures = _figures("85 c9 74 01 50 90 c3").figures
    assert any("0xa5de1005" in finding for finding in figures.findings)


def test_a_record_that_agrees_is_no_finding() -> None:
    code, *_ = FUNCTIONS["EBP frame with saved registers"]
    assert _figures(code, (FrameRecord("FPO", 16, 12),)).figures.findings == ()


def test_a_record_that_speaks_of_another_frame_is_a_finding() -> None:
    code, *_ = FUNCTIONS["EBP frame with saved registers"]
    (finding,) = _figures(code, (FrameRecord("S_FRAMEPROC", 64, 12),)).figures.findings
    assert finding.startswith("S_FRAMEPROC says locals 64")
