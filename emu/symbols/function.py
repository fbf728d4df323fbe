"""A function of an image: its name, extent and prototype, and which source said so."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Source(enum.Enum):
    """Where a function's name or extent came from, most trusted first."""

    PDB_PROCEDURE = "pdb procedure"
    """S_GPROC32 or S_LPROC32 in a private PDB: name and extent."""
    PDB_PUBLIC = "pdb public"
    """S_PUB32, all that a public PDB has: a name, no extent."""
    COFF = "coff symbol"
    """The COFF symbol table of the image (mingw)."""
    MAP = "map file"
    """A linker's `.map` file."""
    EXPORT = "export"
    """The image's export directory."""
    ENTRY = "entry point"
    """AddressOfEntryPoint."""
    IMPORT_THUNK = "import thunk"
    """`jmp [IAT slot]`."""
    CALL_TARGET = "call target"
    """The target of a direct call."""
    CODE_POINTER = "code pointer"
    """A relocated pointer into code that looks like a function."""
    GUARD_TABLE = "guard table"
    """The load configuration's table of guarded or exception-handling functions."""
    PROLOGUE = "prologue"
    """Code between known functions that begins like a function."""
    CONTROL_FLOW = "control flow"
    """Extent only: the furthest instruction that control flow from the entry reaches."""
    NEXT_FUNCTION = "next function"
    """Extent only: the gap up to the next known function or the section's end."""


class Kind(enum.Enum):
    """What stands at a function's address."""

    FUNCTION = "function"
    IMPORT_THUNK = "import thunk"
    FUNCLET = "funclet"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a prototype: its name ('' where the source gives none) and its C type."""

    name: str
    type: str

    def __str__(self) -> str:
        """Return it as it stands in a C prototype."""
        return f"{self.type} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Prototype:
    """A function's type: `convention` is 'cdecl', 'stdcall', 'fastcall', 'thiscall' or ''."""

    returns: str
    convention: str
    parameters: tuple[Parameter, ...]
    variadic: bool = False

    def __str__(self) -> str:
        """Return the parameter list as C writes it, without the function's name."""
        inside = [str(parameter) for parameter in self.parameters]
        if self.variadic:
            inside.append("...")
        return f"({', '.join(inside) or 'void'})"


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """What debug information says of a function's frame; sizes in bytes, None where it does not say.

    `source` is 'S_FRAMEPROC', 'FPO' (FPO_DATA) or 'FRAMEDATA' (new FPO).
    """

    source: str
    locals: int | None
    saved: int | None
    parameters: int | None = None
    uses_alloca: bool = False
    uses_seh: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function by its RVA; `size` in bytes is None while no source and no analysis gave an extent."""

    rva: int
    name: str
    name_source: Source
    size: int | None = None
    extent_source: Source | None = None
    decorated: str | None = None
    prototype: Prototype | None = None
    kind: Kind = Kind.FUNCTION
    frames: tuple[FrameRecord, ...] = ()

    @property
    def end(self) -> int:
        """Return the RVA just past the function; its own RVA while the size is unknown."""
        return self.rva + (self.size or 0)
