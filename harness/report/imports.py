"""Imports that the emulated kernel only answers as the input says, ranked over several drivers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from stackemu.emu.image import Image, Import
from stackemu.emu.kernel.families import BEHAVIOURS
from stackemu.emu.kernel.kmdf import find_binding
from stackemu.emu.kernel.variables import variable_address
from stackemu.harness.printable import printable
from stackemu.harness.report.footer import Note
from stackemu.harness.report.page import Page, to_text
from stackemu.harness.report.table import footer, plain_table


@dataclass(frozen=True, slots=True)
class MissingImport:
    """An imported function without behaviour of its own, and the drivers that import it."""

    name: str
    library: str
    drivers: tuple[str, ...]


def missing_imports(images: Sequence[Image]) -> list[MissingImport]:
    """Return the imports without behaviour, those of most drivers first, then by name."""
    found: dict[str, MissingImport] = {}
    for image in images:
        for entry in _functions(image):
            if entry.name is not None and entry.name in BEHAVIOURS:
                continue
            known = found.get(entry.label)
            drivers = known.drivers if known is not None else ()
            if image.path.name not in drivers:
                drivers = (*drivers, image.path.name)
            found[entry.label] = MissingImport(entry.label, entry.library, drivers)
    return sorted(found.values(), key=lambda one: (-len(one.drivers), one.name))


def _functions(image: Image) -> list[Import]:
    """Return the imports but for variables of the kernel, whose contents are always there."""
    return [entry for entry in image.imports if variable_address(entry.name) is None]


def render(images: Sequence[Image], page: Page) -> str:
    """Return the ranking as a table, with how many imports there are in all below it."""
    missing = missing_imports(images)
    total = len({entry.label for image in images for entry in _functions(image)})
    framework = ", KMDF functions apart" if any(find_binding(image) for image in images) else ""
    if not missing:
        note = Note("without behaviour", f"none of {total} functions imported{framework}")
        return to_text(footer([note], page)[1:], page)
    table = plain_table(["drivers"], ["function", "library", "imported by"])
    for one in missing:
        names = ", ".join(one.drivers)
        table.add_row(
            str(len(one.drivers)), Text(printable(one.name)), Text(printable(one.library)), Text(printable(names))
        )
    text = f"{len(missing)} of {total} functions imported{framework}; the input alone decides what they answer"
    return to_text([table, *footer([Note("without behaviour", text)], page)], page)
