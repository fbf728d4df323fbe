"""Builds of the sample drivers by every combination of the flags that change frames.

The drivers are built from a copy of their directory, by its own build.py. Those that have no run-time helpers get
what `-fstack-protector-all` calls for, so that every driver links in every build.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from exception_handlers import with_handlers_entered

DRIVERS = Path(__file__).resolve().parents[2] / "drivers"
NAMES = ("passthrough", "ioctl", "stackzoo")
"""The drivers compared. The others call through tables of functions that each pop something else."""
TOOLS = ("clang", "lld-link", "llvm-dlltool", "llvm-pdbutil")
LEVELS = ("-O0", "-O1", "-O2", "-Os")
SWITCHES = ("-fno-omit-frame-pointer", "-fstack-protector-all", "-msse2")
"""Each is there or not; without the last the drivers' own -mno-sse holds."""
COOKIE = """\
#include "asm.inc"
    .text
FUNCTION @__security_check_cookie@4
    cmp     ecx, [___security_cookie]
    jne     Lcookie_overrun
    ret
Lcookie_overrun:
    int3
    .data
    .globl ___security_cookie
___security_cookie:
    .long 0xBB40E64E
"""
"""For drivers without run-time helpers: ECX holds the cookie, and all registers but flags are kept."""


class Variant(NamedTuple):
    """One build of one driver."""

    driver: str
    flags: tuple[str, ...]
    """The -O level comes first."""

    def __str__(self) -> str:
        return " ".join((self.driver, *self.flags))


@dataclass(frozen=True)
class Built:
    """What a build left: the driver and its debug information, and the compiler's text of each source."""

    image: Path
    pdb: Path
    stack_usage: str
    texts: tuple[str, ...]
    """In the order of linking; hand-written sources included."""


class Matrix:
    """Builds variants from a copy of the drivers in `directory`, which need not exist."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sources = directory / "drivers"
        shutil.copytree(
            DRIVERS, self._sources, ignore=shutil.ignore_patterns("*.sys", "*.pdb", "*.su", "__pycache__")
        )
        self._build = _loaded(self._sources / "build.py")
        helpers = (self._sources / "stackzoo" / "asm.inc").read_text()
        for driver in self._build.DRIVERS:
            if not _has_helpers(driver):
                (self._sources / driver.name / "asm.inc").write_text(helpers)
                (self._sources / driver.name / "cookie.S").write_text(COOKIE)

    def variants(self) -> Iterator[Variant]:
        """Yield the whole matrix."""
        for level, *switches in itertools.product(LEVELS, *(((), (one,)) for one in SWITCHES)):
            for name in NAMES:
                yield Variant(name, (level, *itertools.chain(*switches)))

    def build(self, variant: Variant) -> Built:
        """Build a variant; RuntimeError when that cannot be done."""
        driver = next(one for one in self._build.DRIVERS if one.name == variant.driver)
        if "-fstack-protector-all" in variant.flags and not _has_helpers(driver):
            driver = replace(driver, sources=(*driver.sources, "cookie.S"))
        output = self._directory / "-".join((variant.driver, *variant.flags))
        try:
            self._build.build(driver, variant.flags, output)
            self._build.emit_assembly(driver, variant.flags, output)
        except self._build.BuildError as error:  # a class of the copy's, that no other process knows
            raise RuntimeError(f"{variant}: {error}") from error
        return Built(
            image=output / f"{driver.name}.sys",
            pdb=output / f"{driver.name}.pdb",
            stack_usage=(output / f"{driver.name}.su").read_text(),
            texts=tuple(self._text(driver.name, source, output) for source in driver.sources),
        )

    def _text(self, driver: str, source: str, output: Path) -> str:
        if source.endswith(".S"):
            folder = self._sources / driver
            return (folder / "asm.inc").read_text() + (folder / source).read_text()
        return with_handlers_entered((output / f"{driver}.{source}.s").read_text())


def has_toolchain() -> bool:
    """Return whether all tools are there, whatever their version is."""
    return all(shutil.which(f"{tool}-16") or shutil.which(tool) for tool in TOOLS)


def pdb_text(pdb: Path, *sections: str) -> str:
    """Return what `llvm-pdbutil dump` says of a PDB, for sections such as 'symbols' or 'fpo'."""
    tool = shutil.which("llvm-pdbutil-16") or "llvm-pdbutil"
    argv = [tool, "dump", *(f"--{section}" for section in sections), str(pdb)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _has_helpers(driver: object) -> bool:
    sources: Sequence[str] = getattr(driver, "sources")  # noqa: B009 -- the type is build.py's own
    return any(re.fullmatch(r"crt\.\w+", source) for source in sources)


def _loaded(path: Path) -> ModuleType:
    """Import the copy's build.py, so that it builds the copy."""
    name = f"build_{abs(hash(path))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module
