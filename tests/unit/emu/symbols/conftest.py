"""A driver compiled and linked once for the session, with its PDB and map file.

What the tests expect of it was read with llvm-pdbutil-16 (`dump -symbols -publics -fpo -types`) and
llvm-readobj-16 from the files that clang-16 and lld-link-16 made here on 2026-11-23.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = """
typedef struct _IRP { unsigned long a; struct _IRP *next; } IRP;
typedef struct _DEVICE_OBJECT { unsigned long size; } DEVICE_OBJECT;
typedef struct _DRIVER_OBJECT DRIVER_OBJECT;
struct _DRIVER_OBJECT {
    unsigned long type;
    void (__stdcall *unload)(DRIVER_OBJECT *);
    long (__stdcall *dispatch[28])(DEVICE_OBJECT *, IRP *);
};
enum Colour { Red, Green };
__declspec(noinline) int __fastcall fast2(int a, const char *b) {
    volatile int z[12]; z[a & 7] = b[0]; return z[3];
}
__declspec(noinline) int __cdecl var(const char *format, ...) { volatile int q = format[0]; return q; }
unsigned long __cdecl call(int x, char y) { return x + y; }
__declspec(noinline) static long __stdcall inner(
    enum Colour c, unsigned short *w, unsigned long (__cdecl *cb)(int, char)) {
    volatile int z[40]; z[c] = w[1]; return z[2] + cb(1, 'a');
}
long __stdcall Create(DEVICE_OBJECT *DeviceObject, IRP *Irp) {
    volatile char buffer[100]; buffer[Irp->a & 63] = 1;
    return fast2(buffer[3], (char *)Irp) + inner(Green, (unsigned short *)Irp, call) + var("x", 1, 2);
}
void __stdcall Unload(DRIVER_OBJECT *d) { d->type = 0; }
long __stdcall DriverEntry(DRIVER_OBJECT *DriverObject, void *RegistryPath) {
    DriverObject->unload = Unload; DriverObject->dispatch[0] = Create; return 0;
}
"""

COMPILE = "clang-16 --target=i686-pc-windows-msvc -Os -g -gcodeview -ffreestanding -mrtd -mno-sse -c"
LINK = (
    "lld-link-16 /driver /subsystem:native /entry:DriverEntry@8 /machine:x86 /debug /Brepro"
    " /map:sample.map /out:sample.sys /pdb:sample.pdb /pdbaltpath:sample.pdb sample.obj"
)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with sample.sys, sample.pdb and sample.map; not to be written to."""
    for tool in ("clang-16", "lld-link-16"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    directory = tmp_path_factory.mktemp("built")
    (directory / "sample.c").write_text(SOURCE)
    for command in (f"{COMPILE} sample.c -o sample.obj", LINK):
        subprocess.run(command.split(), cwd=directory, check=True)
    return directory


@pytest.fixture
def sample(built: Path, tmp_path: Path) -> Path:
    """Return sample.sys in a directory of the test's own, with nothing beside it."""
    return Path(shutil.copy(built / "sample.sys", tmp_path))
