"""load_functions, and how it finds, checks and joins its sources."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from stackemu.emu.errors import InputError
from stackemu.emu.image import DebugId, Export, Image, Import, Section
from stackemu.emu.load_image import load_image
from stackemu.emu.symbols.coff import read_coff
from stackemu.emu.symbols.cursor import FormatError
from stackemu.emu.symbols.function import FrameRecord, Function, Kind, Source
from stackemu.emu.symbols.mapfile import mismatch, read_map
from stackemu.emu.symbols.table import load_functions, merge

NAMES = ["fast2", "var", "call", "Create", "inner", "Unload", "DriverEntry"]


def image(path: Path, **changes: object) -> Image:
    """An image whose .text is at 0x1000; its first bytes jump through the IAT slot at 0x2000."""
    code = b"\xff\x25" + struct.pack("<I", 0xA5DE2000) + b"\x90" * 0xFA
    fields: dict[str, object] = {
        "path": path, "sha256": "", "machine": "x86", "base": 0xA5DE0000, "size": 0x3000, "entry": 0x1010,
        "headers": b"\0" * 0x3C + struct.pack("<I", 0x40) + b"\0" * 0x40,
        "sections": (
            Section(".text", 0x1000, code, writable=False, executable=True, discardable=False),
            Section(".data", 0x2000, bytes(0x100), writable=True, executable=False, discardable=False),
        ),
        "imports": (Import("ntoskrnl.exe", "f", None, 0x2000),), "exports": (), "debug_id": None,
        "relocations": (), "guard_functions": (), "security_cookie": None,
    }  # fmt: skip
    return Image(**(fields | changes))  # type: ignore[arg-type]


def test_the_pdb_beside_the_driver(sample: Path, built: Path) -> None:
    shutil.copy(built / "sample.pdb", sample.parent)
    table = load_functions(load_image(sample))
    assert (table.source, table.path, table.warnings) == ("pdb", sample.with_suffix(".pdb"), ())
    assert [function.name for function in table.functions] == NAMES


def test_the_pdb_that_the_debug_entry_names(sample: Path, built: Path) -> None:
    shutil.copy(built / "sample.pdb", sample.parent)
    renamed = sample.rename(sample.with_name("renamed.sys"))
    assert load_functions(load_image(renamed)).path == sample.with_suffix(".pdb")


def test_the_map_file_when_there_is_no_pdb(sample: Path, built: Path) -> None:
    shutil.copy(built / "sample.map", sample.parent)
    table = load_functions(load_image(sample))
    assert (table.source, [function.name for function in table.functions]) == ("map", NAMES)
    assert table.functions[4].decorated == "_inner@12"


def test_an_explicit_file_or_directory(sample: Path, built: Path) -> None:
    loaded = load_image(sample)
    for symbols in (built, built / "sample.pdb"):
        assert load_functions(loaded, symbols).source == "pdb"
    assert load_functions(loaded, built / "sample.map").source == "map"
    with pytest.raises(InputError, match="no such symbol file or directory"):
        load_functions(loaded, built / "missing.pdb")


def test_another_builds_pdb_is_refused_with_both_identities(sample: Path, built: Path) -> None:
    data = bytearray((built / "sample.pdb").read_bytes())
    loaded = load_image(sample)
    assert loaded.debug_id is not None
    guid = bytes.fromhex(loaded.debug_id.guid)
    stored = guid[3::-1] + guid[5:3:-1] + guid[7:5:-1] + guid[8:]
    place = data.index(stored)
    data[place] ^= 1
    sample.with_suffix(".pdb").write_bytes(data)
    table = load_functions(loaded)
    assert table.source == "discovery"
    (warning,) = table.warnings
    assert f"expected GUID {loaded.debug_id.guid}, got {loaded.debug_id.guid[:6]}" in warning


def test_another_links_age_is_refused(sample: Path, built: Path) -> None:
    loaded = load_image(sample)
    assert loaded.debug_id is not None
    older = image(sample, debug_id=DebugId(loaded.debug_id.guid, 7, "x.pdb"))
    (warning,) = load_functions(older, built / "sample.pdb").warnings
    assert "expected age 7, got 1" in warning


def test_files_that_are_no_symbols_become_warnings(tmp_path: Path) -> None:
    driver = tmp_path / "a.sys"
    for path in (driver, tmp_path / "a.pdb", tmp_path / "a.map"):
        path.write_text("nothing")
    first, second = load_functions(image(driver)).warnings
    assert "a.pdb is not used: PDB a.pdb at 0x0: expected the signature" in first
    assert "a.map is not used: map file a.map: it is no map file" in second


HOSTILE_NAMES = ["../a.pdb", "c:\\x\\..", "..", "", "a.sys", "C:a.pdb", "x" * 5000 + ".pdb", "a\0.pdb"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_the_debug_entrys_name_cannot_lead_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.pdb").write_text("the file that ../a.pdb would name")
    driver = tmp_path / "inside" / "b.sys"
    driver.parent.mkdir()
    driver.write_bytes(b"")
    table = load_functions(image(driver, debug_id=DebugId("0" * 32, 1, name)))
    assert (table.path, table.warnings) == (None, ())


def test_exports_entry_point_and_thunks(tmp_path: Path) -> None:
    driver = tmp_path / "a.sys"
    driver.write_bytes(b"")
    exports = (
        Export("Thunk@8", 1, 0x1000, None),
        Export("_keeps_its_underscore", 2, 0x1020, None),
        Export(None, 3, 0x1030, None),
        Export("data", 4, 0x2000, None),
        Export("Forwarded", 5, None, "HAL.x"),
    )
    table = load_functions(image(driver, exports=exports))
    assert table.source == "exports"
    assert [(f.rva, f.name, f.name_source, f.kind) for f in table.functions] == [
        (0x1000, "Thunk", Source.EXPORT, Kind.IMPORT_THUNK),
        (0x1010, "DriverEntry", Source.ENTRY, Kind.FUNCTION),
        (0x1020, "_keeps_its_underscore", Source.EXPORT, Kind.FUNCTION),
        (0x1030, "#3", Source.EXPORT, Kind.FUNCTION),
    ]


def test_merge_keeps_the_most_trusted_name_and_what_others_add() -> None:
    frame = FrameRecord("FPO", 4, 8)
    merged = merge(
        [
            Function(0x1000, "sub_1000", Source.CALL_TARGET, 16, Source.CONTROL_FLOW, frames=(frame,)),
            Function(0x1000, "f", Source.PDB_PUBLIC, decorated="_f@4"),
            Function(0x0800, "first", Source.EXPORT, 0, Source.PDB_PROCEDURE),
        ]
    )
    assert merged == (
        Function(0x0800, "first", Source.EXPORT, 0, Source.PDB_PROCEDURE),
        Function(0x1000, "f", Source.PDB_PUBLIC, 16, Source.CONTROL_FLOW, decorated="_f@4", frames=(frame,)),
    )


MSVC_MAP = """ sample

 Timestamp is 59cbbe5e (Wed Sep 27 17:06:06 2017)

 Preferred load address is 00010000

 Start         Length     Name                   Class
 0001:00000000 00000100H .text                   CODE

  Address         Publics by Value              Rva+Base       Lib:Object

 0000:00000001       ___safe_se_handler_count   00000001     <absolute>
 0001:00000000       _First@4                   00011000 f   a.obj
 0001:00000008       _label                     00011008     a.obj
 0001:00000010       _DriverEntry@8             00011010 f i a.obj
 0002:00000000       _data                      00012000     a.obj

 entry point at        0001:00000010

 Static symbols

 0001:00000020       ?helper@@YGXXZ             00011020 f   a.obj
