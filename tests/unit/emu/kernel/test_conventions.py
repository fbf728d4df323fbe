"""Every stub, called through its import, pops what the export table says and keeps EBX, ESI, EDI and EBP."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from made_images import code_section, data_section, made_image

from stackemu.emu.image import Import
from stackemu.emu.inputs import Input, Style
from stackemu.emu.kernel.exports import NEVER_RETURN
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Outcome

BASE = 0xA5DE0000
CODE, DATA, SLOTS = 0x1000, 0x100000, 0x110000
STRIDE = 64
WORDS = 16
SAVED_ESP = BASE + DATA

MOVES_ESP = frozenset({"_chkstk", "_alloca_probe", "_alloca_probe_8", "_alloca_probe_16", "__chkstk"})
"""Stack probes: they return with another ESP on purpose."""
RESULT_IN = {"_alldvrm": {"EBX"}, "_aulldvrm": {"EBX"}}
"""Callee-saved registers that hold a part of a function's result: the remainder is in EBX:ECX."""
LEAVES = frozenset({"longjmp", "_local_unwind4", "_EH_prolog", "_global_unwind2", "_except_handler3",
                    "_except_handler2", "_local_unwind2", "RtlUnwind", "PsTerminateSystemThread",
                    "_setjmpex", "_setjmp", "_setjmp3"})  # fmt: skip
"""Functions that go on somewhere else."""


def _rows() -> list[dict[str, str]]:
    """Return the rows of the export table, each name once: the first, as the loader of tests takes it."""
    text = resources.files("stackemu.emu.kernel").joinpath("data", "kernel_api.tsv").read_text(encoding="utf-8")
    rows: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        rows.setdefault(row["name"], row)
    return list(rows.values())


def _popped(row: dict[str, str]) -> int:
    """Return what a function pops by its convention; two small parameters of fastcall are in registers."""
    size = int(row["stack_bytes"])
    if row["convention"] == "cdecl":
        return 0
    if row["convention"] == "stdcall":
        return size
    kinds = [item.split(":")[1] for item in (row["parameters"] or "?").split(", ") if ":" in item]
    wide = {"Int64", "UInt64", "LARGE_INTEGER", "ULARGE_INTEGER", "Double", "GUID"}
    small = sum(kind not in wide for kind in kinds) if kinds else size // 4
    return size - 4 * min(2, small)


def _caller(slot: int) -> bytes:
    """Return code that pushes sixteen pointers, calls through a slot, and returns how far ESP came back."""
    pushes = b"\x51" * WORDS  # push ecx
    esp = SAVED_ESP.to_bytes(4, "little")
    code = pushes + b"\x89\x25" + esp  # mov [saved], esp
    code += b"\xff\x15" + (BASE + slot).to_bytes(4, "little")  # call [slot]
    code += b"\x89\xe0\x2b\x05" + esp  # mov eax, esp; sub eax, [saved]
    code += b"\x8b\x25" + esp + b"\x83\xc4" + bytes([4 * WORDS]) + b"\xc3"  # mov esp, [saved]; add esp, 64; ret
    return code.ljust(STRIDE, b"\xcc")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return [row for row in _rows() if row["name"] not in NEVER_RETURN | MOVES_ESP | LEAVES]


@pytest.fixture(scope="module")
def machine(rows: list[dict[str, str]]) -> Machine:
    slots = [SLOTS + 4 * number for number in range(len(rows))]
    code = b"".join(map(_caller, slots))
    assert CODE + len(code) <= DATA
    image = made_image(
        (
            code_section(code, CODE),
            data_section(bytes(0x1000), DATA),
            data_section(bytes(0x10000), SLOTS, writable=False),
        ),
        imports=tuple(Import(row["module"], row["name"], None, slot) for row, slot in zip(rows, slots, strict=True)),
    )
    starts = range(BASE + CODE, BASE + CODE + len(code), STRIDE)
    return Machine(image, [(start, start + STRIDE) for start in starts], lambda _address: 0)


def _calls(machine: Machine, rows: list[dict[str, str]], source: Input) -> Iterator[tuple[dict[str, str], Any]]:
    for number, row in enumerate(rows):
        yield row, machine.call(CODE + STRIDE * number, source)


@pytest.mark.parametrize("succeeds", [True, False], ids=["success", "failure"])
def test_stubs_pop_and_keep_what_their_convention_says(
    machine: Machine, rows: list[dict[str, str]], succeeds: bool
) -> None:
    wrong, returned = {}, 0
    for row, observation in _calls(machine, rows, Input(0, Style.POINTERS, succeeds)):
        if observation.outcome is not Outcome.RETURNED or observation.why is not None:
            continue
        returned += 1
        changed = set(observation.clobbered or ()) - RESULT_IN.get(row["name"], set())
        if observation.result != _popped(row) or changed:
            wrong[row["name"]] = (observation.result, _popped(row), observation.clobbered)
    assert wrong == {}
    assert len(rows) > 4000
    # The rest raises an exception or ends the run, as it should for arguments that make no sense.
    assert returned >= 0.95 * len(rows)


def test_no_stub_takes_the_emulator_down(machine: Machine, rows: list[dict[str, str]]) -> None:
    for style in (Style.ZEROS, Style.RANDOM):
        for row, observation in _calls(machine, rows, Input(1, style, None)):
            assert observation.outcome is not Outcome.CRASHED, row["name"]
