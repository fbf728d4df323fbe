"""The committed sample drivers are what their sources build to, byte for byte."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DRIVERS = Path(__file__).resolve().parents[2] / "drivers"
BUILT = sorted(path.name for path in DRIVERS.iterdir() if path.suffix in (".sys", ".pdb", ".su"))
HAS_TOOLCHAIN = all(shutil.which(f"{tool}-16") for tool in ("clang", "lld-link", "llvm-dlltool"))

pytestmark = pytest.mark.skipif(not HAS_TOOLCHAIN, reason="needs clang-16, lld-link-16 and llvm-dlltool-16")


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build all drivers from a copy of their sources in another place."""
    copy = tmp_path_factory.mktemp("copy") / "drivers"
    shutil.copytree(DRIVERS, copy, ignore=shutil.ignore_patterns("*.sys", "*.pdb", "*.su"))
    subprocess.run([sys.executable, str(copy / "build.py")], check=True)
    return copy


def test_every_driver_has_its_image_its_symbols_and_its_stack_usage() -> None:
    names = {Path(name).stem for name in BUILT}
    assert len(names) >= 2
    assert set(BUILT) == {f"{name}{suffix}" for name in names for suffix in (".sys", ".pdb", ".su")}


@pytest.mark.parametrize("name", BUILT)
def test_a_rebuild_gives_the_same_bytes(name: str, rebuilt: Path) -> None:
    assert (rebuilt / name).read_bytes() == (DRIVERS / name).read_bytes()


def test_a_build_without_the_compiler_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DRIVERS / "build.py"), "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("build.py: clang not found")
    assert done.stderr.count("\n") == 1
