"""Exploration of code that lies behind more than one condition: the deep side of each function is reached.

Every function takes a pointer and uses 132 bytes of stack where what it points to passes all its checks.
"""

from __future__ import annotations

import pytest
from made_images import code_section, made_image

from stackemu.emu.code.instruction import Decoder
from stackemu.emu.image import DEFAULT_BASE
from stackemu.emu.symbols.function import Function, Source
from stackemu.harness.measure import Measurer
from stackemu.harness.runs import FunctionRuns, RunSettings, Task
from stackemu.harness.session import Driver

ENTRY = 0x1000
DEEP = "81 ec 80 00 00 00  6a 07  81 c4 84 00 00 00"
"""sub esp, 0x80; push 7; add esp, 0x84"""
SAVED = 8

# mov edx, [esp+4]; movzx eax, byte [edx]; cmp eax, 9; ja no; cmp eax, 2; je skip; cmp dword [edx+4], 0; jne no;
# cmp dword [edx+8], 0x1000; jne no; skip: cmp eax, 6; jne no; DEEP; no: ret 4
CHECKS_OF_ITS_KIND = f"""8b 54 24 04  0f b6 02  83 f8 09  77 27  83 f8 02  74 0f  83 7a 04 00  75 1c
    81 7a 08 00 10 00 00  75 13  83 f8 06  75 0e  {DEEP}  c2 04 00"""

# push esi; push edi; mov esi, [esp+12]; mov edi, text; l: mov al, [esi]; cmp al, [edi]; jne no; test al, al; je yes;
# inc esi; inc edi; jmp l; yes: DEEP; no: pop edi; pop esi; ret 4; text
TERMINATED = (
    f"""56 57  8b 74 24 0c  bf 2c 10 de a5  8a 06  3a 07  75 16  84 c0  74 04  46 47  eb f2  {DEEP}
    5f 5e  c2 04 00""",
    b"stackemu\0",
)

# push esi; push edi; mov esi, [esp+12]; mov edi, text; mov ecx, 12; repe cmpsb; jne no; DEEP; no: pop edi; pop esi;
# ret 4; text
REPEATED = (
    f"56 57  8b 74 24 0c  bf 27 10 de a5  b9 0c 00 00 00  f3 a6  75 0e  {DEEP}  5f 5e  c2 04 00",
    b"kernel stack",
)

# mov edx, [esp+4]; xor ecx, ecx; l: mov eax, [edx+ecx*4]; cmp eax, [words+ecx*4]; jne no; inc ecx; cmp ecx, 5; jb l;
# DEEP; no: ret 4; words
COUNTED = (
    f"8b 54 24 04  31 c9  8b 04 8a  3b 04 8d 29 10 de a5  75 14  41  83 f9 05  72 ee  {DEEP}  c2 04 00",
    b"five words of a known text",
)


def _explored(code: str, text: bytes = b"") -> FunctionRuns:
    data = bytes.fromhex(code) + text
    image = made_image([code_section(data, ENTRY)])
    function = Function(ENTRY, "subject", Source.PDB_PROCEDURE, len(data) - len(text), None, ())
    measurer = Measurer(Driver(image, (function,), "pdb", None, ()), RunSettings(inputs=2, initialise=False))
    return measurer.measure(Task(function))


@pytest.mark.parametrize(
    ("subject", "depth"),
    [
        ((CHECKS_OF_ITS_KIND,), 0x84),
        (TERMINATED, 0x84 + SAVED),
        (REPEATED, 0x84 + SAVED),
        (COUNTED, 0x84),
    ],
    ids=["a kind that asks for other fields", "a terminated string", "repe cmpsb", "a counted loop"],
)
def test_what_passes_every_check_is_found(subject: tuple[str] | tuple[str, bytes], depth: int) -> None:
    runs = _explored(*subject)
    assert runs.best is not None
    assert runs.best.depth == depth


def test_the_same_attempts_are_made_every_time() -> None:
    first, second = _explored(*TERMINATED), _explored(*TERMINATED)
    assert (first.witness, first.runs, first.blocks) == (second.witness, second.runs, second.blocks)


def test_a_check_that_nothing_passes_comes_to_an_end() -> None:
    # mov eax, [esp+4]; mov eax, [eax]; and eax, 0xf0; cmp eax, 5; jne no; DEEP; no: ret 4
    runs = _explored(f"8b 44 24 04  8b 00  25 f0 00 00 00  83 f8 05  75 0e  {DEEP}  c2 04 00")
    assert runs.best is not None
    assert runs.best.depth == 0
    assert runs.runs == 2, "no input is spent on a condition that has no solution"


def test_the_listings_are_what_their_comments_say() -> None:
    last = list(Decoder().decode(bytes.fromhex(CHECKS_OF_ITS_KIND), DEFAULT_BASE + ENTRY))
    assert [one.mnemonic for one in last[-4:]] == ["sub", "push", "add", "ret"]
