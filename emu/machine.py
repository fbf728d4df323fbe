"""Unicorn set up as a kernel-mode processor; runs one function and returns an Observation."""

from __future__ import annotations

import itertools
import struct
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from unicorn import x86_const

from stackemu.emu.calls import (
    ANYTHING,
    DEFAULT_BUDGET,
    GENERAL,
    STACK_WORDS,
    Arguments,
    Prepared,
    Recording,
    Snapshot,
)
from stackemu.emu.code.steps import STEP_SIZE, Steps
from stackemu.emu.engine import (
    EngineMemory,
    ExecutorMemory,
    Mode,
    attach_executor,
    attach_probe,
    attach_recorder,
    open_engine,
)
from stackemu.emu.execution import Execution, Stop
from stackemu.emu.forced_branches import ForcedBranch, in_place
from stackemu.emu.image import Image
from stackemu.emu.inputs import PAGE, Input
from stackemu.emu.journal import Journal
from stackemu.emu.kernel.api.irps import pending_roots
from stackemu.emu.kernel.call import BadAddress
from stackemu.emu.kernel.driver_roots import driver_object_roots
from stackemu.emu.kernel.families import ROLES
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.kernel.shapes import argument
from stackemu.emu.kernel.state import KernelState
from stackemu.emu.kernel.stubs import DISPATCH_STUB, StubTable
from stackemu.emu.kernel.variables import kernel_regions
from stackemu.emu.kernel_host import MAX_ARGUMENT_WORDS, KernelHost
from stackemu.emu.memory import KMDF_TABLE, STACK_BASE, STACK_SIZE, STACK_TOP, AddressSpace
from stackemu.emu.observation import Mark, Observation, Outcome, Share
from stackemu.emu.processor import KPCR_ADDRESS, Processor
from stackemu.emu.security_cookie import initial_cookie
from stackemu.emu.symbols.structure import Structure
from stackemu.emu.tape import Tape, TapeRecorder

MAX_TAPED = 400_000
"""Instructions of a taped run that are kept."""
MAX_RECORDED = 8_000
"""Instructions of a recorded run that are kept."""
_ENTRY_ESP = STACK_TOP - 0x100
_CALLER_FRAME = 0x400
_FLAGS = 0x202
_ALIGNMENT_SPAN = 64

_SAVED = (
    ("EBX", x86_const.UC_X86_REG_EBX),
    ("EBP", x86_const.UC_X86_REG_EBP),
    ("ESI", x86_const.UC_X86_REG_ESI),
    ("EDI", x86_const.UC_X86_REG_EDI),
)
_ESP = x86_const.UC_X86_REG_ESP
_ECX, _EDX = x86_const.UC_X86_REG_ECX, x86_const.UC_X86_REG_EDX


