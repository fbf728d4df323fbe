"""What every command does first: the driver opened, its functions selected, its output target checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stackemu.emu.symbols.function import Function
    from stackemu.harness.session import Driver
    from stackemu.harness.static.annotations import Annotations


def load(
    path: Path,
    symbols: Path | None,
    patterns: Sequence[str] | None,
    target: Path | None,
    *,
    import_thunks: bool = False,
) -> tuple[Driver, tuple[Function, ...]]:
    """Return the opened driver and the functions that `patterns` select; its warnings go to stderr.

    Raises:
        InputError: the driver or its symbols cannot be read, or `target` cannot be written.
        UsageError: a pattern matches nothing, or `target` is one of the inputs.
    """
    from stackemu.harness import output
    from stackemu.harness.select import select_functions
    from stackemu.harness.session import open_driver

    output.check_target(target, [path, symbols])
    driver = open_driver(path, symbols)
    output.check_target(target, [driver.symbols_path])
    for warning in driver.warnings:
        output.warn(warning)
    selected = select_functions(driver.functions, path.name, patterns or (), import_thunks=import_thunks)
    return driver, selected


def annotations_of(path: Path | None, driver: Driver) -> Annotations:
    """Return the annotations in the file at `path`, none without a file; those out of date are warned of.

    Raises:
        InputError: the file cannot be read, or names what the driver does not have.
    """
    from stackemu.harness import output
    from stackemu.harness.static.annotations import NO_ANNOTATIONS, load_annotations

    if path is None:
        return NO_ANNOTATIONS
    annotations = load_annotations(path, driver.image, driver.functions)
    for warning in annotations.warnings:
        output.warn(warning)
    return annotations
