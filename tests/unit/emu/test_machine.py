"""One run of one function: what the stack pointer reached, whose it was, and how the run ended.

Every figure follows from the listing beside the code: a push is 4 bytes, a call 4, `sub esp, N` is N.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from made_images import code_section, data_section, made_image

from stackemu.emu.calls import Arguments
from stackemu.emu.engine import Mode
from stackemu.emu.image import Import
from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.machine import Machine
from stackemu.emu.memory import STUB_BASE
from stackemu.emu.observation import Observation, Outcome

BASE = 0xA5DE0000
SLOT = 0x3000
SLOTS = ("ExFreePoolWithTag", "DbgPrint", "IofCompleteRequest", "NobodyKnowsThis", "KeBugCheckEx", "RtlZeroMemory")
SOURCE = Input(0, Style.ZEROS, True)


def _machine(functions: Mapping[int, str], mode: Mode, pops: int = 0, *, writable_code: bool = False) -> Machine:
    text = bytearray(b"\xcc" * 0x1000)
    for rva, code in functions.items():
        data = bytes.fromhex(code)
        text[rva - 0x1000 : rva - 0x1000 + len(data)] = data
    image = made_image(
        (
            code_section(bytes(text), 0x1000, writable=writable_code),
            data_section(bytes(0x2000), 0x2000),
        ),
        imports=tuple(Import("ntoskrnl.exe", name, None, SLOT + 4 * number) for number, name in enumerate(SLOTS)),
    )
    starts = sorted(functions)
    ends = [*starts[1:], 0x2000]
    return Machine(image, [(BASE + a, BASE + b) for a, b in zip(starts, ends, strict=True)], lambda _at: pops, mode)


@pytest.fixture(params=[Mode.BLOCKS, Mode.STEPS], ids=lambda mode: mode.value)
def mode(request: pytest.FixtureRequest) -> Mode:
    chosen: Mode = request.param
    return chosen


def _run(code: str, mode: Mode, **options: Any) -> Observation:
    return _machine({0x1000: code}, mode).call(0x1000, SOURCE, **options)


OWN = {
    "a push inside a block": ("50 50 58 58 c3", 8),  # push, push, pop, pop, ret
    "a frame that is never written": ("83 ec 30 83 c4 30 c3", 0x30),  # sub esp, 48; add esp, 48
    "a frame on EBP left by leave": ("55 89 e5 83 ec 20 c9 c3", 0x24),
    "a frame on EBP left by mov": ("55 89 e5 83 ec 20 89 ec 5d c3", 0x24),
    "enter and leave": ("c8 10 00 00 c9 c3", 0x14),
    "pushad": ("60 61 c3", 32),
    "a word": ("66 50 66 58 c3", 2),
    "lea": ("8d 64 24 d8 8d 64 24 28 c3", 40),
    "alloca by a register": ("b8 00 01 00 00 29 c4 01 c4 c3", 0x100),  # mov eax, 256; sub esp, eax; add esp, eax
    "a swapped stack pointer": ("89 e0 83 e8 60 94 94 c3", 96),  # mov eax, esp; sub eax, 96; xchg; xchg
    "a repeated string instruction": ("57 83 ec 40 89 e7 b9 10 00 00 00 31 c0 f3 ab 83 c4 40 5f c3", 0x44),
    "no frame": ("31 c0 c3", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_the_lowest_stack_pointer_is_exact(name: str, mode: Mode) -> None:
    code, own = OWN[name]
    observation = _run(code, mode)
    assert observation.outcome is Outcome.RETURNED
    assert (observation.own, observation.depth, observation.popped) == (own, own, 0)


@pytest.mark.parametrize(("alignment", "own"), [(0, 16 + 16), (4, 12 + 16), (8, 8 + 16), (12, 4 + 16)])
def test_realignment_costs_what_the_entry_says(alignment: int, own: int, mode: Mode) -> None:
    # push ebp; mov ebp, esp; and esp, -16; sub esp, 16; leave; ret. E is `alignment` bytes below a multiple of 64,
    # and the push takes ESP to `alignment` + 4 below it: from there down to a multiple of 16, which is 16 below it.
    observation = _run("55 89 e5 83 e4 f0 83 ec 10 c9 c3", mode, alignment=alignment)
    assert observation.own == own


def test_a_callee_counts_in_the_depth_and_not_in_own(mode: Mode) -> None:
    # caller: push eax; call callee; pop ecx; ret. callee: sub esp, 64; add esp, 64; ret
    machine = _machine({0x1000: "50 e8 0a 00 00 00 59 c3", 0x1010: "83 ec 40 83 c4 40 c3"}, mode)
    observation = machine.call(0x1000, SOURCE)
    assert (observation.own, observation.depth) == (8, 8 + 64)
    assert [(share.function - BASE, share.bytes) for share in observation.chain] == [(0x1000, 8), (0x1010, 64)]


def test_a_tail_call_is_no_frame_of_its_own(mode: Mode) -> None:
    # first: jmp second. second: push eax; push eax; add esp, 8; ret
    machine = _machine({0x1000: "eb 0e", 0x1010: "50 50 83 c4 08 c3"}, mode)
    observation = machine.call(0x1000, SOURCE)
    assert (observation.outcome, observation.own, observation.depth) == (Outcome.RETURNED, 0, 8)
    assert [(share.function - BASE, share.bytes) for share in observation.chain] == [(0x1000, 8)]


def test_recursion_stands_on_the_chain_turn_by_turn(mode: Mode) -> None:
    # mov ecx, 3; call turn; ret. turn: push eax; dec ecx; je +5; call turn; pop eax; ret
    machine = _machine({0x1000: "b9 03 00 00 00 e8 06 00 00 00 c3", 0x1010: "50 49 74 05 e8 f7 ff ff ff 58 c3"}, mode)
    observation = machine.call(0x1000, SOURCE)
    # The last turn pushes 4 and calls nobody.
    assert [share.bytes for share in observation.chain] == [4, 8, 8, 4]
    assert observation.own == 4


def test_what_a_function_pops_and_changes_is_seen(mode: Mode) -> None:
    observation = _run("bb 05 00 00 00 c2 08 00", mode)  # mov ebx, 5; ret 8
    assert (observation.popped, observation.clobbered) == (8, ("EBX",))


CALLS = {
    # push eax twice; call [ExFreePoolWithTag] (stdcall, 8 bytes); ret
    "stdcall": ("50 50 ff 15 00 30 de a5 c3", 12),
    # push eax three times; call [DbgPrint] (cdecl); add esp, 12; ret
    "cdecl": ("50 50 50 ff 15 04 30 de a5 83 c4 0c c3", 16),
    # call [IofCompleteRequest] (fastcall, both arguments in registers); ret
    "fastcall": ("ff 15 08 30 de a5 c3", 4),
}


@pytest.mark.parametrize("name", CALLS)
def test_imports_take_off_what_their_convention_says(name: str, mode: Mode) -> None:
    code, own = CALLS[name]
    # ExFreePoolWithTag is given an address that no pool block has.
    observation = _run(code, mode)
    assert (observation.outcome, observation.own, observation.popped) == (Outcome.RETURNED, own, 0)


def test_an_unknown_import_pops_what_its_call_site_asks_for_and_is_named(mode: Mode) -> None:
    # push eax; push eax; call [NobodyKnowsThis]; ret: 8 bytes must go
    machine = _machine({0x1000: "50 50 ff 15 0c 30 de a5 c3"}, mode, pops=8)
    observation = machine.call(0x1000, SOURCE)
    assert observation.outcome is Outcome.RETURNED
    assert observation.guessed_calls == ((BASE + 0x1008, 8),)
    assert observation.unmodelled == (("NobodyKnowsThis", BASE + 0x1008),)


ENDINGS = {
    "a null pointer": ("a1 00 00 00 00 c3", Outcome.FAULTED, "read of 0x00000000 at 0xa5de1000"),
    "a write to code": (
        "a3 00 10 de a5 c3",
        Outcome.FAULTED,
        "write to read-only memory at 0xa5de1000 at 0xa5de1000",
    ),
    "a call of null": ("31 c0 ff d0 c3", Outcome.FAULTED, "call or jump to 0x00000000"),
    "a division by zero": ("31 c9 f7 f1 c3", Outcome.FAULTED, "division error at 0xa5de1002"),
    "a breakpoint": ("cc", Outcome.RAISED, None),
    "a fast fail": ("cd 29", Outcome.BUGCHECK, None),
    "a bugcheck": (
        "6a 00 6a 00 6a 00 6a 00 68 e2 00 00 00 ff 15 10 30 de a5",
        Outcome.BUGCHECK,
        "KeBugCheckEx(0xe2)",
    ),
    "an endless loop": ("eb fe", Outcome.BUDGET, None),
    "endless recursion": ("e8 fb ff ff ff", Outcome.OVERFLOW, None),
    "an AVX instruction": ("c5 fc 57 c0 c3", Outcome.UNSUPPORTED, None),
    "a stack elsewhere": ("bc 00 00 00 86 50 c3", Outcome.UNSUPPORTED, None),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS)
def test_other_endings_are_told_apart(name: str, mode: Mode) -> None:
    code, outcome, why = ENDINGS[name]
    observation = _run(code, mode)
    assert observation.outcome is outcome, observation.why
    assert observation.popped is None
    if why is not None:
        assert observation.why == why


def test_more_than_the_stack_holds_is_an_overflow_and_still_measured(mode: Mode) -> None:
    # sub esp, 0x3400; add esp, 0x3400; ret: 13,312 bytes of 12,288
    observation = _run("81 ec 00 34 00 00 81 c4 00 34 00 00 c3", mode)
    assert (observation.outcome, observation.depth) == (Outcome.OVERFLOW, 0x3400)


def test_what_ran_before_a_fault_counts(mode: Mode) -> None:
    # push eax three times; mov eax, [0]; sub esp, 64
    observation = _run("50 50 50 a1 00 00 00 00 83 ec 40", mode)
    assert (observation.outcome, observation.own) == (Outcome.FAULTED, 12)


def test_code_that_rewrites_itself_is_measured_as_it_runs(mode: Mode) -> None:
    # mov byte [0xa5de1009], 0x40; sub esp, 16 -- whose 16 becomes 64; add esp, 64; ret
    code = "c6 05 09 10 de a5 40 83 ec 10 83 c4 40 c3"
    observation = _machine({0x1000: code}, mode, writable_code=True).call(0x1000, SOURCE)
    assert (observation.outcome, observation.own) == (Outcome.RETURNED, 0x40)


def test_runs_do_not_see_what_others_wrote(mode: Mode) -> None:
    # inc dword [0xa5de2000]; mov eax, [0xa5de2000]; ret
    machine = _machine({0x1000: "ff 05 00 20 de a5 a1 00 20 de a5 c3"}, mode)
    assert [machine.call(0x1000, SOURCE).result for _ in range(2)] == [1, 1]
    machine.keep()
    assert machine.call(0x1000, SOURCE).result == 2


@pytest.mark.parametrize("place", [STUB_BASE, BASE + 0x1800], ids=["a kernel function", "the driver's code"])
def test_the_kernel_writes_no_more_than_the_driver_may(place: int, mode: Mode) -> None:
    # push 16; push place; call [RtlZeroMemory]; ret
    overwrite = f"6a10 68{place.to_bytes(4, 'little').hex()} ff151430dea5 c3"
    machine = _machine({0x1000: overwrite, 0x1800: "c3"}, mode)
    before = machine.call(0x1800, SOURCE)
    observation = machine.call(0x1000, SOURCE)
    assert (observation.outcome, observation.depth) == (Outcome.FAULTED, 12)
    assert observation.why is not None
    assert f"{place:#010x}" in observation.why
    assert machine.call(0x1800, SOURCE) == before


def test_a_snapshot_brings_back_what_runs_started_from(mode: Mode) -> None:
    machine = _machine({0x1000: "ff 05 00 20 de a5 a1 00 20 de a5 c3"}, mode)
    fresh = machine.snapshot
    machine.call(0x1000, SOURCE)
    machine.keep()
    machine.start_from(fresh)
    assert machine.call(0x1000, SOURCE).result == 1


def test_the_same_input_gives_the_same_observation(mode: Mode) -> None:
    # mov eax, [esp+4]; mov eax, [eax]; ret
    code = {0x1000: "8b 44 24 04 8b 00 c3"}
    source = Input(3, Style.MIXED, None)
    pointer = Arguments((True,))
    runs = [_machine(code, mode).call(0x1000, source, pointer) for _ in range(2)]
    assert runs[0] == runs[1]


def test_an_override_changes_its_place_alone(mode: Mode) -> None:
    # mov eax, [esp+4]; mov edx, [eax]; mov eax, [eax+4]; add eax, edx; ret
    machine = _machine({0x1000: "8b 44 24 04 8b 10 8b 40 04 01 d0 c3"}, mode)
    pointer = Arguments((True,))
    changed = SOURCE.with_override(Override(Place.MEMORY, 0x86000100, 0x1234))
    assert machine.call(0x1000, SOURCE, pointer).result == 0
    assert machine.call(0x1000, changed, pointer).result == 0x1234


def test_what_a_helper_leaves_to_a_tail_called_function_is_not_the_first_ones_own(mode: Mode) -> None:
    # first: jmp second. second: call helper; add esp, 64; ret. helper: pop edx; sub esp, 64; push edx; ret
    functions = {0x1000: "eb 0e", 0x1010: "e8 0b 00 00 00 83 c4 40 c3", 0x1020: "5a 83 ec 40 52 c3"}
    observation = _machine(functions, mode).call(0x1000, SOURCE)
    assert (observation.outcome, observation.own, observation.depth) == (Outcome.RETURNED, 0, 68)


# outer: push eax; call inner (20); pop eax; ret. inner (20): push eax; call leaf; call leaf; pop eax; ret.
# leaf (40): sub esp, 64; add esp, 64; ret
NESTED = {
    0x1000: "50 e8 1a 00 00 00 58 c3",
    0x1020: "50 e8 1a 00 00 00 e8 15 00 00 00 58 c3",
    0x1040: "83 ec 40 83 c4 40 c3",
}


def test_every_function_that_ran_has_its_mark(mode: Mode) -> None:
    observation = _machine(NESTED, mode).call(0x1000, SOURCE)
    marks = {mark.function - BASE: (mark.own, mark.depth, mark.is_over) for mark in observation.marks}
    assert marks == {0x1000: (8, 8 + 8 + 64, True), 0x1020: (8, 8 + 64, True), 0x1040: (64, 64, True)}


def test_the_frame_that_a_fault_cut_short_is_not_over(mode: Mode) -> None:
    # outer: call inner; ret. inner: push eax; mov eax, [0]
    machine = _machine({0x1000: "e8 1b 00 00 00 c3", 0x1020: "50 a1 00 00 00 00"}, mode)
    marks = {mark.function - BASE: mark for mark in machine.call(0x1000, SOURCE).marks}
    assert (marks[0x1020].own, marks[0x1020].is_over) == (4, False)


def test_with_a_focus_the_figures_are_those_of_one_function(mode: Mode) -> None:
    observation = _machine(NESTED, mode).call(0x1000, SOURCE, focus=0x1020)
    assert (observation.outcome, observation.own, observation.depth) == (Outcome.RETURNED, 8, 72)
    assert [(share.function - BASE, share.bytes) for share in observation.chain] == [(0x1020, 8), (0x1040, 64)]


def test_of_several_frames_of_the_focus_the_deepest_counts(mode: Mode) -> None:
    # outer: mov eax, 16; call callee; mov eax, 64; call callee; mov eax, 32; call callee; ret
    # callee: sub esp, eax; add esp, eax; ret
    calls = {16: 0x100A, 64: 0x1014, 32: 0x101E}
    code = "".join(f"b8 {n:02x} 00 00 00 e8 {0x1040 - end:02x} 00 00 00 " for n, end in calls.items()) + "c3"
    observation = _machine({0x1000: code, 0x1040: "29 c4 01 c4 c3"}, mode).call(0x1000, SOURCE, focus=0x1040)
    assert (observation.own, observation.depth, len(observation.chain)) == (64, 64, 1)


def test_a_focus_that_never_runs_has_no_chain(mode: Mode) -> None:
    observation = _machine({0x1000: "c3", 0x1020: "50 58 c3"}, mode).call(0x1000, SOURCE, focus=0x1020)
    assert (observation.own, observation.depth, observation.chain) == (0, 0, ())
