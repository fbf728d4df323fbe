"""Measurement documents built by hand: a function is a few words, the rest has defaults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from stackemu.harness.results import (
    ChainFrame,
    DriverInfo,
    FunctionResult,
    MeasuredFigures,
    Measurement,
    StaticFigures,
    Summary,
    SymbolsInfo,
)

BASE = 0xA5DE0000

MakeFunction = Callable[..., FunctionResult]
MakeMeasurement = Callable[..., Measurement]


@pytest.fixture
def make_function() -> MakeFunction:
    """Return a maker of functions: `chain` is ((name, bytes), ...); depth None means not measured."""

    def make(
        name: str = "PtCreate",
        *,
        rva: int = 0x1000,
        depth: int | None = 136,
        own: int | None = 136,
        static_own: int | None = 136,
        outcome: str = "returned",
        chain: tuple[tuple[str, int], ...] = (),
        verdict: str = "exact",
        locals_bytes: int | None = 96,
        open_reasons: tuple[str, ...] = (),
        findings: tuple[str, ...] = (),
        **fields: Any,
    ) -> FunctionResult:
        measured = None
        if depth is not None:
            measured = MeasuredFigures(
                outcome=outcome,
                own=own,
                depth=depth,
                chain=tuple(ChainFrame(function=frame, bytes=size) for frame, size in chain),
                instructions=1204,
                runs=16,
                blocks_seen=12,
                blocks=14,
            )
        frame = None if locals_bytes is None else locals_bytes + 16
        defaults: dict[str, Any] = {
            "module": "PassThrough",
            "rva": rva,
            "address": BASE + rva,
            "size": 64,
            "prototype": None,
            "root": None,
            "why": None,
            "witness": None,
        }
        return FunctionResult(
            name=name,
            static=StaticFigures(
                locals=locals_bytes,
                saved=16,
                frame=frame,
                own=static_own,
                bound=None,
                open=open_reasons,
                findings=findings,
            ),
            measured=measured,
            verdict=verdict,
            **(defaults | fields),
        )

    return make


@pytest.fixture
def make_measurement() -> MakeMeasurement:
    """Return a maker of documents, whose summary agrees with their functions."""

    def make(*functions: FunctionResult, machine: str = "x86", path: str = "PassThrough.sys") -> Measurement:
        measured = [(f.measured.depth or 0, f) for f in functions if f.measured is not None]
        deepest = max(measured, key=lambda pair: pair[0], default=None)
        return Measurement(
            driver=DriverInfo(
                path=path,
                name="PassThrough.sys",
                sha256="0" * 64,
                machine=machine,
                base=BASE,
                symbols=SymbolsInfo(source="pdb", path="PassThrough.pdb"),
            ),
            settings={"seed": 0, "inputs": 16},
            functions=functions,
            summary=Summary(
                functions=len(functions),
                measured=len(measured),
                outcomes=dict(Counter(f.measured.outcome for f in functions if f.measured is not None)),
                verdicts=dict(Counter(f.verdict for f in functions)),
                deepest=None if deepest is None else deepest[1].name,
                deepest_bytes=None if deepest is None else deepest[0],
            ),
        )

    return make
