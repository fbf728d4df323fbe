#!/usr/bin/env python3
"""Builds the sample drivers with clang and lld-link, byte for byte the same wherever it runs.

Everything happens in a copy of this directory, by relative paths and with a fixed `argv[0]`, so that neither
the debug information nor the PDB holds a path of the machine.

    python drivers/build.py                                  the committed files
    python drivers/build.py --output /tmp/o0 --opt=-O0       another build
    python drivers/build.py --assembly /tmp/asm              what the compiler writes, as text
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLCHAIN_VERSION = "16"
"""The major version of LLVM that the committed files were built with; it is preferred when there are several."""

TARGET_FLAGS = ("--target=i686-pc-windows-msvc", "-ffreestanding", "-mrtd", "-mno-sse", "-Iinclude")
WARNING_FLAGS = ("-Wall", "-Wextra", "-Werror")
DEBUG_FLAGS = ("-g", "-gcodeview", "-gno-codeview-command-line", "-fdebug-compilation-dir=.")
LINK_FLAGS = (
    "/driver",
    "/subsystem:native,6.01",
    "/entry:{entry}",
    "/machine:x86",
    "/base:0x10000",
    "/nodefaultlib",
    "/safeseh:no",
    "/section:INIT,ERD",
    "/debug",
    "/Brepro",
    "/release",
    "/pdbaltpath:%_PDB%",
    "/pdbsourcepath:C:\\stackemu",
)


class BuildError(Exception):
    """The build cannot go on; the message says why in one line."""


@dataclass(frozen=True)
class Driver:
    """One sample driver: its sources in the order of linking, and what it imports from."""

    name: str
    sources: tuple[str, ...]
    libraries: tuple[str, ...]
    entry: str = "DriverEntry@8"
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Flags that belong to one source whatever the build's are."""

    def path(self, source: str) -> str:
        """Return a source's path in this directory."""
        return f"{self.name}/{source}"


DRIVERS = (
    Driver(
        "passthrough",
        ("passthrough.c", "instance.c", "operations.c", "status.c", "names.c", "log.c"),
        ("fltmgr", "ntoskrnl"),
    ),
    Driver("ioctl", ("ioctl.c", "queue.c", "control.c", "format.c"), ("ntoskrnl",)),
    Driver(
        "echo",
        ("stub.c", "driver.c", "device.c", "queue.c", "control.c", "deferred.c"),
        ("wdfldr", "ntoskrnl"),
        entry="FxDriverEntry@8",
    ),
    Driver(
        "stackzoo",
        (
            "driver.c",
            "frames.c",
            "ebp.c",
            "bigframes.c",
            "aligned.c",
            "cookies.c",
            "calls.c",
            "recursion.c",
            "hidden.c",
            "idioms.S",
            "seh.S",
            "crt.c",
            "crt.S",
        ),
        ("ntoskrnl",),
        flags={
            "ebp.c": ("-fno-omit-frame-pointer",),
            "aligned.c": ("-msse2",),
            "cookies.c": ("-fstack-protector-all",),
        },
    ),
)


@dataclass(frozen=True)
class Toolchain:
    """Where the tools are."""

    clang: Path
    linker: Path
    dlltool: Path

    @classmethod
    def find(cls) -> Toolchain:
        """Return the tools on PATH; BuildError names the first that is missing."""
        return cls(_find("clang"), _find("lld-link"), _find("llvm-dlltool"))


def _find(tool: str) -> Path:
    for name in (f"{tool}-{TOOLCHAIN_VERSION}", tool):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise BuildError(
        f"{tool} not found: install clang, lld and llvm {TOOLCHAIN_VERSION} "
        f"(looked for {tool}-{TOOLCHAIN_VERSION} and {tool})"
    )


