"""Work for the tests of pools: what worker processes import, so it stands in a module of its own."""

from __future__ import annotations

import functools
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from stackemu.emu.errors import InputError
from stackemu.harness.fuzz.package import MissingPackageError, Package, open_package
from stackemu.harness.fuzz.pool import Missing


@dataclass(frozen=True)
class Answer:
    """What a worker says about an item."""

    value: int
    pid: int
    had_contents: bool


def double(package: Package, number: int) -> Answer:
    """Double a number, and say who did and whether the contents came along."""
    return Answer(2 * number, os.getpid(), package.image is not None)


@functools.lru_cache(maxsize=4)
def _opened(package: Package) -> bytes:
    if package.image is None:
        raise MissingPackageError("not here")
    return package.image


def measure(package: Package, number: int) -> Answer | Missing:
    """Add a number to the length of the image, which has to be here."""
    try:
        size = len(_opened(package))
    except MissingPackageError:
        return Missing()
    return Answer(size + number, os.getpid(), package.image is not None)


def raise_missing(package: Package, number: int) -> Answer:
    """Do the same, but leave saying that it is missing to the pool."""
    return Answer(len(_opened(package)) + number, os.getpid(), package.image is not None)


def never_there(_package: Package, _number: int) -> Missing:
    """Miss the contents even when they came along."""
    return Missing()


def die_of_negatives(package: Package, number: int) -> Answer:
    """Die of the signal -N when the number is -N."""
    if number < 0:
        os.kill(os.getpid(), -number)
    return double(package, number)


def exit_at_zero(package: Package, number: int) -> Answer:
    """End the process without a word when the number is 0."""
    if number == 0:
        os._exit(7)
    return double(package, number)


def die_once(package: Package, path: str) -> Answer:
    """Die when the file at `path` is there, having removed it."""
    if Path(path).exists():
        Path(path).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return double(package, 1)


def hang_at_zero(package: Package, number: int) -> Answer:
    """Hang when the number is 0."""
    while number == 0:
        time.sleep(1)
    return double(package, number)


def refuse(_package: Package, number: int) -> Answer:
    """Refuse every item as stackemu refuses an input."""
    raise InputError("driver.sys", f"no {number}")


def fail(_package: Package, number: int) -> Answer:
    """Fail as code with a mistake does."""
    return Answer(1 // (number - number), 0, False)


def announce(package: Package, path: str) -> Answer:
    """Say that it has begun by a file named after the process, then wait for one named `go`."""
    directory = Path(path)
    directory.joinpath(f"begun-{os.getpid()}").touch()
    while not directory.joinpath("go").exists():
        time.sleep(0.01)
    return double(package, 21)


def count_functions(package: Package, number: int) -> Answer:
    """Add a number to the count of functions of a real driver, opened for every item that brings it."""
    return Answer(_function_count(package) + number, os.getpid(), package.image is not None)


@functools.lru_cache(maxsize=4)
def _function_count(package: Package) -> int:
    return len(open_package(package).functions)
