"""A driver as the workers of a campaign are given it: known by its content, sent where it is not yet."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from stackemu.emu.errors import StackemuError
from stackemu.emu.load_image import read_input
from stackemu.harness.session import Driver, open_driver


class MissingPackageError(StackemuError):
    """A worker was given the digest of a driver whose contents it has not got."""


class DamagedPackageError(StackemuError):
    """The contents of a package are not those that its digest stands for."""


@dataclass(frozen=True, slots=True)
class Package:
    """The files of a driver; two packages are the same when their digests are, with contents or without.

    So a worker keeps what it opened in a `functools.lru_cache` by the package, and a package without
    contents finds it there.
    """

    digest: str
    """SHA-256 over the contents, in hexadecimal."""
    image: bytes | None = field(compare=False, repr=False)
    """The driver file's bytes, None where they were left out."""
    image_name: str = field(compare=False)
    """The driver file's name, without a directory."""
    symbols: bytes | None = field(compare=False, repr=False)
    """The symbol file's bytes; None where there is none, too."""
    symbols_name: str | None = field(compare=False)
    """The symbol file's name: its suffix says what it is."""

    @classmethod
    def of(cls, driver: Driver) -> Package:
        """Return the package of an opened driver, read from its files once more.

        Raises:
            InputError: a file cannot be read.
            DamagedPackageError: the driver file is not the one any more that was opened.
        """
        image = read_input(driver.image.path)
        if hashlib.sha256(image).hexdigest() != driver.image.sha256:
            raise DamagedPackageError(f"{driver.image.path}: the file was changed since it was opened; start again")
        path = driver.symbols_path
        symbols = read_input(path) if path is not None else None
        return cls(_digest(image, symbols), image, driver.image.path.name, symbols, path.name if path else None)

    @property
    def bare(self) -> Package:
        """The same package without contents."""
        return replace(self, image=None, symbols=None)


def open_package(package: Package) -> Driver:
    """Open the driver in a package; its files stand in a private directory only while they are read.

    Raises:
        MissingPackageError: the package has no contents.
        DamagedPackageError: the contents are not those of its digest.
        InputError: it is no usable driver.
    """
    if package.image is None:
        raise MissingPackageError(f"{package.image_name}: the worker has no contents for {package.digest}")
    if _digest(package.image, package.symbols) != package.digest:
        raise DamagedPackageError(f"{package.image_name}: the contents received do not match {package.digest}")
    with tempfile.TemporaryDirectory(prefix="stackemu-") as directory:
        image = _written(Path(directory, "image"), package.image_name, package.image)
        if package.symbols is None or package.symbols_name is None:
            return open_driver(image)
        return open_driver(image, _written(Path(directory, "symbols"), package.symbols_name, package.symbols))


def _digest(image: bytes, symbols: bytes | None) -> str:
    """Hash both contents, the first with its length in front: no other pair gives the same bytes."""
    sha256 = hashlib.sha256(len(image).to_bytes(8, "little"))
    sha256.update(image)
    if symbols is not None:
        sha256.update(b"symbols")
        sha256.update(symbols)
    return sha256.hexdigest()


def _written(directory: Path, name: str, content: bytes) -> Path:
    """Write a file into a new directory; of a name that claims to be a path only the last part counts."""
    directory.mkdir()
    path = directory / PurePath(name).name
    path.write_bytes(content)
    return path
