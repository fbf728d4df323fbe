"""Drivers that this project did not write, for the tests of emu."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_UNPACKED = Path("/tmp/wd/pydivert/windivert_dll")  # noqa: S108 -- where the wheel may have been unpacked


@pytest.fixture(scope="session")
def windivert32() -> Path:
    """WinDivert32.sys 1.3 (MSVC, KMDF and WFP) as the wheel pydivert 2.1.0 carries it."""
    spec = importlib.util.find_spec("pydivert")
    places = [Path(spec.origin).parent / "windivert_dll"] if spec and spec.origin else []
    for place in [*places, _UNPACKED]:
        if (place / "WinDivert32.sys").is_file():
            return place / "WinDivert32.sys"
    pytest.skip("needs the wheel pydivert 2.1.0 (pip install pydivert==2.1.0)")
