"""Static own use of the sample drivers, against what the compiler's assembly text says, build by build."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from stackemu.harness.session import open_driver
from stackemu.harness.survey import static_survey

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "reference"))

from asm_frames import own_by_function_of_driver  # noqa: E402 -- lies outside the package on purpose

BUILDS = [("-O0",), ("-Os",), ("-Os", "-fno-omit-frame-pointer")]
ALIASES = {"_chkstk": "_alloca_probe"}
"""Second names of one address: the symbols of the PDB give the function one of them."""
HAS_TOOLCHAIN = all(
    shutil.which(f"{tool}-16") or shutil.which(tool) for tool in ("clang", "lld-link", "llvm-dlltool")
)

pytestmark = pytest.mark.skipif(not HAS_TOOLCHAIN, reason="needs clang, lld-link and llvm-dlltool")


@pytest.fixture(scope="module", params=BUILDS, ids=" ".join)
def flags(request: pytest.FixtureRequest) -> tuple[str, ...]:
    build: tuple[str, ...] = request.param
    return build


@pytest.mark.parametrize("name", ["passthrough", "stackzoo"])
def test_static_own_is_what_the_assembly_says(name: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    reference = own_by_function_of_driver(name, flags)
    assert len(reference) >= 20
    assert _differences(reference, _static_own(name, flags, tmp_path)) == {}


def _static_own(name: str, flags: tuple[str, ...], output: Path) -> dict[str, int | None]:
    """Return static own by name of a driver that was built for this."""
    level, *others = flags
    command = [sys.executable, str(ROOT / "drivers" / "build.py"), name, "--output", str(output), f"--opt={level}"]
    subprocess.run([*command, f"--flags={' '.join(others)}"], check=True)
    driver = open_driver(output / f"{name}.sys")
    return {function.name: function.static.own for function in static_survey(driver, driver.functions).functions}


def _differences(
    reference: Mapping[str, int | None], static: Mapping[str, int | None]
) -> dict[str, tuple[int | None, object]]:
    """Return (the reference's figure, the static one) of every function where they are not the same."""
    return {
        name: (own, static.get(ALIASES.get(name, name), "no such function"))
        for name, own in reference.items()
        if static.get(ALIASES.get(name, name), "no such function") != own
    }
