"""Unicorn set up as a kernel-mode processor; runs one function and returns an Observation."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import unicorn
from unicorn import x86_const

from stackemu.emu import probe as native
from stackemu.emu.code.blockeffect import block_effect, lowest_before
from stackemu.emu.code.instruction import Decoder
from stackemu.emu.engine import Mode, attach_probe, engine_pointer, hook_time, open_engine
from stackemu.emu.image import Image
from stackemu.emu.inputs import PAGE, Input, Style
from stackemu.emu.kernel.call import ApiCall, BadAddress, Bugcheck, Raised
from stackemu.emu.kernel.stubs import Stub, StubTable, perform
from stackemu.emu.memory import (
    KMDF_TABLE,
    NULL_END,
    STACK_BASE,
    STACK_LIMIT,
    STACK_SIZE,
    STACK_TOP,
    AddressSpace,
)
from stackemu.emu.observation import Observation, Outcome, Share
from stackemu.emu.processor import Processor

DEFAULT_BUDGET = 200_000
"""Instructions a run may take before it is given up."""
MAX_ARGUMENT_WORDS = 16
_MAX_BLOCK = 0x2000
_MAX_STOPS = 20_000
"""Times that one run may hand control to Python: a bound for drivers that only call APIs."""
_ENTRY_ESP = STACK_TOP - 0x100
_CALLER_FRAME = 0x400
_FLAGS = 0x202
_ALIGNMENT_SPAN = 64

_FETCH_ERRORS = (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT)
_SAVED = (
    ("EBX", x86_const.UC_X86_REG_EBX),
    ("EBP", x86_const.UC_X86_REG_EBP),
    ("ESI", x86_const.UC_X86_REG_ESI),
    ("EDI", x86_const.UC_X86_REG_EDI),
)
_GENERAL = tuple(
    getattr(x86_const, f"UC_X86_REG_{name}") for name in ("EAX", "ECX", "EDX", "EBX", "EBP", "ESI", "EDI")
)
_EIP, _ESP = x86_const.UC_X86_REG_EIP, x86_const.UC_X86_REG_ESP
_EAX, _ECX, _EDX = x86_const.UC_X86_REG_EAX, x86_const.UC_X86_REG_ECX, x86_const.UC_X86_REG_EDX


@dataclass(frozen=True, slots=True)
class Arguments:
    """How to call a function: words pushed for it, and ECX and EDX; None for what the input decides."""

    stack: tuple[bool | None, ...] = (None,) * 12
    """For each word on the stack whether it is a pointer; None where its type is not known."""
    ecx: bool | None = None
    edx: bool | None = None


class _Stop(Exception):  # noqa: N818 -- ends a run, not a failure
    def __init__(self, outcome: Outcome, why: str | None) -> None:
        super().__init__(why)
        self.outcome = outcome
        self.why = why


@dataclass(slots=True)
class _Run:
    """What a run gathers while it is under way."""

    source: Input
    fault: tuple[str, int] | None = None
    calls: int = 0
    stops: int = 0
    guesses: list[tuple[int, int]] = field(default_factory=list)


class Machine:
    """One driver in one emulated processor. Not shared between threads; runs are independent of each other."""

    def __init__(
        self,
        image: Image,
        functions: Sequence[tuple[int, int]],
        pops_at_call: Callable[[int], int],
        mode: Mode = Mode.BLOCKS,
    ) -> None:
        """Map `image`. `functions` are (start, end) addresses, ascending.

        `pops_at_call` returns, for the address after a call of a function that nobody knows, how many bytes
        of arguments that function is to pop.
        """
        self._image = image
        self._functions = functions
        self._pops_at_call = pops_at_call
        self._mode = mode
        self._engine = open_engine()
        self._probe = attach_probe(self._engine, mode)
        self._pointer = engine_pointer(self._engine)
        self._probe.set_functions(array("I", [word for pair in functions for word in pair]).tobytes())
        self._decoder = Decoder()
        self._stubs = StubTable(image)
        self._space = AddressSpace(self._engine, image, len(self._stubs.stubs))
        self._processor = Processor(self._engine)
        self._space.bind(self._stubs.pointers())
        if self._stubs.kmdf is not None:
            self._space.map_table(KMDF_TABLE, self._stubs.kmdf_addresses)
        self._run = _Run(Input(0, Style.ZEROS, None))
        self._reference: Machine | None = None
        self._engine.hook_add(
            unicorn.UC_HOOK_MEM_READ_UNMAPPED | unicorn.UC_HOOK_MEM_WRITE_UNMAPPED, self._on_unmapped
        )
        self._engine.hook_add(unicorn.UC_HOOK_MEM_WRITE_PROT, self._on_protected)
        self._engine.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        self._engine.hook_add(unicorn.UC_HOOK_INSN_INVALID, self._on_invalid)
        # Time passes with the instructions of the run, so that it is the same in every run.
        self._time_hook = hook_time(self._engine, lambda: self._probe.instructions)
        self._engine.hook_add(unicorn.UC_HOOK_INSN, self._on_port_in, None, 1, 0, x86_const.UC_X86_INS_IN)

    def stub_name(self, address: int) -> str | None:
        """Return the name of the kernel function that the stub at `address` stands in for, else None."""
        index = self._stubs.index_at(address)
        return self._stubs.stubs[index].name if index else None

    # -- one run --

    def call(
        self,
        rva: int,
        source: Input,
        arguments: Arguments = Arguments(),
        *,
        alignment: int = 0,
        budget: int = DEFAULT_BUDGET,
        keep: bool = False,
    ) -> Observation:
        """Run the function at `rva` from its entry until it returns or something stops it.

        ESP at entry is `alignment` bytes below a multiple of 64. With `keep` the driver's globals stay as
        the run left them, for later runs to start from. A run whose low-water mark the block mode cannot
        work out exactly is repeated in single-step mode.
        """
        observation = self._call(rva, source, arguments, alignment, budget, keep)
        if observation.exact or self._mode is not Mode.BLOCKS:
            return observation
        if self._reference is None:
            self._reference = Machine(self._image, self._functions, self._pops_at_call, Mode.STEPS)
        return self._reference.call(rva, source, arguments, alignment=alignment, budget=budget)

    def _call(
        self, rva: int, source: Input, arguments: Arguments, alignment: int, budget: int, keep: bool
    ) -> Observation:
        if self._space.reset():
            self._probe.forget()
        self._processor.reset()
        self._run = _Run(source)
        entry = self._image.base + rva
        esp = (_ENTRY_ESP & -_ALIGNMENT_SPAN) - alignment
        saved = self._set_up(esp, source, arguments)
        self._probe.begin(entry, esp, STACK_BASE, STACK_TOP + PAGE - STACK_BASE, budget)
        try:
            self._execute(entry)
            outcome, why = Outcome.RETURNED, None
        except _Stop as stop:
            outcome, why = stop.outcome, stop.why
        observation = self._observe(outcome, why, esp, saved)
        if keep and outcome is Outcome.RETURNED:
            self._space.keep()
        return observation

    def _set_up(self, esp: int, source: Input, arguments: Arguments) -> tuple[int, ...]:
        """Load registers and push arguments; returns the callee-saved registers' values."""
        engine = self._engine
        for number, register in enumerate(_GENERAL):
            engine.reg_write(register, source.register(number))
        engine.reg_write(_ECX, source.argument(MAX_ARGUMENT_WORDS, arguments.ecx))
        engine.reg_write(_EDX, source.argument(MAX_ARGUMENT_WORDS + 1, arguments.edx))
        engine.reg_write(x86_const.UC_X86_REG_EBP, esp + _CALLER_FRAME)
        engine.reg_write(_ESP, esp)
        engine.reg_write(x86_const.UC_X86_REG_EFLAGS, _FLAGS)
        words = [source.argument(index, kind) for index, kind in enumerate(arguments.stack[:MAX_ARGUMENT_WORDS])]
        engine.mem_write(esp, struct.pack(f"<{len(words) + 1}I", self._stubs.return_address, *words))
        return tuple(engine.reg_read(register) for _, register in _SAVED)

    def _execute(self, address: int) -> None:
        """Run from `address` until the return stub is reached.

        Raises:
            _Stop: the run ended in another way.
        """
        engine, probe, run = self._engine, self._probe, self._run
        while True:
            run.stops += 1
            if run.stops > _MAX_STOPS:
                raise _Stop(Outcome.BUDGET, "called the kernel too often")
            error = unicorn.UC_ERR_OK
            try:
                engine.emu_start(address, 0xFFFFFFFF)
            except unicorn.UcError as failure:
                error = failure.errno
            address = engine.reg_read(_EIP)
            reason = probe.take_reason()
            if reason == native.UNKNOWN_BLOCK:
                self._describe(*probe.unknown_block)
                continue
            if reason:
                raise _Stop(*self._probe_stop(reason))
            stub = self._stubs.index_at(address - 1)
            if stub is not None and error == unicorn.UC_ERR_OK:
                if stub == 0:
                    return
                address = self._serve(self._stubs.stubs[stub])
                continue
            if error in _FETCH_ERRORS and address >= NULL_END:
                probe.arrive(self._pointer, address)
                address = self._serve(Stub(f"code at {address:#010x}", "", None))
                continue
            self._cut(address, in_fetch=error in _FETCH_ERRORS)
            raise _Stop(*self._failure(error, address))

    def _describe(self, address: int, size: int) -> None:
        """Tell the probe what the block that it met for the first time does to the stack."""
        effect = block_effect(self._code_at(address, size), address, self._decoder)
        if effect.foreign is not None:
            raise _Stop(Outcome.UNSUPPORTED, f"`{effect.foreign}` in the block at {address:#010x}")
        self._probe.add_block(
            address,
            size,
            effect.count,
            effect.low,
            effect.delta is not None,
            effect.delta or 0,
            effect.tail_low,
            effect.transfer,
            effect.align,
            effect.align_at,
            effect.aligned_low,
            effect.exact,
        )

    def _code_at(self, address: int, size: int) -> bytes:
        """Return a block's bytes; its size is not to be trusted after an instruction that does not decode."""
        try:
            return bytes(self._engine.mem_read(address, min(size, _MAX_BLOCK)))
        except unicorn.UcError:
            return bytes(self._engine.mem_read(address, PAGE - address % PAGE))

    def _cut(self, address: int, *, in_fetch: bool) -> None:
        """Account for what ran before a fault at `address`; `in_fetch`: there is no code at that address."""
        if in_fetch:
            self._probe.arrive(self._pointer, address)
        pending = self._probe.pending
        if pending is None:
            return
        start, size = pending
        code = self._code_at(start, size)
        low = lowest_before(code, start, address, self._probe.esp, self._decoder)
        if low is None:
            low = min(self._engine.reg_read(_ESP), self._probe.esp)
        count = sum(instruction.address < address for instruction in self._decoder.decode(code, start))
        self._probe.cut(low, count)

    # -- the kernel's side --

    def _serve(self, stub: Stub) -> int:
        """Stand in for a kernel function; returns the address where the driver goes on."""
        engine, run = self._engine, self._run
        esp = engine.reg_read(_ESP)
        words = struct.unpack(f"<{1 + MAX_ARGUMENT_WORDS}I", self._peek(esp, 4 * (1 + MAX_ARGUMENT_WORDS)))
        return_address = words[0]
        registers = (engine.reg_read(_EAX), engine.reg_read(_ECX), engine.reg_read(_EDX))
        in_registers = registers[1 : 1 + stub.api.register_arguments] if stub.api else ()
        call = ApiCall(
            name=stub.name,
            api=stub.api,
            arguments=(*in_registers, *words[1:]),
            stack_words=words[1:],
            registers=registers,
            memory=self,
            source=run.source,
            ordinal=run.calls,
        )
        run.calls += 1
        try:
            perform(call)
        except BadAddress as bad:
            raise _Stop(Outcome.FAULTED, f"{stub.name} was given the address {bad.address:#010x}") from bad
        except Bugcheck as bugcheck:
            raise _Stop(Outcome.BUGCHECK, f"{stub.name}({bugcheck.code:#x})") from bugcheck
        except Raised as raised:
            raise _Stop(Outcome.RAISED, f"{stub.name} raised {raised.status:#010x}") from raised
        pops = stub.pops
        if pops is None:
            pops = self._pops_at_call(return_address)
            run.guesses.append((return_address, pops))
        engine.reg_write(_EAX, call.eax)
        if call.edx is not None:
            engine.reg_write(_EDX, call.edx)
        esp = (esp + 4 + pops - call.stack_adjust) & 0xFFFFFFFF
        if not STACK_BASE <= esp <= STACK_TOP + PAGE:
            raise _Stop(Outcome.OVERFLOW, f"{stub.name} moved the stack pointer off the stack")
        engine.reg_write(_ESP, esp)
        self._probe.resume(esp, return_address)
        return int(return_address)

    def read(self, address: int, size: int) -> bytes:
        """Return emulated memory as a stub sees it; raises BadAddress where nothing may be mapped."""
        self._ensure(address, size)
        return bytes(self._engine.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        """Change emulated memory for a stub; raises BadAddress where nothing may be mapped."""
        self._ensure(address, len(data))
        self._engine.mem_write(address, data)

    def _ensure(self, address: int, size: int) -> None:
        if address + size > 0x1_0000_0000:
            raise BadAddress(address)
        for page in range(address & -PAGE, address + max(size, 1), PAGE):
            if not self._is_mapped(page) and not self._space.touch(page, self._run.source):
                raise BadAddress(max(address, page))

    def _is_mapped(self, page: int) -> bool:
        try:
            self._engine.mem_read(page, 1)
        except unicorn.UcError:
            return False
        return True

    def _peek(self, address: int, size: int) -> bytes:
        """Return stack memory; zeros above the stack's top."""
        available = max(0, min(size, STACK_TOP + PAGE - address))
        return bytes(self._engine.mem_read(address, available)) + bytes(size - available)

    # -- hooks --

    def _on_unmapped(
        self, _engine: unicorn.Uc, access: int, address: int, size: int, _value: int, _data: object
    ) -> bool:
        """Let pages come into being when they are touched."""
        for place in {address & -PAGE, (address + size - 1) & 0xFFFFFFFF & -PAGE}:
            if not self._is_mapped(place) and not self._space.touch(place, self._run.source):
                kind = "write to" if access == unicorn.UC_MEM_WRITE_UNMAPPED else "read of"
                self._run.fault = (kind, address)
                return False
        return True

    def _on_protected(
        self, _engine: unicorn.Uc, _access: int, address: int, _size: int, _value: int, _data: object
    ) -> bool:
        self._run.fault = ("write to read-only memory at", address)
        return False

    def _on_interrupt(self, engine: unicorn.Uc, number: int, _data: object) -> None:
        self._run.fault = (f"interrupt {number:#x}", engine.reg_read(_EIP))
        engine.emu_stop()

    def _on_invalid(self, engine: unicorn.Uc, _data: object) -> bool:
        self._run.fault = ("invalid instruction", engine.reg_read(_EIP))
        return False

    def _on_port_in(self, _engine: unicorn.Uc, port: int, size: int, _data: object) -> int:
        return self._run.source.result(port) % (1 << 8 * size)

    # -- what came out --

    def _probe_stop(self, reason: int) -> tuple[Outcome, str]:
        if reason == native.BUDGET:
            return Outcome.BUDGET, f"still running after {self._probe.instructions} instructions"
        if reason == native.FRAMES:
            return Outcome.OVERFLOW, "calls nested too deep"
        return Outcome.UNSUPPORTED, "the stack pointer left the stack"

    def _failure(self, error: int, address: int) -> tuple[Outcome, str]:
        """Return the outcome of a run that the processor stopped at `address`."""
        place = f"at {address:#010x}"
        fault, self._run.fault = self._run.fault, None
        if fault is not None:
            what, where = fault
            if self._space.is_guard(where):
                return Outcome.OVERFLOW, f"the stack overflowed by more than {STACK_LIMIT - STACK_BASE} bytes {place}"
            if self._space.is_full:
                return Outcome.BUDGET, f"touched too much memory {place}"
            if what.startswith("interrupt"):
                return _interrupt_outcome(what, place)
            if what == "invalid instruction":
                return Outcome.UNSUPPORTED, f"instruction that the emulator does not know {place}"
            return Outcome.FAULTED, f"{what} {where:#010x} {place}"
        if address < NULL_END:
            return Outcome.FAULTED, f"call or jump to {address:#010x}"
        if error == unicorn.UC_ERR_OK:
            return Outcome.UNSUPPORTED, f"halted {place}"
        return Outcome.FAULTED, f"{unicorn.UcError(error)} {place}"

    def _observe(self, outcome: Outcome, why: str | None, esp: int, saved: tuple[int, ...]) -> Observation:
        engine, probe = self._engine, self._probe
        returned = outcome is Outcome.RETURNED
        final_esp = engine.reg_read(_ESP)
        frames = probe.chain()
        ends = [frame_esp for _, frame_esp in frames[1:]] + [probe.low]
        depth = esp - probe.low
        if returned and depth > STACK_SIZE:
            outcome, why = Outcome.OVERFLOW, f"{depth} bytes do not fit into a stack of {STACK_SIZE}"
        return Observation(
            outcome=outcome,
            why=why,
            own=probe.own,
            depth=depth,
            chain=tuple(
                Share(function, frame_esp - end) for (function, frame_esp), end in zip(frames, ends, strict=True)
            ),
            instructions=probe.instructions,
            blocks=tuple(array("I", probe.seen())),
            popped=final_esp - esp - 4 if returned else None,
            clobbered=tuple(
                name
                for (name, register), value in zip(_SAVED, saved, strict=True)
                if engine.reg_read(register) != value
            )
            if returned
            else None,
            guessed_calls=tuple(self._run.guesses),
            # What is remembered of a block is wrong once its code has been rewritten.
            exact=probe.exact and not self._space.code_changed,
        )


def _interrupt_outcome(what: str, place: str) -> tuple[Outcome, str]:
    number = int(what.split()[1], 16)
    if number == 0x29:
        return Outcome.BUGCHECK, f"fast fail (int 29h) {place}"
    if number == 3:
        return Outcome.RAISED, f"breakpoint {place}"
    names = {0: "division error", 6: "invalid opcode", 13: "general protection fault", 14: "page fault"}
    return Outcome.FAULTED, f"{names.get(number, what)} {place}"