"""


def test_an_msvc_map_keeps_what_is_flagged_as_function(tmp_path: Path) -> None:
    path = tmp_path / "a.map"
    path.write_text(MSVC_MAP)
    found = read_map(path, image(path))
    names = {f.rva: f.name for f in found.functions}
    assert names == {0x1000: "First", 0x1010: "DriverEntry", 0x1020: "helper"}
    assert (found.timestamp, found.entry) == (0x59CBBE5E, (1, 0x10))
    assert mismatch(found, image(path)) is None
    assert mismatch(found, image(path, entry=0x1014)) == "expected the entry point 0x1014, got 0x1010"
    headers = b"\0" * 0x3C + struct.pack("<III", 0x40, 0, 0) + struct.pack("<I", 0x12345678)
    assert mismatch(found, image(path, headers=headers)) == "expected timestamp 12345678, got 59cbbe5e"


def coff_image(count: int, start: int) -> Image:
    headers = b"\0" * 0x3C + struct.pack("<I", 0x40) + b"\0" * 12 + struct.pack("<II", start, count)
    return image(Path("a.sys"), headers=headers)


def test_coff_functions_with_short_and_long_names() -> None:
    def symbol(name: bytes, value: int, section: int, kind: int, storage: int, auxiliary: int = 0) -> bytes:
        return struct.pack("<8sIHHBB", name, value, section, kind, storage, auxiliary)

    table = symbol(b"_f@4", 0, 1, 0x20, 3, 1) + b"\xff" * 18
    table += symbol(struct.pack("<II", 0, 4), 0x10, 1, 0x20, 2)
    table += symbol(b"_data", 0, 2, 0, 2) + symbol(b"_extern", 0, 0, 0x20, 2) + symbol(b"_dbg", 0, 0xFFFE, 0x20, 3)
    file = table + struct.pack("<I", 30) + b"_a_name_longer_than_8@12\0"
    shifted = b"\0" + file
    found = read_coff(coff_image(6, 1), shifted)
    assert [(f.rva, f.name) for f in found] == [(0x1000, "f"), (0x1010, "a_name_longer_than_8")]
    for count, start in ((9, 1), (0xFFFFFFFF, 1), (1, 0xFFFFFF)):
        with pytest.raises(FormatError):
            read_coff(coff_image(count, start), shifted)
    assert read_coff(coff_image(0, 0), shifted) == ()


def test_a_mingw_driver(tmp_path: Path) -> None:
    if shutil.which("i686-w64-mingw32-gcc") is None:
        pytest.skip("needs i686-w64-mingw32-gcc")
    (tmp_path / "m.c").write_text(
        "static __attribute__((noinline)) int helper(int a) { volatile int z[20]; z[a & 7] = 3; return z[2]; }\n"
        "long __attribute__((stdcall)) DriverEntry(void *a, void *b) { return helper((int)a); }\n"
    )
    options = "-Os -nostdlib -shared -Wl,--subsystem,native -Wl,--entry,_DriverEntry@8"
    subprocess.run(["i686-w64-mingw32-gcc", *options.split(), "m.c", "-o", "m.sys"], cwd=tmp_path, check=True)
    loaded = load_image(tmp_path / "m.sys")
    table = load_functions(loaded)
    # `i686-w64-mingw32-nm m.sys` lists no other function: t _helper, T _DriverEntry@8
    assert (table.source, [function.name for function in table.functions]) == ("coff", ["helper", "DriverEntry"])
    assert table.functions[1].rva == loaded.entry
