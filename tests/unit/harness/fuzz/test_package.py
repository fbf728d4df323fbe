"""A driver travels as its contents, is known by their digest, and opens as the same driver elsewhere."""

from __future__ import annotations

import functools
import pickle
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from stackemu.emu.errors import InputError
from stackemu.harness.fuzz.package import DamagedPackageError, MissingPackageError, Package, open_package
from stackemu.harness.session import Driver, open_driver

DRIVERS = Path(__file__).parents[4] / "drivers"


@pytest.fixture(scope="module")
def driver() -> Driver:
    return open_driver(DRIVERS / "ioctl.sys")


@pytest.fixture(scope="module")
def package(driver: Driver) -> Package:
    return Package.of(driver)


def without_symbols(directory: Path) -> Driver:
    return open_driver(Path(shutil.copy(DRIVERS / "ioctl.sys", directory)))


def test_it_holds_the_files_of_the_driver(package: Package) -> None:
    assert package.image == (DRIVERS / "ioctl.sys").read_bytes()
    assert package.symbols == (DRIVERS / "ioctl.pdb").read_bytes()
    assert (package.image_name, package.symbols_name) == ("ioctl.sys", "ioctl.pdb")


def test_it_opens_as_the_same_driver(driver: Driver, package: Package) -> None:
    opened = open_package(pickle.loads(pickle.dumps(package)))
    assert opened.functions == driver.functions
    assert opened.image.sections == driver.image.sections
    assert opened.image.sha256 == driver.image.sha256
    assert (opened.symbols_source, opened.structures) == (driver.symbols_source, driver.structures)


def test_it_opens_where_the_files_are_gone(tmp_path: Path) -> None:
    alone = without_symbols(tmp_path)
    package = Package.of(alone)
    (tmp_path / "ioctl.sys").unlink()
    opened = open_package(package)
    assert (opened.symbols_source, opened.symbols_path) == ("discovery", None)
    assert opened.functions == alone.functions


def test_opening_leaves_no_files(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert tmp_path in open_package(package).image.path.parents
    assert list(tmp_path.iterdir()) == []


def test_the_digest_is_of_the_contents_alone(package: Package, tmp_path: Path) -> None:
    renamed = Path(shutil.copy(DRIVERS / "ioctl.sys", tmp_path / "other.sys"))
    assert Package.of(open_driver(renamed, DRIVERS / "ioctl.pdb")) == package


def test_other_contents_are_another_package(package: Package, tmp_path: Path) -> None:
    others = [Package.of(without_symbols(tmp_path)), Package.of(open_driver(DRIVERS / "echo.sys"))]
    assert len({package, *others}) == 3


def test_a_bare_package_is_the_same_one_in_few_bytes(package: Package) -> None:
    assert package.bare == package
    assert hash(package.bare) == hash(package)
    assert len(pickle.dumps(package.bare)) < 512


def test_a_bare_package_finds_what_was_opened_before(package: Package) -> None:
    opened = functools.lru_cache(open_package)
    with pytest.raises(MissingPackageError):
        opened(package.bare)
    assert opened(package) is opened(package.bare)


@pytest.mark.parametrize("part", ["image", "symbols"])
def test_damaged_contents_are_refused(package: Package, part: str) -> None:
    damaged = replace(package, **{part: getattr(package, part) + b"\0"})
    with pytest.raises(DamagedPackageError, match=r"ioctl\.sys"):
        open_package(damaged)


def test_contents_that_change_sides_are_another_package(package: Package) -> None:
    image, symbols = package.image or b"", package.symbols or b""
    with pytest.raises(DamagedPackageError):
        open_package(replace(package, image=image[:-1], symbols=image[-1:] + symbols))


def test_a_name_that_is_a_path_stays_inside(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "private"))
    (tmp_path / "private").mkdir()
    open_package(replace(package, image_name="../../../escaped.sys", symbols_name=f"{tmp_path}/escaped.pdb"))
    assert list(tmp_path.rglob("escaped*")) == []


def test_a_file_changed_behind_our_back_is_noticed(tmp_path: Path) -> None:
    driver = without_symbols(tmp_path)
    shutil.copy(DRIVERS / "echo.sys", tmp_path / "ioctl.sys")
    with pytest.raises(DamagedPackageError, match="changed since"):
        Package.of(driver)


def test_a_file_that_is_gone_is_an_input_error(tmp_path: Path) -> None:
    driver = without_symbols(tmp_path)
    (tmp_path / "ioctl.sys").unlink()
    with pytest.raises(InputError, match="no such file"):
        Package.of(driver)
