"""The arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stackemu.harness.effort import Effort

MAX_SEED = (1 << 32) - 1

DriverPath = Annotated[
    Path,
    typer.Argument(metavar="DRIVER", help="The driver's image, a .sys file.", show_default=False),
]
Patterns = Annotated[
    list[str] | None,
    typer.Option(
        "--func",
        metavar="GLOB",
        help="Only functions that match: Pt*, PassThrough!Pt*; can be repeated.",
        show_default=False,
    ),
]
SymbolsFile = Annotated[
    Path | None,
    typer.Option(
        "--symbols",
        metavar="PATH",
        help="The driver's PDB or linker map (else searched).",
        show_default=False,
    ),
]
Top = Annotated[
    int | None, typer.Option("--top", metavar="N", min=1, help="Only the first N rows.", show_default=False)
]
Target = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write to FILE, not to stdout.", show_default=False),
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Add reasons, outcomes and findings.")]
AnnotationsFile = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        metavar="FILE",
        help="What you know of indirect calls, kernel functions' costs and recursions (TOML).",
        show_default=False,
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="Where the inputs are drawn from.")
]
Search = Annotated[Effort, typer.Option("--effort", help="How long to look for inputs that reach more code.")]