def _run(argv: Sequence[str], executable: Path, directory: Path) -> None:
    """Run a tool; `argv[0]` is the name that it sees, whatever it is called on this machine."""
    done = subprocess.run(argv, executable=executable, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise BuildError(f"{argv[0]} failed: {shlex.join(argv)}")


def compile_flags(driver: Driver, source: str, flags: Sequence[str]) -> list[str]:
    """Return the compiler's flags for a source; `flags` are the build's own (-Os, -O0…)."""
    return [*TARGET_FLAGS, *flags, *driver.flags.get(source, ())]


def emit_assembly(
    driver: Driver, flags: Sequence[str], output: Path, toolchain: Toolchain | None = None
) -> list[Path]:
    """Write what the compiler makes of each C source as Intel-syntax text, `<driver>.<source>.s`."""
    tools = toolchain or Toolchain.find()
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for source in driver.sources:
        if not source.endswith(".c"):
            continue
        target = output.resolve() / f"{driver.name}.{source}.s"
        argv = [
            "clang",
            *compile_flags(driver, source, flags),
            "-masm=intel",
            "-S",
            driver.path(source),
            "-o",
            str(target),
        ]
        _run(argv, tools.clang, HERE)
        written.append(target)
    return written


def build(driver: Driver, flags: Sequence[str], output: Path, toolchain: Toolchain | None = None) -> None:
    """Build one driver: `<name>.sys`, `<name>.pdb` and `<name>.su` in `output`."""
    tools = toolchain or Toolchain.find()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stackemu-drivers-") as name:
        work = Path(name)
        for part in ("include", "lib", driver.name):
            shutil.copytree(HERE / part, work / part)
        objects = [_compile(driver, source, flags, work, tools) for source in driver.sources]
        libraries = [_import_library(library, work, tools) for library in driver.libraries]
        link_flags = [flag.format(entry=driver.entry) for flag in LINK_FLAGS]
        argv = ["lld-link", *link_flags, f"/out:{driver.name}.sys", f"/pdb:{driver.name}.pdb", *objects, *libraries]
        _run(argv, tools.linker, work)
        usage = "".join((work / item).with_suffix(".su").read_text() for item in objects if item.endswith(".c.obj"))
        (work / f"{driver.name}.su").write_text(usage)
        for suffix in (".sys", ".pdb", ".su"):
            shutil.copyfile(work / f"{driver.name}{suffix}", output / f"{driver.name}{suffix}")


def _compile(driver: Driver, source: str, flags: Sequence[str], work: Path, tools: Toolchain) -> str:
    """Return the object's path, relative to `work`; beside it is the compiler's stack usage."""
    target = f"{driver.path(source)}.obj"
    argv = ["clang", *compile_flags(driver, source, flags), *WARNING_FLAGS, "-c", driver.path(source), "-o", target]
    if source.endswith(".c"):
        argv += [*DEBUG_FLAGS, "-fstack-usage"]
    _run(argv, tools.clang, work)
    return target


def _import_library(library: str, work: Path, tools: Toolchain) -> str:
    target = f"lib/{library}.lib"
    _run(["llvm-dlltool", "-m", "i386", "-k", "-d", f"lib/{library}.def", "-l", target], tools.dlltool, work)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what the command line asks for; 2 and one line when that cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(driver.name for driver in DRIVERS)
    parser.add_argument("drivers", nargs="*", metavar="DRIVER", help=f"{names} (all by default)")
    parser.add_argument("--output", type=Path, default=HERE, help="where the drivers go (%(default)s)")
    parser.add_argument("--opt", default="-Os", help="the optimisation level (%(default)s)")
    parser.add_argument("--frame-pointers", action="store_true", help="keep EBP frames in every function")
    parser.add_argument("--flags", default="", help='more flags for the compiler: --flags="-fno-inline"')
    parser.add_argument("--assembly", type=Path, metavar="DIR", help="write assembly text there, and build nothing")
    options = parser.parse_args(arguments)

    flags = [
        options.opt,
        *(["-fno-omit-frame-pointer"] if options.frame_pointers else []),
        *shlex.split(options.flags),
    ]
    known = {driver.name: driver for driver in DRIVERS}
    try:
        unknown = [name for name in options.drivers if name not in known]
        if unknown:
            raise BuildError(f"no driver is called {unknown[0]}: there are {', '.join(known)}")
        for name in options.drivers or known:
            if options.assembly is not None:
                emit_assembly(known[name], flags, options.assembly)
            else:
                build(known[name], flags, options.output)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
