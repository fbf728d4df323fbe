"""What is installed: every package of the source tree, with the data that it reads."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_package_of_the_tree_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(("stackemu", *path.parent.relative_to(ROOT).parts))
        for room in ("emu", "harness")
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert set(listed) == found
