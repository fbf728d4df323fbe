"""Static figures of the sample drivers, build by build, against the assembly's text and what the compiler says.

The text is read by tests/reference, which shares nothing with stackemu: no decoder, no PDB, no merged paths.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from stackemu.emu.symbols.function import Kind
from stackemu.harness.results import StaticFigures
from stackemu.harness.session import open_driver
from stackemu.harness.static_survey import static_survey

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "reference"))

from asm_frames import Reference, references_of_driver  # noqa: E402 -- lies outside the package on purpose

BUILDS = [
    (driver, flags)
    for flags in (("-O0",), ("-Os",), ("-Os", "-fno-omit-frame-pointer"))
    for driver in ("passthrough", "ioctl", "stackzoo")
]
ALIASES = {"_chkstk": "_alloca_probe"}
"""Second names of one address: the symbols of the PDB give the function one of them."""
UNNAMED = re.compile(r"sub_[0-9a-f]+")
"""Funclets and the target of a push and ret: no function in any source."""
ONLY_ARGUMENTS = {
    "IoMarkIrpPending",
    "IoctlCleanup",
    "IoctlCreateClose",
    "PtUnload",
    "ZooDispatchCreateClose",
    "ZooReportOverrun",
    "ZooTailCall",
    "ZooTailCallPointer",
    "ZooUnload",
}
"""At -O0 their frame is room for the arguments of a callee that pops all of it: locals to the compiler only."""
HAS_TOOLCHAIN = all(
    shutil.which(f"{tool}-16") or shutil.which(tool) for tool in ("clang", "lld-link", "llvm-dlltool")
)

pytestmark = pytest.mark.skipif(not HAS_TOOLCHAIN, reason="needs clang, lld-link and llvm-dlltool")


class Build(NamedTuple):
    """One build of a driver, by function: what stackemu says, what the text says, and the compiler's frames."""

    optimised: bool
    static: dict[str, StaticFigures]
    reference: dict[str, Reference]
    compiler: dict[str, tuple[int, str]]


@pytest.fixture(scope="module", params=BUILDS, ids=lambda build: " ".join((build[0], *build[1])))
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    name, flags = request.param
    output = tmp_path_factory.mktemp(name)
    command = [sys.executable, str(ROOT / "drivers" / "build.py"), name, "--output", str(output)]
    subprocess.run([*command, f"--opt={flags[0]}", f"--flags={' '.join(flags[1:])}"], check=True)
    driver = open_driver(output / f"{name}.sys")
    functions = [one for one in driver.functions if one.kind is not Kind.IMPORT_THUNK]
    return Build(
        optimised=flags[0] != "-O0",
        static={one.name: one.static for one in static_survey(driver, functions).functions},
        reference=references_of_driver(name, flags),
        compiler=dict(_stack_usage(output / f"{name}.su")),
    )


def _stack_usage(path: Path) -> Iterator[tuple[str, tuple[int, str]]]:
    """Yield (name, (bytes, kind)) of each line that `-fstack-usage` wrote."""
    for line in path.read_text().splitlines():
        place, size, kind = line.split("\t")
        yield re.sub(r"^\x01?[_@]|@\d+$", "", place.rsplit(":", 1)[1]), (int(size), kind)


def test_own_is_what_the_text_says_none_included(build: Build) -> None:
    expected = {ALIASES.get(name, name): one.own for name, one in build.reference.items()}
    own = {name: one.own for name, one in build.static.items() if not UNNAMED.fullmatch(name)}
    assert own == expected


def test_own_is_no_constant_exactly_where_the_compiler_says_dynamic(build: Build) -> None:
    dynamic = {name for name, (_, kind) in build.compiler.items() if kind != "static"}
    assert {name for name in build.compiler if build.static[name].own is None} == dynamic


def test_frames_are_those_of_the_compiler(build: Build) -> None:
    """Where a function realigns, its code rounds its locals up, and .su does not."""
    others = {}
    for name, (size, kind) in build.compiler.items():
        frame, alignment = build.static[name].frame, build.reference[name].alignment
        is_compared = kind == "static" and (build.optimised or name not in ONLY_ARGUMENTS)
        if is_compared and (frame is None or not size <= frame <= size + alignment - 4):
            others[name] = (frame, size)
    assert others == {}


def test_no_debug_record_speaks_of_another_frame(build: Build) -> None:
    disagreements = {
        name: [finding for finding in one.findings if " says locals " in finding]
        for name, one in build.static.items()
        if build.optimised or name not in ONLY_ARGUMENTS
    }
    assert {name: findings for name, findings in disagreements.items() if findings} == {}
