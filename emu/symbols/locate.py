"""Finding the PDB or map file that belongs to an image, and refusing those that do not.

Symbols of another build give every function a wrong name and extent, so what does not match is left
out, with a warning that says what was expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stackemu.emu.errors import InputError
from stackemu.emu.image import Image
from stackemu.emu.symbols.cursor import FormatError
from stackemu.emu.symbols.function import Function
from stackemu.emu.symbols.mapfile import mismatch, read_map
from stackemu.emu.symbols.pdb import read_identity, read_pdb
from stackemu.emu.symbols.structure import Structure

_RESERVED_NAMES = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True)
class SymbolFile:
    """A symbol file that matches its image; `source` is 'pdb', 'public pdb' or 'map'."""

    path: Path
    source: str
    functions: tuple[Function, ...]
    structures: Mapping[str, Structure] = field(default_factory=dict)


def find_symbols(image: Image, explicit: Path | None = None) -> tuple[SymbolFile | None, tuple[str, ...]]:
    """Return the first symbol file that matches `image`, and warnings about those that do not.

    `explicit` is a `.pdb`, a `.map` or a directory to look in; with none, the files beside the driver are
    tried. The names tried are the driver's own with `.pdb`, the debug entry's, and the driver's with `.map`.
    Raises `InputError` only where `explicit` does not exist.
    """
    if explicit is not None and not _exists(explicit):
        raise InputError(str(explicit), "no such symbol file or directory")
    warnings: list[str] = []
    for path in _candidates(image, explicit):
        try:
            found = _read(image, path, path == explicit, warnings)
        except FormatError as error:
            warnings.append(f"{path} is not used: {error}")
        except OSError as error:
            warnings.append(f"{path} is not used: it cannot be read ({error.strerror})")
        else:
            if found is not None:
                return found, tuple(warnings)
    return None, tuple(warnings)


def _candidates(image: Image, explicit: Path | None) -> Iterator[Path]:
    """Yield the files to try, in their order; `explicit` itself even where its suffix says nothing."""
    directory = image.path.parent
    if explicit is not None:
        if not explicit.is_dir():
            yield explicit
            return
        directory = explicit
    names = [f"{image.path.stem}.pdb"]
    if image.debug_id is not None:
        names.append(_base_name(image.debug_id.pdb_name))
    names.append(f"{image.path.stem}.map")
    for name in dict.fromkeys(names):
        if name not in _RESERVED_NAMES and _exists(directory / name) and (directory / name).is_file():
            yield directory / name


def _base_name(pdb_name: str) -> str:
    """Return the last part of a path that an image's file claims, whichever separators it uses."""
    name = pdb_name.replace("\\", "/").rsplit("/", 1)[-1]
    return name if name.lower().endswith(".pdb") and "\0" not in name and ":" not in name else ""


def _exists(path: Path) -> bool:
    """Return whether there is something at `path`; a name too long or forbidden is not there."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def _read(image: Image, path: Path, explicit: bool, warnings: list[str]) -> SymbolFile | None:
    """Return the symbols in `path`, None (with a warning) where they are another image's."""
    if path.suffix.lower() == ".map":
        map_file = read_map(path, image)
        problem = mismatch(map_file, image)
        if problem is None:
            return SymbolFile(path, "map", map_file.functions)
        warnings.append(f"{path} is not used: it does not match the image: {problem}")
        return None
    guid, age = read_identity(path)
    problem = _pdb_mismatch(image, guid, age)
    if problem is not None:
        warnings.append(f"{path} is not used: it does not match the image: {problem}")
        return None
    if image.debug_id is None:
        if not explicit:
            warnings.append(f"{path} is not used: the image has no debug id; use --symbols to insist")
            return None
        warnings.append(f"{path} cannot be verified: the image has no debug id")
    pdb = read_pdb(path)
    warnings.extend(pdb.warnings)
    return SymbolFile(path, "pdb" if pdb.has_procedures else "public pdb", pdb.functions, pdb.structures)


def _pdb_mismatch(image: Image, guid: str, age: int) -> str | None:
    """Return how a PDB's identity differs from the one that the image asks for.

    The linkers write the DBI age into the image, and raise it each time that they link into the same
    PDB: another age is another link, with functions at other addresses.
    """
    wanted = image.debug_id
    if wanted is None:
        return None
    if guid != wanted.guid:
        return f"expected GUID {wanted.guid}, got {guid}"
    if age != wanted.age:
        return f"expected age {wanted.age}, got {age}"
    return None
