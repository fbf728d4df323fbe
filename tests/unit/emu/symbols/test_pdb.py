"""read_pdb on a PDB of lld, on damaged copies of it, and the FPO and DBI readers on built bytes."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from stackemu.emu.errors import StackemuError
from stackemu.emu.load_image import load_image
from stackemu.emu.symbols.cursor import FormatError
from stackemu.emu.symbols.dbi import SegmentMap
from stackemu.emu.symbols.fpo import read_fpo, read_frame_data
from stackemu.emu.symbols.function import FrameRecord, Source
from stackemu.emu.symbols.pdb import PdbInfo, read_identity, read_pdb


@pytest.fixture(scope="module")
def info(built: Path) -> PdbInfo:
    return read_pdb(built / "sample.pdb")


def test_identity_is_the_images(built: Path, info: PdbInfo) -> None:
    debug_id = load_image(built / "sample.sys").debug_id
    assert debug_id is not None
    assert (info.guid, info.age) == (debug_id.guid, debug_id.age) == read_identity(built / "sample.pdb")
    assert info.warnings == ()


def test_names_extents_and_prototypes(info: PdbInfo) -> None:
    """`llvm-pdbutil-16 dump -symbols -publics -types`: addr, code size and type of each S_GPROC32."""
    assert [(f.rva, f.size, f.name, f.decorated) for f in info.functions] == [
        (0x1000, 20, "fast2", "@fast2@8"),
        (0x1014, 16, "var", "_var"),
        (0x1024, 10, "call", "_call"),
        (0x102E, 69, "Create", "_Create@8"),
        (0x1073, 27, "inner", None),
        (0x108E, 13, "Unload", "_Unload@4"),
        (0x109B, 23, "DriverEntry", "_DriverEntry@8"),
    ]
    assert {f.name_source for f in info.functions} == {Source.PDB_PROCEDURE}
    assert {f.extent_source for f in info.functions} == {Source.PDB_PROCEDURE}
    prototypes = {f.name: f.prototype for f in info.functions if f.prototype}
    texts = {name: f"{p.returns} {p.convention} {p}" for name, p in prototypes.items()}
    assert texts["fast2"] == "int fastcall (int a, const char* b)"
    assert texts["var"] == "int cdecl (const char* format, ...)"
    assert texts["Create"] == "long stdcall (_DEVICE_OBJECT* DeviceObject, _IRP* Irp)"
    assert texts["inner"].endswith("(Colour c, unsigned short* w, unsigned long (*)(int, char) cb)")


def test_frames(info: PdbInfo) -> None:
    """S_FRAMEPROC's size and callee-saved bytes; the last FRAMEDATA record of each function."""
    frames = {f.name: f.frames for f in info.functions}
    assert frames["Create"] == (
        FrameRecord("S_FRAMEPROC", 100, 8),
        FrameRecord("FRAMEDATA", 100, 8, 8),
    )
    assert frames["fast2"] == (FrameRecord("S_FRAMEPROC", 48, 0), FrameRecord("FRAMEDATA", 48, 0, 0))


def test_fpo_data() -> None:
    """FPO_DATA of winnt.h: 3 registers, SEH, uses EBP, frame type 3."""
    bits = 5 | 3 << 8 | 1 << 11 | 1 << 12 | 3 << 14
    (at,) = read_fpo(2 * struct.pack("<IIIHH", 0x1000, 0x40, 6, 2, bits))
    assert (at.rva, at.size) == (0x1000, 0x40)
    assert at.frame == FrameRecord("FPO", locals=24, saved=12, parameters=8, uses_seh=True)
    with pytest.raises(FormatError):
        read_fpo(b"\0" * 17)


def test_frame_data_is_merged_to_one_record_a_function() -> None:
    def data(rva: int, size: int, local_bytes: int, saved: int, flags: int) -> bytes:
        return struct.pack("<6IHHI", rva, size, local_bytes, 8, 0, 0, 0, saved, flags)

    pushed, start = data(0x102F, 68, 0, 4, 0), data(0x102E, 69, 0, 0, 4)
    records = (pushed, start, start, data(0x1033, 64, 100, 8, 0), data(0x1080, 4, 0, 0, 5))
    first, second = read_frame_data(b"".join(records))
    assert (first.rva, first.size, first.frame) == (0x102E, 69, FrameRecord("FRAMEDATA", 100, 8, 8))
    assert (second.rva, second.frame.uses_seh) == (0x1080, True)
    with pytest.raises(FormatError):
        read_frame_data(b"\0" * 33)


def test_segments_with_and_without_omap() -> None:
    def header(rva: int, size: int, flags: int) -> bytes:
        return struct.pack("<8sIIII", b".x", size, rva, 0, 0) + b"\0" * 12 + struct.pack("<I", flags)

    headers = header(0x1000, 0x100, 0x20000000) + header(0x2000, 0x100, 0)
    plain = SegmentMap(headers)
    assert (plain.rva(1, 4), plain.rva(1, 0x100), plain.rva(0, 0), plain.rva(3, 0)) == (0x1004, None, None, None)
    assert (plain.is_executable(1), plain.is_executable(2), plain.is_executable(9)) == (True, False, False)
    moved = SegmentMap(headers, struct.pack("<6I", 0x1000, 0x5000, 0x1040, 0, 0x1080, 0x4000))
    assert (moved.rva(1, 4), moved.rva(1, 0x44), moved.rva(1, 0x90)) == (0x5004, None, 0x4010)


def damaged(tmp_path: Path, data: bytes | bytearray) -> Path:
    path = tmp_path / "damaged.pdb"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected the signature"),
        (b"Microsoft C/C++ program database 2.00\r\n\x1aJG\0\0" + b"\0" * 99, "PDB 2.00, which is not supported"),
        (b"hello" * 100, "expected the signature"),
    ],
)
def test_files_that_are_no_pdb(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_pdb(damaged(tmp_path, data))


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (32, 0, "expected a page size from 512 to 65536, got 0"),
        (32, 4097, "expected a page size"),
        (32, 0x80000000, "expected a page size"),
        (44, 0xFFFFFFFF, "expected a directory of at most"),
        (52, 0xFFFFFF, "the stream directory cannot be read"),
    ],
)
def test_a_bad_superblock_is_refused(built: Path, tmp_path: Path, offset: int, value: int, message: str) -> None:
    data = bytearray((built / "sample.pdb").read_bytes())
    struct.pack_into("<I", data, offset, value)
    with pytest.raises(FormatError, match=message):
        read_pdb(damaged(tmp_path, data))


def test_truncations_raise_format_errors_or_warn(built: Path, tmp_path: Path) -> None:
    data = (built / "sample.pdb").read_bytes()
    for size in range(0, len(data), 1024):
        try:
            assert any("cut short" in warning for warning in read_pdb(damaged(tmp_path, data[:size])).warnings)
        except FormatError as error:
            assert "\n" not in str(error)  # noqa: PT017 -- either outcome is right


def test_flipped_bytes_raise_nothing_else(built: Path, tmp_path: Path) -> None:
    original = (built / "sample.pdb").read_bytes()
    used = [index for index, byte in enumerate(original) if byte]
    generator = random.Random(1)
    for _ in range(500):
        data = bytearray(original)
        for _ in range(generator.choice((1, 1, 4, 32))):
            data[generator.choice(used)] = generator.choice((0, 0x7F, 0xFF, generator.randrange(256)))
        try:
            read_pdb(damaged(tmp_path, data))
        except StackemuError as error:
            assert "\n" not in str(error)  # noqa: PT017 -- either outcome is right
