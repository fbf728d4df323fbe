"""The comparison of a source with a driver as typed records: schema `stackemu.verification/1`.

Figures are bytes; None (JSON `null`) where there is none.
"""

from __future__ import annotations

import enum

import msgspec

from stackemu.harness.results import DriverInfo

SCHEMA = "stackemu.verification/1"


class Verdict(enum.StrEnum):
    """How a source's figure and the driver's go together, the gravest first."""

    CONTRADICTION = "contradiction"
    """They differ, and runs have confirmed the driver's: the source's cannot be true of this image."""
    DIFFER = "differ"
    """They differ, and the driver's is not confirmed, or the source's no exact one."""
    NOT_MEASURED = "not-measured"
    """The driver has no such figure."""
    NOT_IN_DRIVER = "not-in-driver"
    """The driver has no such function."""
    AGREE = "agree"


class Part(enum.StrEnum):
    """What of a function's stack two figures differ in."""

    LOCALS = "locals"
    SAVED = "saved"
    ARGUMENTS = "arguments"
    RETURN_ADDRESS = "return address"
    ALIGNMENT = "alignment"
    ALLOCA = "alloca"


class ComparedFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure: `source` says so, `driver` is what the driver has in its place."""

    figure: str
    source: int
    driver: int | None
    verdict: Verdict
    part: Part | None = None
    why: str | None = None

    @property
    def difference(self) -> int | None:
        """Return how much more the source says than the driver."""
        return None if self.driver is None else self.source - self.driver


class ComparedFunction(msgspec.Struct, frozen=True, kw_only=True):
    """One function of the source; `verdict` is the gravest of its figures'.

    `name` is the driver's name for it, else the source's, else its place. `confirmed` is the verdict of
    measured against static figures (`exact`, `within`...).
    """

    name: str
    line: int | None
    address: int | None
    verdict: Verdict
    why: str | None
    confirmed: str | None
    figures: tuple[ComparedFigure, ...]


class SourceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The source: its path and what format it has."""

    path: str
    format: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document. `unmentioned` are functions of the driver that the source does not speak of."""

    schema: str = SCHEMA
    driver: DriverInfo
    source: SourceInfo
    settings: dict[str, int | str | bool | None]
    functions: tuple[ComparedFunction, ...]
    unmentioned: tuple[str, ...]
    summary: dict[Verdict, int]
    notes: tuple[str, ...] = ()


def gravest(verdicts: list[Verdict]) -> Verdict:
    """Return the gravest of some verdicts; without any, there is nothing to hold against the driver."""
    order = list(Verdict)
    return min(verdicts, key=order.index, default=Verdict.NOT_MEASURED)
