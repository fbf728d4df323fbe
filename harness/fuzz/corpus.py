"""A campaign's corpus on disk: inputs worth changing, the deepest run of each function, and crashes.

    campaign.json          what all files depend on: the image's hash, the seed, the budget, DriverEntry run or not
    inputs/ID.json         runs that showed something new
    witnesses/NAME.json    the deepest run of each function, with the smallest input that is known for it
    crashes/KIND-ID.json   runs that ended badly
    broken/                files that could not be read

All are witnesses (`harness.witness`): `stackemu replay` repeats each of them. An ID is a digest of what is run, so
the same run has the same name everywhere, and corpora are merged by copying.

Every file is written beside its place and renamed, so a reader finds it whole or not at all, whenever the process is
killed. Witnesses and campaign.json are also forced to the disk, in case the machine stops; inputs, of which there may
be many a second, are not. One campaign at a time: a lock that dies with its process keeps a second one out.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from stackemu.emu.errors import InputError
from stackemu.harness.contexts import Context
from stackemu.harness.fuzz.locking import LockedError, lock, unlock
from stackemu.harness.printable import path_text
from stackemu.harness.runs import RunSettings
from stackemu.harness.session import Driver
from stackemu.harness.witness import Witness, context_of, file_name, input_size, load_witness, to_json

SCHEMA = "stackemu.campaign/1"
MAX_FILES = 200_000
"""Files of one directory that are looked at."""
MAX_SETTINGS = 1 << 16
"""Bytes of campaign.json."""
_SETTINGS, _LOCK = "campaign.json", ".lock"
_INPUTS, _WITNESSES, _CRASHES, _BROKEN = "inputs", "witnesses", "crashes", "broken"
_TEMPORARY = ".tmp-"
_DIGITS = 16


class CampaignFile(msgspec.Struct, frozen=True, kw_only=True):
    """What all files of a corpus depend on."""

    schema: str = SCHEMA
    path: str
    sha256: str
    seed: int
    budget: int
    initialise: bool


class Corpus:
    """The files of one corpus, or none: a campaign that keeps nothing uses it in the same way."""

    def __init__(self, directory: Path | None, base: int, held: IO[bytes] | None = None) -> None:
        """Take over a directory that `open` has prepared; `base` is where the image lies."""
        self._directory = directory
        self._base = base
        self._held = held
        self._written = 0
        self._inputs: set[str] = set()
        self._names: dict[Context, str] = {}
        self._best: dict[str, tuple[int, int, int]] = {}
        self.warnings: list[str] = []
        """What was odd about the files, in words."""

    @classmethod
    def in_memory(cls) -> Corpus:
        """Return a corpus that keeps no files."""
        return cls(None, 0)

    @classmethod
    def open(cls, directory: Path, driver: Driver, settings: RunSettings) -> Corpus:
        """Open a corpus, or begin one in a directory that is empty or not there yet.

        Raises:
            InputError: the directory holds something else, another driver's corpus, or cannot be used.
        """
        wanted = CampaignFile(
            path=path_text(driver.image.path),
            sha256=driver.image.sha256,
            seed=settings.seed,
            budget=settings.budget,
            initialise=settings.initialise,
        )
        try:
            held = _prepare(directory, wanted)
        except OSError as error:
            raise InputError(str(directory), f"cannot be used: {error.strerror or error}") from error
        corpus = cls(directory, driver.image.base, held)
        _sweep(directory)
        corpus._look_around(directory)
        return corpus

    def __enter__(self) -> Self:
        """Return the corpus itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let others open it."""
        if self._held is not None:
            unlock(self._held)
            self._held = None

    # -- what is kept --

    @property
    def input_count(self) -> int:
        """How many inputs are kept."""
        return len(self._inputs)

    def add_input(self, witness: Witness) -> bool:
        """Keep a run; returns False where it is kept already."""
        name = identity(witness)
        self._names[context_of(witness, self._base)] = name
        if name in self._inputs:
            return False
        self._inputs.add(name)
        self._write(_INPUTS, f"{name}.json", witness)
        return True

    def add_witness(self, witness: Witness) -> bool:
        """Keep a run as its function's deepest, if it is, or as deep as the one kept and smaller; returns whether."""
        name, rank = file_name(witness), _rank(witness, self._base)
        if name in self._best and rank <= self._best[name]:
            return False
        self._best[name] = rank
        self._write(_WITNESSES, name, witness, is_lasting=True)
        return True

    def witness_path(self, name: str) -> Path | None:
        """Return the path of a function's witness by `witness.file_name`, None where no file is kept."""
        return self._directory / _WITNESSES / name if self._directory is not None and name in self._best else None

    def add_crash(self, kind: str, witness: Witness) -> Path | None:
        """Keep a run that ended badly; returns its path, None where no files are kept."""
        name = f"{kind}-{identity(witness)}.json"
        return self._write(_CRASHES, name, witness)

    def remove_input(self, context: Context) -> None:
        """Drop an input that others make superfluous."""
        name = self._names.pop(context, None)
        if name is None:
            return
        self._inputs.discard(name)
        if self._directory is not None:
            with suppress(FileNotFoundError):
                (self._directory / _INPUTS / f"{name}.json").unlink()

    # -- what was kept --

    def inputs(self) -> Iterator[Witness]:
        """Yield the runs worth changing, in the order of their names."""
        for witness in self._read(_INPUTS):
            self._names[context_of(witness, self._base)] = identity(witness)
            yield witness

    def witnesses(self) -> Iterator[Witness]:
        """Yield the deepest runs of functions, in the order of their names."""
        return self._read(_WITNESSES)

    def crashes(self) -> Iterator[Witness]:
        """Yield the runs that ended badly, in the order of their names."""
        return self._read(_CRASHES)

    def merge(self, other: Path) -> None:
        """Take in what another corpus of the same image holds.

        Raises:
            InputError: it is no corpus, or another image's.
        """
        if self._directory is None:
            return
        own, others = _load_settings(self._directory), _load_settings(other)
        _check_same(other, others, own)
        for kind in (_INPUTS, _WITNESSES, _CRASHES):
            for path in _files(other / kind):
                self._merge_file(kind, path)

    def _merge_file(self, kind: str, path: Path) -> None:
        try:
            witness = load_witness(path)
        except InputError as error:
            self.warnings.append(str(error))
            return
        if kind == _INPUTS:
            self.add_input(witness)
        elif kind == _WITNESSES:
            self.add_witness(witness)
        else:
            self.add_crash(path.name.rpartition("-")[0] or "crash", witness)

    # -- files --

    def _write(self, kind: str, name: str, witness: Witness, *, is_lasting: bool = False) -> Path | None:
        if self._directory is None:
            return None
        target = self._directory / kind / name
        self._written += 1
        temporary = target.parent / f"{_TEMPORARY}{os.getpid()}-{self._written}"
        try:
            _write_file(temporary, target, to_json(witness), is_lasting=is_lasting)
        except OSError as error:
            raise InputError(str(target), f"cannot be written: {error.strerror or error}") from error
        return target

    def _read(self, kind: str) -> Iterator[Witness]:
        """Yield the witnesses of one kind; what is none is moved aside."""
        if self._directory is None:
            return
        for path in _files(self._directory / kind):
            try:
                yield load_witness(path)
            except InputError as error:
                self._set_aside(self._directory / _BROKEN, path, str(error))

    def _set_aside(self, place: Path, path: Path, why: str) -> None:
        with suppress(OSError):
            place.mkdir(exist_ok=True)
            path.replace(place / f"{path.parent.name}-{path.name}")
        self.warnings.append(f"{why}; it was moved to {place}")

    def _look_around(self, directory: Path) -> None:
        """Learn what is kept."""
        self._inputs = {path.stem for path in _files(directory / _INPUTS)}
        for witness in self.witnesses():
            self._best[file_name(witness)] = _rank(witness, self._base)


