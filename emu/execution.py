"""Runs emulated code until it needs the kernel: a stub reached, code that is not there, a fault."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import unicorn
from unicorn import x86_const

from stackemu.emu import faults
from stackemu.emu import probe as native
from stackemu.emu.code.blockeffect import block_effect, lowest_before
from stackemu.emu.code.instruction import Decoder
from stackemu.emu.engine import engine_pointer, hook_time, native_registers
from stackemu.emu.faults import Fault
from stackemu.emu.inputs import PAGE, Input, Style
from stackemu.emu.kernel.call import BadAddress
from stackemu.emu.memory import NULL_END, STACK_BASE, STACK_LIMIT, STACK_TOP, AddressSpace
from stackemu.emu.observation import Outcome
from stackemu.emu.probe import Probe
from stackemu.emu.tape import REGISTERS, TapeRecorder

_MAX_BLOCK = 0x2000
_UNTIL = 0xFFFFFFFF
"""Where Unicorn stops by itself: an address that no code can have."""
_FETCH_ERRORS = (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT)
_GENERAL = tuple(getattr(x86_const, f"UC_X86_REG_{name}") for name in REGISTERS)
_EIP, _ESP = x86_const.UC_X86_REG_EIP, x86_const.UC_X86_REG_ESP


class Stop(Exception):  # noqa: N818 -- ends a run, not a failure
    """The run is over without a return; says how."""

    def __init__(self, outcome: Outcome, why: str | None) -> None:
        """Remember how the run ended."""
        super().__init__(why)
        self.outcome = outcome
        self.why = why


@dataclass(frozen=True, slots=True)
class Reached:
    """The code went to `address`, outside the image: a stub (by its index), or code that nobody knows."""

    address: int
    esp: int
    stub: int | None


class Execution:
    """The engine with its probe and its memory, running one stretch of code after the other."""

    def __init__(
        self, engine: unicorn.Uc, probe: Probe, space: AddressSpace, stub_at: Callable[[int], int | None]
    ) -> None:
        """Install the hooks. `stub_at` returns the index of the stub at an address, None where there is none."""
        self._engine = engine
        self._probe = probe
        self._space = space
        self._stub_at = stub_at
        self._registers = native_registers(engine)
        self._pointer = engine_pointer(engine)
        self._decoder = Decoder()
        self._source: Callable[[], Input] = functools.partial(Input, 0, Style.ZEROS, None)
        self._pending: Callable[[int], Fault] | None = None
        self.tape: TapeRecorder | None = None
        """What writes the run down, for those who repeat it elsewhere."""
        engine.hook_add(unicorn.UC_HOOK_MEM_READ_UNMAPPED | unicorn.UC_HOOK_MEM_WRITE_UNMAPPED, self._on_unmapped)
        engine.hook_add(unicorn.UC_HOOK_MEM_WRITE_PROT, self._on_protected)
        engine.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        engine.hook_add(unicorn.UC_HOOK_INSN_INVALID, self._on_invalid)
        # Time passes with the instructions of the run, so that it is the same in every run.
        self._time_hook = hook_time(engine, lambda: probe.instructions)
        engine.hook_add(unicorn.UC_HOOK_INSN, self._on_port_in, None, 1, 0, x86_const.UC_X86_INS_IN)

    def begin(self, source: Input) -> None:
        """Take the input of a new run."""
        self.begin_many(lambda: source)

    def begin_many(self, source: Callable[[], Input]) -> None:
        """Begin runs that somebody else starts; `source` returns the input of the present one."""
        self._source = source
        self._pending = None

    def run(self, address: int) -> Reached | Fault:
        """Run from `address` until the kernel is needed.

        Raises:
            Stop: the run is over.
        """
        while True:
            error = self._start(address)
            event = self._event(error)
            if event is not None:
                return event
            address = self._registers.read(_EIP)

    def take_over(self, error: int) -> Reached | Fault:
        """Go on as `run` does, with code that somebody else started; `error` is what uc_emu_start returned.

        Raises:
            Stop: the run is over.
        """
        event = self._event(error)
        return event if event is not None else self.run(self._registers.read(_EIP))

    def describe_unknown(self) -> None:
        """Describe the block that stopped the probe.

        Raises:
            Stop: the block has an instruction that is not to be run.
        """
        self._probe.take_reason()
        self._describe(*self._probe.unknown_block)

    def _start(self, address: int) -> int:
        """Run from `address` until something stops the engine; returns Unicorn's error code."""
        engine = self._engine
        if self.tape is not None:
            registers = tuple(self._registers.read(number) for number in _GENERAL)
            self.tape.start(address, registers, self._registers.read(x86_const.UC_X86_REG_EFLAGS))
        error = int(unicorn.UC_ERR_OK)
        try:
            engine.emu_start(address, _UNTIL)
        except unicorn.UcError as failure:
            error = failure.errno
        if self.tape is not None:
            address = self._registers.read(_EIP)
            # Behind a stub's `hlt` is not where the driver's code went.
            is_stub = error == unicorn.UC_ERR_OK and self._stub_at(address - 1) is not None
            self.tape.stop(address - is_stub, self._registers.read(_ESP))
        return error

    def _event(self, error: int) -> Reached | Fault | None:
        """Return why the engine stopped, None when the run is to go on where it stands.

        Raises:
            Stop: the run is over.
        """
        probe = self._probe
        address = self._registers.read(_EIP)
        reason = probe.take_reason()
        if reason == native.UNKNOWN_BLOCK:
            self._describe(*probe.unknown_block)
            return None
        if reason:
            raise Stop(*self._probe_stop(reason))
        stub = self._stub_at(address - 1)
        if stub is not None and error == unicorn.UC_ERR_OK:
            return Reached(address - 1, self._registers.read(_ESP), stub)
        is_fetch = error in _FETCH_ERRORS or address == _UNTIL
        if is_fetch and address >= NULL_END:
            probe.arrive(self._pointer, address)
            if reason := probe.take_reason():
                raise Stop(*self._probe_stop(reason))
            return Reached(address, self._registers.read(_ESP), None)
        self._cut(address, in_fetch=is_fetch)
        return self._fault(error, address)

    def _describe(self, address: int, size: int) -> None:
        """Tell the probe what the block that it met for the first time does to the stack."""
        effect = block_effect(self._code_at(address, size), address, self._decoder)
        if effect.foreign is not None:
            raise Stop(Outcome.UNSUPPORTED, f"`{effect.foreign}` in the block at {address:#010x}")
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
            effect.peak,
            effect.tail_peak,
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
        esp = self._registers.read(_ESP)
        exact = low is not None and STACK_BASE <= esp <= STACK_TOP + PAGE
        if low is None:
            low = min(esp, self._probe.esp)
        count = sum(instruction.address < address for instruction in self._decoder.decode(code, start))
        self._probe.cut(low, count, exact)

    # -- memory, as code of the emulated kernel sees it --

    def read(self, address: int, size: int) -> bytes:
        """Return emulated memory; raises BadAddress where nothing may be mapped."""
        self.ensure(address, size)
        return self._space.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Change emulated memory; raises BadAddress where nothing may be mapped, or written."""
        self.ensure(address, len(data))
        if self._space.is_fixed(address, len(data)):
            raise BadAddress(address)
        self._space.write(address, data)
        if self.tape is not None:
            self.tape.wrote(address, data)

    def ensure(self, address: int, size: int) -> None:
        """Let pages come into being; raises BadAddress where none may."""
        if not 0 <= address <= address + size <= 0x1_0000_0000:
            raise BadAddress(address & 0xFFFFFFFF)
        for page in range(address & -PAGE, address + max(size, 1), PAGE):
            if not self._space.is_mapped(page) and not self._space.touch(page, self._source()):
                raise BadAddress(max(address, page))

    # -- hooks --

    def _on_unmapped(
        self, _engine: unicorn.Uc, kind: int, address: int, size: int, _value: int, _data: object
    ) -> bool:
        """Let pages come into being when they are touched."""
        for place in {address & -PAGE, (address + size - 1) & 0xFFFFFFFF & -PAGE}:
            if not self._space.is_mapped(place) and not self._space.touch(place, self._source()):
                is_write = kind == unicorn.UC_MEM_WRITE_UNMAPPED
                self._pending = functools.partial(self._unmapped_fault, target=address, is_write=is_write)
                return False
        return True

    def _unmapped_fault(self, at: int, target: int, is_write: bool) -> Fault:
        if self._space.is_guard(target):
            size = STACK_LIMIT - STACK_BASE
            why = f"the stack overflowed by more than {size} bytes at {at:#010x}"
            return Fault(at, Outcome.OVERFLOW, why)
        if self._space.is_full:
            return Fault(at, Outcome.BUDGET, f"touched too much memory at {at:#010x}")
        return faults.access("write to" if is_write else "read of", target, at, is_write)

    def _on_protected(
        self, _engine: unicorn.Uc, _kind: int, address: int, _size: int, _value: int, _data: object
    ) -> bool:
        self._pending = lambda at: faults.access("write to read-only memory at", address, at, is_write=True)
        return False

    def _on_interrupt(self, engine: unicorn.Uc, number: int, _data: object) -> None:
        self._pending = lambda at: faults.interrupt(number, at)
        engine.emu_stop()

    def _on_invalid(self, _engine: unicorn.Uc, _data: object) -> bool:
        self._pending = lambda at: Fault(
            at, Outcome.UNSUPPORTED, f"instruction that the emulator does not know at {at:#010x}"
        )
        return False

    def _on_port_in(self, _engine: unicorn.Uc, port: int, size: int, _data: object) -> int:
        return self._source().result(port) % (1 << 8 * size)

    # -- how it ended --

    def _probe_stop(self, reason: int) -> tuple[Outcome, str]:
        if reason == native.BUDGET:
            return Outcome.BUDGET, f"still running after {self._probe.instructions} instructions"
        if reason == native.FRAMES:
            return Outcome.OVERFLOW, "calls nested too deep"
        return Outcome.UNSUPPORTED, "the stack pointer left the stack"

    def _fault(self, error: int, address: int) -> Fault:
        """Return what stopped the processor at `address`."""
        pending, self._pending = self._pending, None
        if pending is not None:
            return pending(address)
        if address < NULL_END:
            why = f"{faults.WILD_JUMP} {address:#010x}"
            return Fault(address, Outcome.FAULTED, why, faults.STATUS_ACCESS_VIOLATION, (8, address))
        if error == unicorn.UC_ERR_OK:
            return Fault(address, Outcome.UNSUPPORTED, f"halted at {address:#010x}")
        return Fault(address, Outcome.FAULTED, f"{unicorn.UcError(error)} at {address:#010x}")
