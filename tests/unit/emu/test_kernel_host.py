"""The kernel at work inside a run: exceptions reach the driver's handlers, callbacks run on its stack or apart.

The code was assembled with nasm; the figures follow from its listing.
"""

from __future__ import annotations

import pytest
from made_images import code_section, data_section, made_image

from stackemu.emu.engine import Mode
from stackemu.emu.image import Image, Import
from stackemu.emu.inputs import Input, Style
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Observation, Outcome

BASE = 0xA5DE0000
SOURCE = Input(0, Style.ZEROS, True)

CODE = {
    # push handler; push fs:[0]; mov fs:[0], esp; mov eax, [0]; pop fs:[0]; add esp, 4; ret
    0x1000: "684010dea5 64ff3500000000 64892500000000 a100000000 648f0500000000 83c404 c3",
    # handler: mov eax, [esp+12]; add [eax+0xb8] (Eip), 5; xor eax, eax (continue execution); ret
    0x1040: "8b44240c 8380b800000005 31c0 c3",
    # as the first, with the handler below
    0x1080: "68c010dea5 64ff3500000000 64892500000000 a100000000 648f0500000000 83c404 c3",
    # handler: mov eax, 1 (continue search); ret
    0x10C0: "b801000000 c3",
    # push ebp; mov ebp, esp; push -1; push scopes; push [_except_handler3]; push fs:[0]; mov fs:[0], esp;
    # sub esp, 8; push ebx; mov [ebp-0x18], esp; mov [ebp-4], 0; push ecx; push ecx; mov eax, [0]; ud2
    # filter: mov eax, 1; ret
    # except: mov esp, [ebp-0x18]; mov [ebp-4], -1; mov eax, 42; mov ecx, [ebp-0x10]; mov fs:[0], ecx; pop ebx;
    # leave; ret
    0x1100: "55 89e5 6aff 688011dea5 ff350030dea5 64ff3500000000 64892500000000 83ec08 53 8965e8 c745fc00000000"
    "51 51 a100000000 0f0b b801000000c3"
    "8b65e8 c745fcffffffff b82a000000 8b4df0 64890d00000000 5b c9 c3",
    # scopes: enclosing level -1, filter, except
    0x1180: "ffffffff 3511dea5 3b11dea5",
    # push 0x3000; push 7; push callout; call [KeExpandKernelStackAndCallout]; ret
    0x11C0: "6800300000 6a07 680012dea5 ff150430dea5 c3",
    # callout: sub esp, 0x800; mov eax, [esp+0x804]; mov [0xa5de2000], eax; add esp, 0x800; ret 4
    0x1200: "81ec00080000 8b842404080000 a30020dea5 81c400080000 c20400",
    # push 0xc0000005; call [ExRaiseStatus]
    0x1240: "68050000c0 ff150830dea5",
    # push ebx; push 0; push 10; push 0; push 107; call [_aulldvrm]; shl eax, 8; or eax, ecx; add eax, ebx; pop ebx;
    # ret
    0x1280: "53 6a00 6a0a 6a00 6a6b ff150c30dea5 c1e008 09c8 01d8 5b c3",
}
REPAIRED, DECLINED, GUARDED, EXPANDS, RAISES, DIVIDES = 0x1000, 0x1080, 0x1100, 0x11C0, 0x1240, 0x1280
CALLOUT = 0x1200


def _image() -> Image:
    text = bytearray(b"\xcc" * 0x1000)
    for rva, code in CODE.items():
        data = bytes.fromhex(code)
        text[rva - 0x1000 : rva - 0x1000 + len(data)] = data
    names = ("_except_handler3", "KeExpandKernelStackAndCallout", "ExRaiseStatus", "_aulldvrm")
    return made_image(
        (
            code_section(bytes(text), 0x1000),
            data_section(bytes(0x2000), 0x2000),
        ),
        imports=tuple(Import("ntoskrnl.exe", name, None, 0x3000 + 4 * number) for number, name in enumerate(names)),
    )


@pytest.fixture(params=[Mode.BLOCKS, Mode.STEPS], ids=lambda mode: mode.value)
def machine(request: pytest.FixtureRequest) -> Machine:
    starts = [rva for rva in CODE if rva != 0x1180]
    ranges = [(BASE + rva, BASE + rva + 0x40) for rva in starts]
    return Machine(_image(), ranges, lambda _address: 0, request.param)


def _chain(observation: Observation, machine: Machine) -> list[tuple[int | str, int]]:
    return [(machine.stub_name(share.function) or share.function - BASE, share.bytes) for share in observation.chain]


def test_a_handler_that_repairs_the_cause_lets_the_function_return(machine: Machine) -> None:
    observation = machine.call(REPAIRED, SOURCE)
    assert observation.outcome is Outcome.RETURNED
    assert observation.own == 8
    # The handler's four arguments and its return address are the kernel's.
    assert _chain(observation, machine) == [(REPAIRED, 8), ("KiDispatchException", 20)]


def test_a_fault_that_every_handler_declines_ends_the_run(machine: Machine) -> None:
    observation = machine.call(DECLINED, SOURCE)
    assert observation.outcome is Outcome.FAULTED
    assert observation.why == "read of 0x00000000 at 0xa5de1093"
    assert (observation.own, observation.depth) == (8, 28)


def test_an_except_block_takes_over_and_the_registers_survive(machine: Machine) -> None:
    observation = machine.call(GUARDED, SOURCE)
    assert (observation.outcome, observation.result) == (Outcome.RETURNED, 42)
    assert (observation.own, observation.clobbered, observation.popped) == (40, (), 0)
    # Below the function: the handler's call, and the filter's return address.
    assert _chain(observation, machine) == [
        (GUARDED, 40),
        ("KiDispatchException", 20),
        ("_except_handler3", 4),
    ]


def test_an_exception_that_nobody_handles_is_the_outcome(machine: Machine) -> None:
    observation = machine.call(RAISES, SOURCE)
    assert (observation.outcome, observation.why) == (Outcome.RAISED, "ExRaiseStatus raised 0xc0000005")


def test_a_callout_on_a_stack_of_its_own_costs_its_caller_nothing(machine: Machine) -> None:
    observation = machine.call(EXPANDS, SOURCE)
    assert (observation.outcome, observation.result) == (Outcome.RETURNED, 0)
    # Three arguments and the return address of the call.
    assert (observation.own, observation.depth) == (16, 16)
    assert machine.record(EXPANDS, SOURCE).read(0xA5DE2000, 4) == 7
    assert [(root.address - BASE, root.role) for root in observation.roots] == [
        (CALLOUT, "KeExpandKernelStackAndCallout callout")
    ]
    alone = machine.call(CALLOUT, SOURCE, observation.roots[0])
    assert alone.own == 0x800


def test_a_division_with_remainder_leaves_it_in_ebx_and_ecx(machine: Machine) -> None:
    observation = machine.call(DIVIDES, SOURCE)
    assert (observation.outcome, observation.result) == (Outcome.RETURNED, 10 << 8 | 7)
    assert (observation.own, observation.clobbered) == (24, ())