def _sweep(directory: Path) -> None:
    """Remove what processes that were killed left half written."""
    for kind in (".", _INPUTS, _WITNESSES, _CRASHES):
        for path in (directory / kind).glob(f"{_TEMPORARY}*"):
            path.unlink(missing_ok=True)


def identity(witness: Witness) -> str:
    """Return a name for a run: the same for the same function, role, arguments, input and calls before it."""
    parts = (witness.caller, witness.root, witness.arguments, witness.alignment, witness.input, witness.before)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:_DIGITS]


def _rank(witness: Witness, base: int) -> tuple[int, int, int]:
    """Return what the best witness of a function is the greatest of: depth, own, smallness."""
    return witness.depth, witness.own, -input_size(context_of(witness, base))


def _prepare(directory: Path, wanted: CampaignFile) -> IO[bytes]:
    """Lock a directory and make sure that it is a corpus for these settings; returns what holds the lock."""
    if directory.exists() and not directory.is_dir():
        raise InputError(str(directory), "is not a directory", "name another one with --corpus")
    is_new = not (directory / _SETTINGS).exists()
    if is_new and directory.exists() and not _is_begun(directory):
        raise InputError(str(directory), "holds something else than a corpus", "name an empty or a new directory")
    for kind in (_INPUTS, _WITNESSES, _CRASHES):
        (directory / kind).mkdir(parents=True, exist_ok=True)
    try:
        held = lock(directory / _LOCK)
    except LockedError as error:
        raise InputError(str(directory), "another campaign is using it", "wait for it, or name another") from error
    try:
        if is_new:
            data = msgspec.json.format(msgspec.json.encode(wanted), indent=2) + b"\n"
            temporary = directory / f"{_TEMPORARY}{os.getpid()}"
            _write_file(temporary, directory / _SETTINGS, data, is_lasting=True)
        else:
            _check_same(directory, _load_settings(directory), wanted)
    except BaseException:
        unlock(held)
        raise
    return held