class Machine:
    """One driver in one emulated processor. Not shared between threads; runs are independent of each other."""

    def __init__(
        self,
        image: Image,
        functions: Sequence[tuple[int, int]],
        pops_at_call: Callable[[int], int],
        mode: Mode = Mode.BLOCKS,
        structures: Mapping[str, Structure] | None = None,
    ) -> None:
        """Map `image`. `functions` are (start, end) addresses, ascending; `structures` are the source's by tag.

        `pops_at_call` returns, for the address after a call of a function that nobody knows, how many bytes
        of arguments that function is to pop.
        """
        self._image = image
        self._functions = functions
        self._pops_at_call = pops_at_call
        self._mode = mode
        self._structures = structures or {}
        self._engine = open_engine()
        self._probe = attach_probe(self._engine, mode)
        self._probe.set_functions(array("I", [word for pair in functions for word in pair]).tobytes())
        self._stubs = StubTable(image)
        self._executor = attach_executor(self._engine, self._probe) if mode is Mode.FUZZED else None
        memory = ExecutorMemory(self._engine, self._executor) if self._executor else EngineMemory(self._engine)
        self._space = AddressSpace(self._engine, memory, image, len(self._stubs.stubs))
        self._processor = Processor(self._engine, memory)
        for region in kernel_regions():
            self._space.map_data(region.address, region.data, is_writable=region.is_writable)
        cookie = initial_cookie(image)
        self._space.bind([*self._stubs.pointers(), *([cookie] if cookie is not None else [])])
        if self._stubs.kmdf is not None:
            self._space.map_table(KMDF_TABLE, self._stubs.kmdf_addresses)
        self._kernel = KernelState(image)
        self._execution = Execution(self._engine, self._probe, self._space, self._stubs.index_at)
        self._host = KernelHost(
            self._engine, self._probe, self._execution, self._space, self._stubs, self._kernel, pops_at_call
        )
        self._reference: Machine | None = None
        self._recorder = attach_recorder(self._engine) if mode is Mode.RECORDED else None
        self._recording: Machine | None = None
        self._tape: TapeRecorder | None = None
        self._memory_at_start: dict[int, bytes] = {}
        self._forced: Sequence[ForcedBranch] = ()
        self._calls: list[tuple[int, int]] = []
        """Calls that were seen before branches were forced, and not taken yet."""

    def stub_name(self, address: int) -> str | None:
        """Return the name of the kernel function that the stub at `address` stands in for, else None."""
        index = self._stubs.index_at(address)
        return self._stubs.stubs[index].name if index else None

    def kernel_function(self, address: int) -> str | None:
        """Return the name of the kernel function at `address`, None for stubs that no driver can call."""
        index = self._stubs.index_at(address)
        return self._stubs.stubs[index].name if index is not None and index > DISPATCH_STUB else None

    def call(
        self,
        rva: int,
        source: Input,
        arguments: Arguments | Root = ANYTHING,
        *,
        alignment: int = 0,
        budget: int = DEFAULT_BUDGET,
        focus: int | None = None,
    ) -> Observation:
        """Run the function at `rva` from its entry until it returns or something stops it.

        A Root is called as the kernel calls it in its role. ESP at entry is `alignment` bytes below a multiple
        of 64. A run whose low-water mark the block mode cannot work out exactly is repeated in single-step mode.
        With a `focus`, the RVA of another function, the figures are those of its deepest frame in the run.
        """
        observation = self._call(rva, source, arguments, alignment, budget, focus)
        if observation.exact or self._mode not in (Mode.BLOCKS, Mode.FUZZED):
            return observation
        reference = self._single_stepping()
        with reference.forcing(self._forced):
            return reference.call(rva, source, arguments, alignment=alignment, budget=budget, focus=focus)

    @contextmanager
    def forcing(self, branches: Sequence[ForcedBranch]) -> Iterator[None]:
        """Let `branches` go one way in every `call` within; what those show is no measurement."""
        if not branches:
            yield
            return
        self._calls += self._probe.take_calls()
        self._probe.forget()
        self._forced = tuple(branches)
        try:
            yield
        finally:
            self._forced = ()
            self._probe.forget()
            self._probe.take_calls()

    def take_calls(self) -> list[tuple[int, int]]:
        """Return (address behind the call, entry called) of calls seen for the first time since the last time."""
        calls, self._calls = self._calls + self._probe.take_calls(), []
        return calls

    def keep(self) -> None:
        """Make what the last run left behind what later runs start from: memory, and the kernel's own state."""
        self._space.keep()
        self._kernel.keep()

    def collect_roots(self) -> tuple[Root, ...]:
        """Return all roots known after the last run, those in the driver object's tables included."""
        driver_object_roots(self._host.context())
        return tuple(self._kernel.records.roots)

    def record(
        self,
        rva: int,
        source: Input,
        arguments: Arguments | Root = ANYTHING,
        *,
        alignment: int = 0,
        budget: int = DEFAULT_BUDGET,
    ) -> Recording:
        """Run a function once more as `call` does, with every instruction's registers kept."""
        if self._recorder is None:
            return self._recording_machine().record(rva, source, arguments, alignment=alignment, budget=budget)
        recorder = self._recorder
        recorder.begin(MAX_RECORDED)
        journal = self._host.journal = Journal(lambda: recorder.count)
        observation = self._call(rva, source, arguments, alignment, budget, None)
        return Recording(observation, Steps(recorder.steps()), journal.events(), self._number_at)

    def tape(
        self,
        rva: int,
        source: Input,
        arguments: Arguments | Root = ANYTHING,
        *,
        alignment: int = 0,
        budget: int = DEFAULT_BUDGET,
    ) -> Tape:
        """Run a function once more as `call` does, and write down what it takes to repeat that elsewhere."""
        if self._recorder is None:
            recording = self._recording_machine()
            return recording.tape(rva, source, arguments, alignment=alignment, budget=budget)
        recorder = self._recorder
        recorder.begin(MAX_TAPED)
        taken = 0

        def take_steps() -> array[int]:
            nonlocal taken
            steps = Steps(recorder.steps()[STEP_SIZE * taken :])
            taken += len(steps)
            places = zip(steps.addresses, steps.stack_pointers, strict=True)
            return array("I", itertools.chain.from_iterable(places))

        self._host.journal = None
        self._tape = TapeRecorder(take_steps)
        try:
            observation = self._call(rva, source, arguments, alignment, budget, None)
        finally:
            recorded, self._tape, self._execution.tape = self._tape, None, None
        memory = dict(self._memory_at_start)
        memory.update((page, source.page(page)) for page in self._space.touched if page not in memory)
        entry_esp = (_ENTRY_ESP & -_ALIGNMENT_SPAN) - alignment
        whole = recorder.count < MAX_TAPED
        return Tape(observation, memory, recorded.segments, entry_esp, KPCR_ADDRESS, whole)

    def _recording_machine(self) -> Machine:
        """Return a machine that records and starts runs from what this one does."""
        if self._recording is None:
            self._recording = Machine(
                self._image, self._functions, self._pops_at_call, Mode.RECORDED, self._structures
            )
        self._recording.start_from(self.snapshot)
        return self._recording

    def _begin_tape(self) -> None:
        """Let the tape begin: what memory holds now is what the code is given."""
        if self._tape is None:
            return
        self._execution.tape = self._tape
        self._memory_at_start = {
            page: bytes(self._engine.mem_read(page, PAGE))
            for start, end, _ in self._engine.mem_regions()
            for page in range(start, end, PAGE)
        }

    def _number_at(self, address: int, size: int) -> int:
        try:
            return int.from_bytes(self._execution.read(address, size), "little")
        except BadAddress:
            return 0

    def _single_stepping(self) -> Machine:
        """Return a machine in the reference mode that starts runs from what this one does."""
        if self._reference is None:
            self._reference = Machine(self._image, self._functions, self._pops_at_call, Mode.STEPS, self._structures)
        self._reference.start_from(self.snapshot)
        return self._reference

    @property
    def snapshot(self) -> Snapshot:
        """Return what runs start from."""
        return Snapshot(self._space.snapshot, self._kernel.snapshot)

    @property
    def pool_end(self) -> int:
        """Return the address from where on runs are given pool memory: behind that of calls that were kept."""
        return self._kernel.pool_end

    def start_from(self, snapshot: Snapshot) -> None:
        """Let later runs start from a snapshot of a machine with the same image."""
        self._space.start_from(snapshot.memory)
        self._kernel.start_from(snapshot.kernel)

    def _call(
        self,
        rva: int,
        source: Input,
        arguments: Arguments | Root,
        alignment: int,
        budget: int,
        focus: int | None,
    ) -> Observation:
        prepared = self._prepare(rva, source, arguments, alignment)
        entry, esp = prepared.entry, prepared.esp
        outcome, why = (Outcome.FAULTED, prepared.failure) if prepared.failure else (Outcome.RETURNED, None)
        focus_at = 0 if focus is None else self._image.base + focus
        self._probe.begin(entry, esp, STACK_BASE, STACK_TOP + PAGE - STACK_BASE, budget, focus_at)
        self._begin_tape()
        if why is None:
            try:
                with in_place(self._engine, self._forced):
                    self._host.run(entry, esp)
            except Stop as stop:
                outcome, why = stop.outcome, stop.why
        observation = self._observe(outcome, why, esp, prepared.saved)
        return self._focused(observation, focus_at) if focus_at else observation

    def _prepare(self, rva: int, source: Input, arguments: Arguments | Root, alignment: int) -> Prepared:
        """Bring back what runs start from, and give the function its arguments."""
        if self._space.reset():
            self._probe.forget()
        self._processor.reset()
        self._kernel.reset()
        self._execution.begin(source)
        self._host.begin(source)
        esp = (_ENTRY_ESP & -_ALIGNMENT_SPAN) - alignment
        failure = None
        try:
            words = self._words(source, arguments)
        except BadAddress as bad:
            words = Words()
            failure = f"its arguments could not be prepared at {bad.address:#010x}"
        saved = self._set_up(esp, source, words)
        return Prepared(self._image.base + rva, esp, words, saved, failure)

    def _focused(self, observation: Observation, focus: int) -> Observation:
        """Return the figures of the deepest frame of the function at `focus`, in place of the whole run's."""
        probe = self._probe
        frames = probe.chain()
        top = frames[0][1] if frames else 0
        marks = {mark.function: mark for mark in observation.marks}
        returned = probe.focus_returned
        return replace(
            observation,
            outcome=Outcome.RETURNED if returned else observation.outcome,
            why=None if returned else observation.why,
            own=marks[focus].own if focus in marks else 0,
            depth=probe.focus_depth,
            chain=_shares(frames, top - probe.focus_depth),
            popped=None,
            clobbered=None,
            result=None,
        )

    def _words(self, source: Input, arguments: Arguments | Root) -> Words:
        """Return the words to call a function with; for a root they point to what its role is given."""
        if isinstance(arguments, Root):
            build = ROLES.get(arguments.kind)
            if build is not None:
                return build(self._host.context(), arguments)
            arguments = Arguments()
        context = self._host.context()

        def word(index: int, kind: bool | str | None) -> int:
            if not isinstance(kind, str):
                return source.argument(index, kind)
            # Made even where the input says otherwise, so that what follows lies at the same addresses.
            shaped = argument(context, kind, self._structures)
            if source.overrides_argument(index):
                shaped = None
            return shaped if shaped is not None else source.argument(index, is_pointer=kind.endswith("*"))

        return Words(
            tuple(word(index, kind) for index, kind in enumerate(arguments.stack[:MAX_ARGUMENT_WORDS])),
            word(MAX_ARGUMENT_WORDS, arguments.ecx),
            word(MAX_ARGUMENT_WORDS + 1, arguments.edx),
        )

    def _set_up(self, esp: int, source: Input, words: Words) -> tuple[int, ...]:
        """Load registers and push arguments; returns the callee-saved registers' values."""
        engine = self._engine
        for number, register in enumerate(GENERAL):
            engine.reg_write(register, source.register(number))
        for register, value in ((_ECX, words.ecx), (_EDX, words.edx)):
            if value is not None:
                engine.reg_write(register, value)
        engine.reg_write(x86_const.UC_X86_REG_EBP, esp + _CALLER_FRAME)
        engine.reg_write(_ESP, esp)
        engine.reg_write(x86_const.UC_X86_REG_EFLAGS, _FLAGS)
        stack = words.stack + tuple(source.argument(index, None) for index in range(len(words.stack), STACK_WORDS))
        engine.mem_write(esp, struct.pack(f"<{len(stack) + 1}I", self._stubs.return_address, *stack))
        for address, data in source.memory_overrides:
            try:
                self._execution.write(address, data)
            except BadAddress:
                continue  # nothing can be there in this run
        return tuple(engine.reg_read(register) for _, register in _SAVED)

    def _observe(self, outcome: Outcome, why: str | None, esp: int, saved: tuple[int, ...]) -> Observation:
        engine, probe = self._engine, self._probe
        came_back = outcome is Outcome.RETURNED and why is None
        final_esp = engine.reg_read(_ESP)
        frames = probe.chain()
        depth = esp - probe.low
        if outcome is Outcome.RETURNED and depth > STACK_SIZE:
            outcome, why = Outcome.OVERFLOW, f"{depth} bytes do not fit into a stack of {STACK_SIZE}"
        pending_roots(self._host.context())
        records = self._kernel.records
        return Observation(
            outcome=outcome,
            why=why,
            own=probe.own,
            depth=depth,
            chain=_shares(frames, probe.low),
            marks=tuple(Mark(*mark) for mark in probe.marks()),
            instructions=probe.instructions,
            blocks=tuple(array("I", probe.seen())),
            popped=final_esp - esp - 4 if came_back else None,
            clobbered=tuple(
                name
                for (name, register), value in zip(_SAVED, saved, strict=True)
                if engine.reg_read(register) != value
            )
            if came_back
            else None,
            guessed_calls=tuple(self._host.guesses),
            # What is remembered of a block is wrong once its code has been rewritten.
            exact=probe.exact and not self._space.code_changed,
            result=engine.reg_read(x86_const.UC_X86_REG_EAX) if came_back else None,
            callbacks=tuple(self._host.callbacks),
            calls=self._host.calls,
            roots=tuple(records.roots),
            notes=tuple(records.notes),
            unmodelled=tuple(records.unmodelled.items()),
        )


def _shares(frames: Sequence[tuple[int, int]], low: int) -> tuple[Share, ...]:
    """Return each frame's share of the stack down to `low`; frames are (function, ESP at its entry)."""
    ends = [*(esp for _, esp in frames[1:]), low][: len(frames)]
    return tuple(Share(function, esp - end) for (function, esp), end in zip(frames, ends, strict=True))
