"""What is known of each kernel export: calling convention, bytes of arguments, result, parameters.

The tables lie in `data/`, with their provenance in `data/README.md`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources

REGISTER_ARGUMENTS = 2
"""A fastcall function takes up to two arguments in ECX and EDX."""

_WIDE_TYPES = frozenset({"Int64", "UInt64", "LARGE_INTEGER", "ULARGE_INTEGER", "Double", "GUID"})

NEVER_RETURN = frozenset(
    {"KeBugCheck", "KeBugCheckEx", "ExRaiseStatus", "RtlRaiseStatus", "ExRaiseAccessViolation",
     "ExRaiseDatatypeMisalignment", "PsTerminateSystemThread"}
)  # fmt: skip
"""Exports after whose call no driver code runs on."""


@dataclass(frozen=True, slots=True)
class ApiParameter:
    """A parameter: `direction` is '', 'in', 'out' or 'inout'."""

    name: str
    type: str
    direction: str

    @property
    def fits_register(self) -> bool:
        """Whether the parameter is of pointer size or smaller."""
        return self.type not in _WIDE_TYPES


@dataclass(frozen=True, slots=True)
class Api:
    """An exported function; `stack_bytes` is the size of its arguments as the table's README defines it."""

    module: str
    name: str
    convention: str
    stack_bytes: int
    returns: str
    parameter_text: str

    @property
    def parameters(self) -> tuple[ApiParameter, ...]:
        """Return the parameters, empty where the source gives only the size."""
        return _parameters(self.parameter_text)

    @property
    def register_arguments(self) -> int:
        """Return how many arguments travel in registers."""
        if self.convention != "fastcall":
            return 0
        if not self.parameters:
            return min(REGISTER_ARGUMENTS, self.stack_bytes // 4)
        return min(REGISTER_ARGUMENTS, sum(parameter.fits_register for parameter in self.parameters))

    @property
    def pops(self) -> int:
        """Return how many bytes of arguments the function pops from the stack."""
        if self.convention == "cdecl":
            return 0
        return self.stack_bytes - 4 * self.register_arguments


@functools.lru_cache(maxsize=4096)
def _parameters(text: str) -> tuple[ApiParameter, ...]:
    parameters = []
    for item in text.split(", ") if text not in ("", "?") else ():
        name, _, rest = item.partition(":")
        kind, _, direction = rest.partition(":")
        parameters.append(ApiParameter(name, kind, direction))
    return tuple(parameters)


@functools.cache
def _table() -> tuple[dict[tuple[str, str], Api], dict[str, Api]]:
    by_module: dict[tuple[str, str], Api] = {}
    by_name: dict[str, Api] = {}
    for module, name, convention, size, returns, parameters in _rows("kernel_api.tsv"):
        api = Api(module, name, convention, int(size), returns, parameters)
        by_module[module.lower(), name] = api
        by_name.setdefault(name, api)
    return by_module, by_name


@functools.cache
def exports() -> tuple[Api, ...]:
    """Return all exports that are known, in the order of the table."""
    return tuple(_table()[0].values())


@functools.cache
def kmdf_functions() -> tuple[Api, ...]:
    """Return the KMDF function table in index order (`WdfFunctions[index]`)."""
    return tuple(
        Api("Wdf01000.sys", name, convention, int(size) if size.isdigit() else 0, returns, parameters)
        for _, name, convention, size, returns, parameters in _rows("kmdf_functions.tsv")
    )


def find_api(library: str, name: str | None) -> Api | None:
    """Return what is known of an import, None for unknown names and for ordinals.

    A name that the table has only under another module is taken from there: HAL and kernel exports moved
    between modules over Windows versions.
    """
    if name is None:
        return None
    by_module, by_name = _table()
    return by_module.get((library.lower(), name)) or by_name.get(name)


def _rows(file: str) -> list[list[str]]:
    text = resources.files(__package__).joinpath("data", file).read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    return [row + [""] * (6 - len(row)) for row in rows if len(row) >= 5]