def _is_begun(directory: Path) -> bool:
    """Return whether a directory holds nothing but what a corpus begins with: one may have been killed there."""
    places = (_INPUTS, _WITNESSES, _CRASHES)
    return all(
        one.name == _LOCK
        or one.name.startswith(_TEMPORARY)
        or (one.name in places and one.is_dir() and not any(one.iterdir()))
        for one in itertools.islice(directory.iterdir(), MAX_FILES)
    )


def _load_settings(directory: Path) -> CampaignFile:
    """Return what all files of a corpus depend on; raises InputError where there is no corpus."""
    path = directory / _SETTINGS
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SETTINGS + 1)
        if len(data) > MAX_SETTINGS:
            raise ValueError(f"more than {MAX_SETTINGS} bytes")
        found = msgspec.json.decode(data, type=CampaignFile)
        if found.schema != SCHEMA:
            raise ValueError(f"schema {found.schema}")
    except OSError as error:
        raise InputError(str(directory), f"not a corpus: no {_SETTINGS}: {error.strerror or error}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise InputError(str(path), f"not a corpus: {error}") from error
    return found


def _check_same(directory: Path, found: CampaignFile, wanted: CampaignFile) -> None:
    """Check that a corpus belongs to an image and to settings; raises InputError where it does not."""
    if found.sha256 != wanted.sha256:
        raise InputError(
            str(directory),
            f"belongs to another image: sha256 {found.sha256[:16]}..., not {wanted.sha256[:16]}...",
            "name another corpus; inputs of one image mean nothing to another",
        )
    for name in ("seed", "budget", "initialise"):
        theirs, ours = getattr(found, name), getattr(wanted, name)
        if theirs != ours:
            raise InputError(
                str(directory), f"was made with {name} {theirs}, not {ours}", "use the same, or another corpus"
            )


def _files(directory: Path) -> list[Path]:
    """Return the witnesses in a directory by their names, no more than MAX_FILES."""
    if not directory.is_dir():
        return []
    found = (path for path in directory.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    return sorted(itertools.islice(found, MAX_FILES))


def _write_file(temporary: Path, target: Path, data: bytes, *, is_lasting: bool) -> None:
    with temporary.open("wb") as file:
        file.write(data)
        if is_lasting:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(target)
