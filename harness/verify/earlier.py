"""An earlier result of stackemu: the JSON of `run` or `static`, schema `stackemu.measurement/1`."""

from __future__ import annotations

import msgspec

from stackemu.emu.errors import InputError
from stackemu.harness.results import SCHEMA, FunctionResult, Measurement, from_json
from stackemu.harness.verify.claim import Claim, Figure, Format, Source

REMEDY = "give what 'stackemu run DRIVER --format json' wrote"
LONGEST_SCHEMA = 80
"""Characters of a document's schema that an error shows."""


class _Head(msgspec.Struct):
    """Of a document that may be anything: what it says it is."""

    schema: str | None = None


def recognise(text: str) -> bool:
    """Return whether `text` is a JSON object, or the beginning of one."""
    return text.lstrip()[:1] == "{"


def read(data: bytes, where: str) -> Source:
    """Return what the document says; `where` names it in errors.

    Raises:
        InputError: it is cut off, or no document of the schema.
    """
    try:
        schema = msgspec.json.decode(data, type=_Head).schema
        if schema != SCHEMA:
            raise InputError(
                where, f"expected the schema {SCHEMA}, got {(schema or 'none')[:LONGEST_SCHEMA]}", REMEDY
            )
        document = from_json(data)
    except msgspec.ValidationError as error:
        raise InputError(where, f"it does not follow the schema {SCHEMA}: {error}", REMEDY) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(where, f"the JSON is cut off or damaged: {error}", REMEDY) from error
    return Source(
        format=Format.RESULT,
        claims=tuple(_claim(document, function) for function in document.functions),
        image_sha256=document.driver.sha256,
    )


def _claim(document: Measurement, function: FunctionResult) -> Claim:
    static, measured = function.static, function.measured
    figures = {
        Figure.LOCALS: static.locals,
        Figure.SAVED: static.saved,
        Figure.FRAME: static.frame,
        Figure.OWN: static.own,
        Figure.OWN_REACHED: measured.own if measured else None,
        Figure.REACHED: measured.depth if measured else None,
    }
    return Claim(
        line=None,
        figures={figure: value for figure, value in figures.items() if value is not None},
        name=function.name,
        module=function.module,
        # An RVA is the same wherever the image was mapped.
        address=document.driver.base + function.rva,
    )
