"""Branches made to go one way: the bytes that do it, and runs with them, which leave no trace in later runs.

Encodings are those of the Intel SDM, volume 2: EB and E9 are `jmp` with a distance of 1 and of 4 bytes, counted from
the end of the instruction; 90 is `nop`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from made_images import code_section, made_image

from stackemu.emu.code.instruction import Decoder
from stackemu.emu.engine import Mode
from stackemu.emu.forced_branches import ForcedBranch, forced_branch
from stackemu.emu.inputs import Input, Style
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Observation, Outcome

BASE = 0xA5DE0000
SOURCE = Input(0, Style.ZEROS, True)


def _forced(code: str, address: int, target: int) -> ForcedBranch | None:
    return forced_branch(next(Decoder().decode(bytes.fromhex(code), address)), target)


FORCED = {
    "je taken": ("74 05", 0x1007, "eb 05", True),
    "je not taken": ("74 05", 0x1002, "eb 00", False),
    "jne backwards": ("75 f0", 0x0FF2, "eb f0", True),
    "loop taken": ("e2 fe", 0x1000, "eb fe", True),
    "loop not taken": ("e2 fe", 0x1002, "eb 00", False),
    "jecxz taken": ("e3 10", 0x1012, "eb 10", True),
    "a far ja taken": ("0f 87 00 02 00 00", 0x1206, "90 e9 00 02 00 00", True),
    "a far ja not taken": ("0f 87 00 02 00 00", 0x1006, "90 90 90 90 eb 00", False),
    "a switch": ("ff 24 85 00 20 00 00", 0x1307, "90 90 e9 00 03 00 00", True),
}


@pytest.mark.parametrize("name", FORCED)
def test_a_branch_becomes_a_jump_of_its_length(name: str) -> None:
    code, target, expected, is_taken = FORCED[name]
    assert _forced(code, 0x1000, target) == ForcedBranch(0x1000, target, is_taken, bytes.fromhex(expected))


NOT_FORCED = {
    "an indirect jump too short for the distance": ("ff e0", 0x1200),
    "a direct jump": ("eb 05", 0x1007),
    "a call": ("e8 00 00 00 00", 0x1005),
    "a return": ("c3", 0x1001),
    "no transfer": ("85 c0", 0x1002),
}


@pytest.mark.parametrize("name", NOT_FORCED)
def test_other_instructions_stay_what_they_are(name: str) -> None:
    code, target = NOT_FORCED[name]
    assert _forced(code, 0x1000, target) is None


# outer: xor eax, eax; test eax, eax; jne deep; ret. deep: push eax; call inner; pop eax; ret
OUTER = "31 c0 85 c0 75 01 c3 50 e8 0e 00 00 00 58 c3"
# inner, 0x1b bytes behind: sub esp, 0x40; add esp, 0x40; ret
INNER = "83 ec 40 83 c4 40 c3"
NEVER = ForcedBranch(BASE + 0x1004, BASE + 0x1007, True, b"\xeb\x01")
"""`jne deep`, which is never taken: EAX is 0."""


@pytest.fixture(params=[Mode.BLOCKS, Mode.STEPS], ids=lambda mode: mode.value)
def mode(request: pytest.FixtureRequest) -> Mode:
    chosen: Mode = request.param
    return chosen


def _machine(mode: Mode, *, writable_code: bool = False, outer: str = OUTER) -> Machine:
    text = bytearray(b"\xcc" * 0x1000)
    for at, code in ((0, outer), (0x1B, INNER)):
        text[at : at + len(bytes.fromhex(code))] = bytes.fromhex(code)
    section = code_section(bytes(text), 0x1000, writable=writable_code)
    image = made_image((section,))
    return Machine(image, [(BASE + 0x1000, BASE + 0x100F), (BASE + 0x101B, BASE + 0x2000)], lambda _at: 0, mode)


def _call(machine: Machine, branches: Sequence[ForcedBranch] = ()) -> Observation:
    with machine.forcing(branches):
        return machine.call(0x1000, SOURCE)


@pytest.mark.parametrize("writable_code", [False, True])
def test_a_forced_run_goes_where_no_other_does(mode: Mode, writable_code: bool) -> None:
    machine = _machine(mode, writable_code=writable_code)
    assert _call(machine).depth == 0
    forced = _call(machine, [NEVER])
    # push 4, call 4, and 0x40 in the callee
    assert (forced.outcome, forced.own, forced.depth) == (Outcome.RETURNED, 8, 8 + 0x40)


@pytest.mark.parametrize("writable_code", [False, True])
def test_later_runs_are_what_they_were(mode: Mode, writable_code: bool) -> None:
    machine = _machine(mode, writable_code=writable_code)
    before = _call(machine)
    assert _call(machine, [NEVER]) == _call(machine, [NEVER])
    assert _call(machine) == before
    assert _call(_machine(mode, writable_code=writable_code)) == before


def test_a_block_that_was_met_with_force_counts_its_own_instructions_later(mode: Mode) -> None:
    # xor eax, eax; test eax, eax; jne +1 with a distance of 4 bytes; ret; push eax; pop eax; ret. A forced jump of
    # 6 bytes is two instructions.
    far = "31 c0 85 c0 0f 85 01 00 00 00 c3 50 58 c3"
    branch = ForcedBranch(BASE + 0x1004, BASE + 0x100B, True, bytes.fromhex("90 e9 01 00 00 00"))
    machine = _machine(mode, outer=far)
    assert _call(machine, [branch]).own == 4
    assert _call(machine).instructions == 4


def _fail_after(_run: Observation) -> None:
    raise KeyError


def test_a_run_after_a_failed_one_is_what_it_was(mode: Mode) -> None:
    machine = _machine(mode)
    before = _call(machine)
    with pytest.raises(KeyError), machine.forcing([NEVER]):
        _fail_after(machine.call(0x1000, SOURCE))
    assert _call(machine) == before


def test_calls_of_forced_runs_are_none_that_were_seen() -> None:
    machine = _machine(Mode.BLOCKS)
    machine.call(0x101B, SOURCE)
    _call(machine, [NEVER])
    assert machine.take_calls() == []


def test_calls_seen_before_are_not_lost() -> None:
    # With EAX forced the other way the call is real: `deep` itself is run.
    machine = _machine(Mode.BLOCKS)
    machine.call(0x1007, SOURCE)
    _call(machine, [NEVER])
    assert machine.take_calls() == [(BASE + 0x100D, BASE + 0x101B)]
    assert machine.take_calls() == []
