"""Functions that no symbol names are found; a switch's tables, which lie behind a return as functions do, are none.

The tables' bytes decode as instructions that end in a return or a jump, so nothing but their use gives them away.
"""

from __future__ import annotations

import pytest
from made_images import code_section, made_image

from stackemu.emu.symbols.discovery import complete
from stackemu.emu.symbols.function import Function, Source

BASE = 0xA5DE0000
TEXT = 0x1000


def found(listing: str, relocations: tuple[int, ...]) -> list[int]:
    """Return the RVAs of the functions that are found in code that begins with a named one."""
    text = b"".join(bytes.fromhex(line.partition(";")[0]) for line in listing.strip().splitlines())
    image = made_image((code_section(text, TEXT),), relocations=relocations)
    named = Function(rva=TEXT, name="named", name_source=Source.PDB_PROCEDURE)
    return [function.rva for function in complete(image, [named])]


def test_a_switchs_table_is_no_function() -> None:
    listing = """
        8b442404        ; 1000: mov eax, [esp + 4]
        83f801          ;       cmp eax, 1
        7708            ;       ja 1011
        ff24851410dea5  ;       jmp [eax * 4 + 0xa5de1014]
        c3              ; 1010: ret
        c20400          ; 1011: ret 4
        1010dea5        ; 1014: adc [eax], dl; fisub word ptr [ebp - 0x5a21efef] ...
        1110dea5        ; 1018
        c3              ; 101c: ... and so on, up to a return
    """
    assert found(listing, (0x100C, 0x1014, 0x1018)) == [TEXT]


def test_a_switchs_table_of_bytes_is_no_function() -> None:
    # A case's number goes through bytes at 1024 first.
    listing = """
        8b442404        ; 1000: mov eax, [esp + 4]
        83f803          ;       cmp eax, 3
        770f            ;       ja 1018
        0fb6802410dea5  ;       movzx eax, byte ptr [eax + 0xa5de1024]
        ff24851c10dea5  ;       jmp [eax * 4 + 0xa5de101c]
        c3              ; 1017: ret
        c20400          ; 1018: ret 4
        cc              ;       int3
        1710dea5        ; 101c
        1810dea5        ; 1020
        00010001        ; 1024: add [ecx], al; add [ecx], al
        c3              ; 1028: ret
    """
    assert found(listing, (0x100C, 0x1013, 0x101C, 0x1020)) == [TEXT]


@pytest.mark.parametrize(
    "use",
    ["b80c10dea5 90", "8d050c10dea5", "680c10dea5 58"],  # mov eax, 100c; lea eax, [100c]; push 100c
    ids=["mov", "lea", "push"],
)
def test_what_an_instruction_takes_the_address_of_may_be_a_function(use: str) -> None:
    listing = f"""
        {use}
        c3              ; ret
        cccccccccc
        31c0 c3         ; 100c: xor eax, eax; ret
    """
    field = 0x1002 if use.startswith("8d") else 0x1001
    assert found(listing, (field,)) == [TEXT, 0x100C]
