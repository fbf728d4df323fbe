"""The executable's layout, by the tables of the System V ABI (Intel386 supplement)."""

from __future__ import annotations

import struct

import pytest

from stackemu.harness.native import gate
from stackemu.harness.native.elf import elf_image

ADDRESS = 0x20000000


def test_the_header_says_what_runs_it():
    image = elf_image(b"\xcc", ADDRESS)

    assert image[:7] == b"\x7fELF\x01\x01\x01"  # 32 bits, little-endian, version 1
    kind, machine = struct.unpack_from("<HH", image, 0x10)
    assert (kind, machine) == (2, 3)  # ET_EXEC, EM_386


def test_the_entry_is_the_code():
    image = elf_image(b"\x90\xcc", ADDRESS)

    (entry,) = struct.unpack_from("<I", image, 0x18)
    assert image[entry - ADDRESS :] == b"\x90\xcc"


def test_the_first_segment_is_the_whole_file_at_the_address():
    image = elf_image(b"\x90\xcc", ADDRESS)

    (headers,) = struct.unpack_from("<I", image, 0x1C)
    kind, offset, virtual, _, in_file, in_memory, flags, _ = struct.unpack_from("<8I", image, headers)
    assert (kind, offset, virtual, in_file, in_memory, flags) == (1, 0, ADDRESS, len(image), len(image), 7)


@pytest.mark.parametrize("address", [0, 0x20000001, 0x100000000, -0x1000])
def test_the_address_is_that_of_a_page(address):
    with pytest.raises(ValueError, match="not the address of a page"):
        elf_image(b"\xcc", address)


def test_the_code_fits_the_page():
    with pytest.raises(ValueError, match="do not fit"):
        elf_image(bytes(0x1000), ADDRESS)


def test_the_gate_is_the_code_that_its_comments_say(listing):
    expected = """
        b8 ac000000 | mov eax, 0xac
        bb 01000000 | mov ebx, 1
        b9 09000000 | mov ecx, 9
        cd 80       | int 0x80
        b8 1a000000 | mov eax, 0x1a
        31 db       | xor ebx, ebx
        31 c9       | xor ecx, ecx
        31 d2       | xor edx, edx
        31 f6       | xor esi, esi
        cd 80       | int 0x80
        85 c0       | test eax, eax
        78 01       | js 0x25
        cc          | int3
        f7 d8       | neg eax
        89 c3       | mov ebx, eax
        b8 01000000 | mov eax, 1
        cd 80       | int 0x80
        cd 80       | int 0x80
        cc          | int3
        8e e1       | mov fs, ecx
        cc          | int3
    """
    assert listing(expected, 0) == gate.CODE
