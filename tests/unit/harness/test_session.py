"""A driver opened: every function with an address range, sorted, and where the names came from."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from stackemu.emu.errors import InputError
from stackemu.emu.symbols.function import Kind
from stackemu.harness.session import Driver, open_driver

DRIVERS = Path(__file__).parents[3] / "drivers"


@pytest.fixture(scope="module")
def driver() -> Driver:
    return open_driver(DRIVERS / "passthrough.sys")


def test_the_pdb_beside_the_driver_is_used(driver: Driver) -> None:
    assert (driver.symbols_source, driver.symbols_path) == ("pdb", DRIVERS / "passthrough.pdb")
    assert driver.warnings == ()


def test_without_one_functions_are_discovered(tmp_path: Path, driver: Driver) -> None:
    alone = open_driver(Path(shutil.copy(DRIVERS / "passthrough.sys", tmp_path)))
    assert (alone.symbols_source, alone.symbols_path) == ("discovery", None)
    named = {one.rva for one in driver.functions if one.kind is Kind.FUNCTION}
    assert named <= {one.rva for one in alone.functions}


def test_symbols_elsewhere_are_named(tmp_path: Path) -> None:
    copy = Path(shutil.copy(DRIVERS / "passthrough.sys", tmp_path))
    assert open_driver(copy, DRIVERS / "passthrough.pdb").symbols_path == DRIVERS / "passthrough.pdb"
    assert open_driver(copy, DRIVERS).symbols_path == DRIVERS / "passthrough.pdb"


def test_functions_are_sorted_and_do_not_overlap(driver: Driver) -> None:
    ranges = driver.function_ranges()
    assert len(ranges) == len(driver.functions)
    assert all(start < end for start, end in ranges)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ranges))
    assert ranges[0][0] == driver.image.base + driver.functions[0].rva


def test_each_code_model_is_a_new_one(driver: Driver) -> None:
    assert driver.code_model() is not driver.code_model()


def test_a_file_that_is_no_driver_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.sys").write_text("text")
    with pytest.raises(InputError, match="not a PE image"):
        open_driver(tmp_path / "text.sys")
