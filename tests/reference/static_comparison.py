"""stackemu's static figures beside what the assembly text, clang and the PDB say: every difference, by source.

This module alone knows stackemu; what it compares with comes from modules that do not. Each rule states what its
source counts, so that a difference is a mistake of one of the two and never a matter of definition.
"""

from __future__ import annotations

import itertools
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from compiler_frames import FrameProc
from driver_matrix import Matrix, Variant
from static_facts import Facts, Key, gather


class Difference(NamedTuple):
    """One figure on which stackemu and a source do not agree."""

    source: str
    function: str
    figure: str
    expected: object
    stackemu: object


@dataclass
class Comparison:
    """What came of one build: how many functions each source was compared for, and all differences."""

    variant: Variant
    compared: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)


def has_frame_pointer(procedure: FrameProc) -> bool:
    """LLVM addresses parameters by EBP exactly where the function has a frame pointer."""
    return procedure.parameters_by == "EBP"


def expected_saved(procedure: FrameProc) -> int:
    """Return saved bytes by S_FRAMEPROC: cbSaveRegs leaves EBP out where it is the frame pointer."""
    return procedure.saved + 4 * has_frame_pointer(procedure)


def as_locals(facts: Facts, key: Key, size: int) -> int | None:
    """Return what stackemu should say where LLVM has `size` bytes of locals; None for those of run-time size.

    LLVM leaves out what a realigning prologue rounds them up by. It counts room for outgoing arguments where the
    prologue reserves that too (at -O0, and where a function's arguments are not pushed). So does stackemu, but where
    there is nothing else, and a callee takes all of it, that is a call's arguments and no locals.
    """
    if key in facts.only_arguments:
        return 0
    if not size and "has alloca" in facts.procedures[key].flags:
        return None
    alignment = facts.text[key].alignment
    return -(-size // alignment) * alignment


class _Check:
    """Compares figures one by one and keeps count."""

    def __init__(self, source: str, comparison: Comparison) -> None:
        self._source = source
        self._comparison = comparison

    def __call__(self, key: Key, **pairs: tuple[object, object]) -> None:
        self._comparison.compared[self._source] += 1
        for figure, (expected, ours) in pairs.items():
            if expected != ours:
                self._comparison.differences.append(Difference(self._source, key[0], figure, expected, ours))


def check_text(facts: Facts, check: _Check) -> None:
    """The text: own, with outgoing arguments and calls' return addresses, for every function of the driver."""
    for key in sorted({*facts.text, *facts.static}):
        expected, ours = facts.text.get(key), facts.static.get(key)
        check(
            key,
            exists=(expected is not None, ours is not None),
            own=(expected and expected.own, ours and ours.own),
        )


def check_stack_usage(facts: Facts, check: _Check) -> None:
    """`.su`: locals and saved registers, the frame pointer among them; `dynamic` for variables of run-time size.

    It leaves out the return address, pushed arguments, and what a realignment rounds up. The sum is compared.
    """
    for key in facts.compiled:
        usage, ours = facts.usage[key], facts.static[key]
        local = as_locals(facts, key, usage.size - ours.saved)
        check(
            key,
            frame=(None if local is None else local + ours.saved, ours.frame),
            constant=(usage.is_static, ours.own is not None),
        )


def check_procedures(facts: Facts, check: _Check) -> None:
    """S_FRAMEPROC: locals and saved registers apart, and whether there are variables of run-time size.

    cbFrame counts the frame pointer's slot, cbSaveRegs does not.
    """
    for key in facts.compiled:
        procedure, ours = facts.procedures[key], facts.static[key]
        check(
            key,
            locals=(as_locals(facts, key, procedure.frame - 4 * has_frame_pointer(procedure)), ours.locals),
            saved=(expected_saved(procedure), ours.saved),
            constant=("has alloca" not in procedure.flags, ours.own is not None),
        )


def check_frame_data(facts: Facts, check: _Check) -> None:
    """The last FRAMEDATA record of a prologue: the registers pushed, EBP included, and how far ESP goes below them.

    With a frame pointer LLVM's records end at the last push: they say 0 locals, whatever there are.
    """
    for key in facts.compiled:
        record, ours = facts.frame_data[key], facts.static[key]
        pairs: dict[str, tuple[object, object]] = {"saved": (record.saved, ours.saved)}
        if not record.by_frame_pointer:
            pairs["locals"] = (as_locals(facts, key, record.locals), ours.locals)
        check(key, **pairs)


def check_records(facts: Facts, check: _Check) -> None:
    """stackemu's readers of the PDB against llvm-pdbutil's, field by field."""
    for key in facts.compiled:
        procedure = facts.procedures[key]
        frame, data = facts.records[key]["S_FRAMEPROC"], facts.records[key]["FRAMEDATA"]
        listed = facts.frame_data[key]
        check(
            key,
            cbFrame=(procedure.frame, frame.locals),
            cbSaveRegs=(procedure.saved, frame.saved),
            alloca=("has alloca" in procedure.flags, frame.uses_alloca),
            seh=(bool({"has eh", "has seh", "has async eh"} & procedure.flags), frame.uses_seh),
            cbLocals=(listed.locals, data.locals),
            cbSavedRegs=(listed.saved, data.saved),
            cbParams=(listed.parameters, data.parameters),
            fHasSEH=(listed.has_seh, data.uses_seh),
        )


def check_sources(facts: Facts, check: _Check) -> None:
    """The compiler's sources against each other: one figure, of MachineFrameInfo, told in three ways."""
    for key in sorted({*facts.usage, *facts.procedures, *facts.frame_data}):
        usage, procedure, record = facts.usage.get(key), facts.procedures.get(key), facts.frame_data.get(key)
        if usage is None or procedure is None or record is None:
            check(key, complete=(True, False))
            continue
        check(
            key,
            frame=(usage.size, procedure.frame + procedure.saved),
            saved=(record.saved, expected_saved(procedure)),
            frame_pointer=(record.by_frame_pointer, has_frame_pointer(procedure)),
        )


def check_findings(facts: Facts, check: _Check) -> None:
    """What stackemu itself reports of debug records: no disagreement."""
    for key in facts.compiled:
        findings = [one for one in facts.static[key].findings if " says locals " in one]
        check(key, findings=([], [] if key in facts.only_arguments else findings))


CHECKS: Mapping[str, Callable[[Facts, _Check], None]] = {
    "text": check_text,
    "su": check_stack_usage,
    "frameproc": check_procedures,
    "framedata": check_frame_data,
    "records": check_records,
    "sources": check_sources,
    "findings": check_findings,
}


def compare(variant: Variant, facts: Facts) -> Comparison:
    """Compare one build's figures with every source."""
    comparison = Comparison(variant)
    for source, check in CHECKS.items():
        check(facts, _Check(source, comparison))
    return comparison


def compare_all(variants: Iterable[Variant], jobs: int) -> Iterator[Comparison]:
    """Build and compare variants in `jobs` processes; yield in the order given."""
    with (
        tempfile.TemporaryDirectory(prefix="stackemu-matrix-") as name,
        ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool,
    ):
        yield from pool.map(_build_and_compare, itertools.repeat(Path(name)), variants)


def _build_and_compare(directory: Path, variant: Variant) -> Comparison:
    with tempfile.TemporaryDirectory(dir=directory) as name:
        built = Matrix(Path(name) / "build").build(variant)
        return compare(variant, gather(variant, built))
