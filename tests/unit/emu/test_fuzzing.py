"""Batches: what they find is what a run of its own shows, and no execution sees what another one did.

Figures follow from the listings beside the code: a push is 4 bytes, a call 4, `sub esp, N` is N.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

import pytest
from made_images import code_section, data_section, made_image

from stackemu.emu.calls import Arguments
from stackemu.emu.fuzzing import Batch, Find, FuzzMachine, Reason
from stackemu.emu.image import Image, Import
from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Outcome
from stackemu.emu.slots import Kind, Slot

BASE = 0xA5DE0000
SLOT = 0x4000
NAMES = (
    "RtlCopyMemory",
    "ExAllocatePoolWithTag",
    "NobodyKnowsThis",
    "_except_handler3",
    "KeExpandKernelStackAndCallout",
)
SOURCE = Input(0, Style.ZEROS, True)
POINTED = 0x86000100
"""What a first argument that is a pointer of unknown type points to (`inputs.pointer`)."""
POINTER = Arguments((True,))

BRANCHES = (
    # mov ecx, [esp+4]; cmp dword [ecx+8], 0x31304746; jne +9; sub esp, 64; add esp, 64; ret
    "8b4c2404 817908 46473031 7506 83ec40 83c440 c3"
)
WRITES = (
    # mov ecx, [esp+4]; inc dword [0xa5de2000]; inc dword [ecx]; push ecx; pop ecx; cmp dword [0xa5de2000], 1;
    # jne deep; cmp dword [ecx], 1; jne deep; ret; deep: sub esp, 256; add esp, 256; ret
    "8b4c2404 ff050020dea5 ff01 51 59 833d0020dea501 7506 833901 7501 c3 81ec00010000 81c400010000 c3"
)
ALLOCA = (
    # mov ecx, [esp+4]; movzx eax, byte [ecx]; and al, 0xfc; sub esp, eax; jmp +0; add esp, eax; ret
    "8b4c2404 0fb601 24fc 29c4 eb00 01c4 c3"
)


def _image(functions: Mapping[int, str], *, writable_code: bool = False) -> Image:
    text = bytearray(b"\xcc" * 0x1000)
    for rva, code in functions.items():
        data = bytes.fromhex(code)
        text[rva - 0x1000 : rva - 0x1000 + len(data)] = data
    return made_image(
        (
            code_section(bytes(text), 0x1000, writable=writable_code),
            data_section(bytes(0x3000), 0x2000),
        ),
        imports=tuple(Import("ntoskrnl.exe", name, None, SLOT + 4 * number) for number, name in enumerate(NAMES)),
    )


def _ranges(functions: Mapping[int, str]) -> list[tuple[int, int]]:
    starts = sorted(functions)
    return [(BASE + a, BASE + b) for a, b in zip(starts, [*starts[1:], 0x2000], strict=True)]


class EveryExecution(FuzzMachine):
    """A machine that forgets after every find, so that every execution is one."""

    def _find(self, *arguments: object) -> Find:
        find = super()._find(*arguments)  # type: ignore[arg-type]
        self.unlearn()
        return find


def _fuzzer(functions: Mapping[int, str], kind: type[FuzzMachine] = FuzzMachine, **options: bool) -> FuzzMachine:
    return kind(_image(functions, **options), _ranges(functions), lambda _at: 0)


def _machine(functions: Mapping[int, str], **options: bool) -> Machine:
    return Machine(_image(functions, **options), _ranges(functions), lambda _at: 0)


def _memory(machine: FuzzMachine) -> dict[int, bytes]:
    engine = machine._engine
    return {start: bytes(engine.mem_read(start, end + 1 - start)) for start, end, _ in engine.mem_regions()}


# -- what a run depends on --

LEARNED = {
    # mov ecx, [esp+8]; mov ax, [ecx+6]; ret
    "an argument and what it points to": (
        "8b4c2408 668b4106 c3",
        {Slot(Place.ARGUMENT, 1, 4, Kind.POINTER), Slot(Place.MEMORY, 0x86004106, 2)},
    ),
    # mov ecx, [esp+4]; mov dword [ecx], 5; mov eax, [ecx]; ret
    "nothing that it wrote itself": ("8b4c2404 c70105000000 8b01 c3", {Slot(Place.ARGUMENT, 0, 4, Kind.POINTER)}),
    # mov ecx, [esp+4]; mov al, [ecx]; mov al, [ecx+1]; mov al, [ecx+2]; mov al, [ecx+3]; mov eax, [ecx+8]; ret
    "bytes side by side as one": (
        "8b4c2404 8a01 8a4101 8a4102 8a4103 8b4108 c3",
        {
            Slot(Place.ARGUMENT, 0, 4, Kind.POINTER),
            Slot(Place.MEMORY, POINTED, 4),
            Slot(Place.MEMORY, POINTED + 8, 4),
        },
    ),
    # mov eax, [0xa5de2000]; ret
    "no variables of the driver": ("a10020dea5 c3", set()),
    # test ebx, ebx; je +1; nop; ret
    "a register that decides": ("85db 7401 90 c3", {Slot(Place.REGISTER, 3)}),
    # push ebx; pop ebx; ret
    "no register that is only saved": ("53 5b c3", set()),
    # without arguments: call [NobodyKnowsThis]; ret
    "whether a call succeeds": ("ff150840dea5 c3", {Slot(Place.OUTCOME, 1, 4, Kind.OUTCOME)}),
}  # fmt: skip


@pytest.mark.parametrize("name", LEARNED)
def test_learning_finds_the_places_that_a_run_depends_on(name: str) -> None:
    code, slots = LEARNED[name]
    found = _fuzzer({0x1000: code}).learn(0x1000, SOURCE, Arguments(("nobody*", "nobody*")))
    assert set(found) == slots


# -- finds --


def test_a_comparison_with_a_token_is_passed_and_the_run_is_deeper() -> None:
    machine = _fuzzer({0x1000: BRANCHES})
    slots = machine.learn(0x1000, SOURCE, POINTER)
    assert Slot(Place.MEMORY, POINTED + 8, 4) in slots
    batch = machine.batch(0x1000, SOURCE, POINTER, slots, dictionary=[b"FG01"], executions=2000)
    deepest = max(batch.finds, key=lambda find: find.depth)
    assert (deepest.outcome, deepest.own, deepest.depth, deepest.is_exact) == (Outcome.RETURNED, 64, 64, True)
    assert Reason.EDGE | Reason.OWN | Reason.DEPTH in deepest.reasons
    assert deepest.source.page(POINTED & -0x1000)[0x108:0x10C] == b"FG01"
    assert _machine({0x1000: BRANCHES}).call(0x1000, deepest.source, POINTER).depth == 64


def test_growing_depths_are_found_one_after_the_other() -> None:
    machine = _fuzzer({0x1000: ALLOCA})
    slots = machine.learn(0x1000, SOURCE, POINTER)
    batch = machine.batch(0x1000, SOURCE, POINTER, [slot for slot in slots if slot.size == 1], executions=3000)
    depths = [find.depth for find in batch.finds]
    assert depths == sorted(set(depths))
    assert depths[-1] == 0xFC
    assert batch.native == batch.executions == 3000


def test_what_is_known_is_no_find() -> None:
    first, second = _fuzzer({0x1000: BRANCHES}), _fuzzer({0x1000: BRANCHES})
    slots = first.learn(0x1000, SOURCE, POINTER)

    def run(machine: FuzzMachine) -> Batch:
        return machine.batch(0x1000, SOURCE, POINTER, slots, dictionary=[b"FG01"], executions=2000)

    found = run(first).finds
    assert found
    assert run(first).finds == ()
    second.teach(first.known)
    assert run(second).finds == ()
    second.unlearn()
    assert {find.depth for find in run(second).finds} >= {find.depth for find in found}


def test_canonical_runs_in_between_hide_nothing() -> None:
    machine = _fuzzer({0x1000: BRANCHES})
    slots = machine.learn(0x1000, SOURCE, POINTER)
    deep = SOURCE.with_override(Override(Place.MEMORY, POINTED + 8, 0x31304746))
    assert machine.call(0x1000, deep, POINTER).depth == 64
    batch = machine.batch(0x1000, SOURCE, POINTER, slots, dictionary=[b"FG01"])
    assert Reason.EDGE in max(batch.finds, key=lambda find: find.depth).reasons


# -- executions apart from each other --


def test_no_execution_sees_what_another_wrote() -> None:
    machine = _fuzzer({0x1000: WRITES})
    slots = [slot for slot in machine.learn(0x1000, SOURCE, POINTER) if slot.place is Place.REGISTER]
    machine.unlearn()
    batch = machine.batch(0x1000, SOURCE, POINTER, slots, executions=500)
    assert batch.native == 500
    assert [find.own for find in batch.finds] == [4]


WRITERS = {
    "a push below the stack pointer": "50 58 c3",
    "pushad": "60 61 c3",
    "enter": "c8100000 c9 c3",
    # mov edi, [esp+4]; add edi, 0xefc (4 bytes before the page's end); mov dword [edi+2], -1; ret
    "a word across two pages": "8b7c2404 81c7fc0e0000 c74702ffffffff c3",
    # mov edi, [esp+4]; mov ecx, 0x800; or eax, -1; rep stosd; ret
    "a filled range": "8b7c2404 b900080000 83c8ff f3ab c3",
    "a string copied downwards": "fd 8b742404 8dbe00010000 b940000000 f3a4 fc c3",
    "cmpxchg8b": "8b742404 31c0 31d2 bb01000000 f00fc70e c3",
    "xchg": "8b742404 83c8ff 8706 c3",
    "xadd": "8b742404 83c8ff f00fc106 c3",
    "a bit far away": "8b742404 b800900000 0fab06 c3",
    "fxsave": "8b742404 81e6f0ffffff 0fae06 c3",
    "the floating-point environment": "8b742404 d936 c3",
    "a float": "8b742404 d9e8 dd1e c3",
    "movnti": "8b742404 83c8ff 0fc306 c3",
    "movups": "8b742404 660f76c0 0f1106 c3",
    "maskmovdqu": "8b7c2404 660f76c0 660ff7c0 c3",
    "a variable of the driver": "c7050020dea505000000 c3",
    "the exception list": "64892500000000 c3",
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_memory_is_put_back_whatever_wrote_it(name: str) -> None:
    memory: list[dict[int, bytes]] = []

    class Watching(EveryExecution):
        def _find(self, *arguments: object) -> Find:
            memory.append(_memory(self))
            return super()._find(*arguments)

    machine = _fuzzer({0x1000: WRITERS[name]}, Watching)
    slots = [Slot(Place.MEMORY, POINTED + offset, 4) for offset in (0, 0x1EFC, 0x1F00)]
    batch = machine.batch(0x1000, SOURCE, POINTER, slots, executions=3)
    after = _memory(machine)
    machine.batch(0x1000, SOURCE, POINTER, slots, executions=0)
    before = _memory(machine)
    assert {find.outcome for find in batch.finds} == {Outcome.RETURNED}
    assert len(memory) == 3
    assert all(one != before for one in memory), "nothing was written"
    assert {start: after[start] for start in before} == before


def test_a_batch_follows_from_its_seed() -> None:
    def run(seed: int) -> Batch:
        machine = _fuzzer({0x1000: ALLOCA}, EveryExecution)
        slots = machine.learn(0x1000, SOURCE, POINTER)
        return machine.batch(0x1000, SOURCE, POINTER, slots, seed=seed, executions=100)

    assert run(1) == run(1)
    assert [find.source for find in run(1).finds] != [find.source for find in run(2).finds]


def test_an_execution_does_not_depend_on_those_before_it() -> None:
    machine = _fuzzer({0x1000: ALLOCA}, EveryExecution)
    slots = machine.learn(0x1000, SOURCE, POINTER)
    long = machine.batch(0x1000, SOURCE, POINTER, slots, seed=5, executions=60)
    short = machine.batch(0x1000, SOURCE, POINTER, slots, seed=5, executions=30)
    assert long.finds[:30] == short.finds


# -- agreement with runs of their own --

COPIES = (
    # mov ecx, [esp+4]; movzx eax, byte [ecx]; push eax; push ecx; push 0xa5de2000; call [RtlCopyMemory]; add esp, 12;
    # cmp byte [0xa5de2001], 0; je +6; sub esp, 32; add esp, 32; ret
    "8b4c2404 0fb601 50 51 680020dea5 ff150040dea5 83c40c 803d0120dea500 7406 83ec20 83c420 c3"
)
ALLOCATES = (
    # push 0x31313131; push 64; push 0; call [ExAllocatePoolWithTag]; test eax, eax; je +9; mov dword [eax], 1;
    # sub esp, 16; add esp, 16; ret
    "6831313131 6a40 6a00 ff150440dea5 85c0 740c c70001000000 83ec10 83c410 c3"
)
GUARDED = {
    # push ebp; mov ebp, esp; push -1; push scopes; push [_except_handler3]; push fs:[0]; mov fs:[0], esp;
    # sub esp, 8; push ebx; mov [ebp-0x18], esp; mov [ebp-4], 0; push ecx; push ecx; mov eax, [ebp+8];
    # mov eax, [eax]; mov [ebp-4], -1; mov ecx, [ebp-0x10]; mov fs:[0], ecx; add esp, 8; pop ebx; leave; ret
    # filter: mov eax, 1; ret
    # except: mov esp, [ebp-0x18]; jmp +0; mov [ebp-4], -1; mov eax, 42; mov ecx, [ebp-0x10]; mov fs:[0], ecx;
    # pop ebx; leave; ret
    0x1000: "55 89e5 6aff 680011dea5 ff350c40dea5 64ff3500000000 64892500000000 83ec08 53 8965e8 c745fc00000000"
    "51 51 8b4508 8b00 c745fcffffffff 8b4df0 64890d00000000 83c408 5b c9 c3 b801000000c3"
    "8b65e8 eb00 c745fcffffffff b82a000000 8b4df0 64890d00000000 5b c9 c3",
    # scopes: enclosing level -1, filter, except
    0x1100: "ffffffff 4d10dea5 5310dea5",
}
CALLED_OUT = {
    # push 0x3000; push [esp+8]; push callout; call [KeExpandKernelStackAndCallout]; ret
    0x1000: "6800300000 ff742408 684010dea5 ff151040dea5 c3",
    # callout: mov eax, [esp+4]; mov eax, [eax]; and eax, 0xffc; sub esp, eax; jmp +0; add esp, eax; ret 4
    0x1040: "8b442404 8b00 25fc0f0000 29c4 eb00 01c4 c20400",
}
REWRITES = {
    # mov ecx, [esp+4]; movzx eax, byte [ecx]; and eax, 0x7c; mov [0xa5de1014], al; jmp +0; sub esp, 0 (imm at +0x14);
    # add esp, eax; ret
    0x1000: "8b4c2404 0fb601 83e07c a21410dea5 eb00 83ec00 01c4 c3",
}
AGREEING: dict[str, tuple[Mapping[int, str], bool]] = {
    "branches": ({0x1000: BRANCHES}, False),
    "memory written": ({0x1000: WRITES}, False),
    "a frame of the input's size": ({0x1000: ALLOCA}, False),
    "memory copied by the kernel": ({0x1000: COPIES}, False),
    "an allocation that may fail": ({0x1000: ALLOCATES}, False),
    "an exception handled": (GUARDED, False),
    "a callout on a stack of its own": (CALLED_OUT, False),
    "code that rewrites itself": (REWRITES, True),
}


@pytest.mark.parametrize("name", AGREEING)
@pytest.mark.parametrize("source", [SOURCE, Input(3, Style.MIXED, None)], ids=["zeros", "mixed"])
def test_every_execution_shows_what_a_run_of_its_own_shows(name: str, source: Input) -> None:
    functions, writable_code = AGREEING[name]
    fuzzer = _fuzzer(functions, EveryExecution, writable_code=writable_code)
    machine = _machine(functions, writable_code=writable_code)
    slots = fuzzer.learn(0x1000, source, POINTER)
    assert slots
    batch = fuzzer.batch(0x1000, source, POINTER, slots, executions=200)
    assert len(batch.finds) == 200
    for find in batch.finds:
        observation = machine.call(0x1000, find.source, POINTER)
        assert observation.outcome is find.outcome, observation.why
        if find.is_exact:
            assert (observation.own, observation.depth) == (find.own, find.depth), find.source.label
    assert any(find.is_exact for find in batch.finds)


# -- endings --


@pytest.fixture
def alarm() -> Iterator[Callable[[], None]]:
    """Let a signal raise TimeoutError soon."""

    def on_alarm(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, on_alarm)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.02) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("code", [BRANCHES, COPIES], ids=["native", "with the kernel"])
def test_a_signal_ends_a_batch_and_the_machine_stays_of_use(code: str, alarm: Callable[[], None]) -> None:
    machine = _fuzzer({0x1000: code})
    slots = machine.learn(0x1000, SOURCE, POINTER)
    machine.unlearn()
    expected = machine.batch(0x1000, SOURCE, POINTER, slots, executions=300)
    alarm()
    with pytest.raises(TimeoutError):
        machine.batch(0x1000, SOURCE, POINTER, slots, executions=1 << 40)
    machine.unlearn()
    assert machine.batch(0x1000, SOURCE, POINTER, slots, executions=300) == expected


def test_a_deadline_ends_a_batch() -> None:
    machine = _fuzzer({0x1000: ALLOCA})
    slots = machine.learn(0x1000, SOURCE, POINTER)
    batch = machine.batch(0x1000, SOURCE, POINTER, slots, executions=1 << 40, deadline=time.monotonic() + 0.05)
    assert 0 < batch.executions < 1 << 40


def test_a_loop_without_end_is_given_up_and_the_next_execution_runs() -> None:
    # mov ecx, [esp+4]; cmp byte [ecx], 0; jne -2 (itself); ret
    machine = _fuzzer({0x1000: "8b4c2404 803900 75fe c3"}, EveryExecution)
    batch = machine.batch(0x1000, SOURCE, POINTER, [Slot(Place.MEMORY, POINTED, 1)], budget=1000, executions=50)
    assert {find.outcome for find in batch.finds} == {Outcome.RETURNED, Outcome.BUDGET}
