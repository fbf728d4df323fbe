"""What users know better than the code: targets of indirect calls, costs of kernel functions, turns of recursions.

    [indirect]
    "PtDispatch+0x1c" = { targets = ["PtRead", "PtWrite"], code = "ff5208" }
    "0x1520" = { targets = [] }          # calls nothing of this driver

    [api-cost]
    ZwCreateFile = 2048                  # bytes below ESP at the call

    [recursion]
    PtWalkTree = 16                      # frames at most that stand at once

`code` is optional: the bytes of the call; when the driver has others there, the annotation is out of date.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from stackemu.emu.errors import InputError
from stackemu.emu.image import Image
from stackemu.emu.symbols.function import Function

MAX_FILE = 1 << 20
MAX_NUMBER = (1 << 20) - 1
_PLACE = re.compile(r"^(?:(?P<function>.+?)\+)?0x(?P<offset>[0-9a-fA-F]{1,8})$")


class _Indirect(msgspec.Struct, forbid_unknown_fields=True):
    targets: tuple[str, ...]
    code: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    indirect: dict[str, _Indirect] = {}
    api_cost: dict[str, int] = {}
    recursion: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Annotations:
    """Annotations of one image: RVAs of call sites, absolute addresses of functions, bytes."""

    indirect: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """The functions that the call at an RVA may lead to."""
    api_cost: Mapping[str, int] = field(default_factory=dict)
    recursion: Mapping[int, int] = field(default_factory=dict)
    """How many frames of a function stand at once at most."""
    warnings: tuple[str, ...] = ()


NO_ANNOTATIONS = Annotations()


def load_annotations(path: Path, image: Image, functions: Sequence[Function]) -> Annotations:
    """Read a file of annotations.

    Raises:
        InputError: the file cannot be read, is no such file, or names a function that the driver does not have.
    """
    try:
        data = path.read_bytes()[: MAX_FILE + 1]
        if len(data) > MAX_FILE:
            raise InputError(str(path), f"more than {MAX_FILE} bytes: not a file of annotations")
        file = msgspec.toml.decode(data, type=_File)
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"not a file of annotations: {error}", "the README shows one") from error
    return _Resolver(path, image, functions).resolve(file)


class _Resolver:
    def __init__(self, path: Path, image: Image, functions: Sequence[Function]) -> None:
        self._path = path
        self._image = image
        self._rvas = {function.name: function.rva for function in reversed(functions)}

    def resolve(self, file: _File) -> Annotations:
        indirect, warnings = {}, []
        for place, entry in file.indirect.items():
            rva = self._place(place)
            warning = self._out_of_date(place, rva, entry.code)
            if warning:
                warnings.append(warning)
                continue
            indirect[rva] = tuple(self._image.base + self._rva(name) for name in entry.targets)
        return Annotations(
            indirect,
            {name: self._positive("api-cost", name, cost) for name, cost in file.api_cost.items()},
            {
                self._image.base + self._rva(name): self._positive("recursion", name, turns)
                for name, turns in file.recursion.items()
            },
            tuple(warnings),
        )

    def _positive(self, section: str, name: str, number: int) -> int:
        if not 0 < number <= MAX_NUMBER:
            raise InputError(str(self._path), f"[{section}] {name} = {number} is not a number from 1 to {MAX_NUMBER}")
        return number

    def _rva(self, name: str) -> int:
        rva = self._rvas.get(name)
        if rva is None:
            raise InputError(str(self._path), f"the driver has no function {name}", "'stackemu symbols' lists them")
        return rva

    def _place(self, place: str) -> int:
        match = _PLACE.match(place)
        if match is None:
            raise InputError(
                str(self._path), f"[indirect] {place} is neither like 0x1520 (an RVA) nor like Function+0x1c"
            )
        offset = int(match["offset"], 16)
        return offset + (self._rva(match["function"]) if match["function"] else 0)

    def _out_of_date(self, place: str, rva: int, code: str) -> str | None:
        """Return a warning when the driver holds other code at the call site, or none at all."""
        try:
            wanted = bytes.fromhex(code)
        except ValueError as error:
            raise InputError(str(self._path), f"[indirect] {place}: code = {code!r} is no row of bytes") from error
        found = self._image.read(rva, len(wanted)) if self._image.is_code(rva) else b""
        if self._image.is_code(rva) and found == wanted:
            return None
        there = f"{found.hex()}, not {wanted.hex()}" if found else "no code"
        return f"{self._path}: [indirect] {place} is left out: the call site has changed: there is {there}"
