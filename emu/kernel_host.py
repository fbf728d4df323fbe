"""The emulated kernel at work: serves API calls, calls the driver back, dispatches its exceptions."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NoReturn

import unicorn
from unicorn import x86_const

from stackemu.emu.engine import native_registers
from stackemu.emu.execution import Execution, Reached, Stop
from stackemu.emu.faults import STATUS_ACCESS_VIOLATION, Fault
from stackemu.emu.inputs import PAGE, Input, Style
from stackemu.emu.journal import Journal
from stackemu.emu.kernel.api.exceptions import EXCEPTION_NONCONTINUABLE, ExceptionRaised, dispatch
from stackemu.emu.kernel.call import ApiCall, BadAddress, Bugcheck, Context, Raised, Terminated
from stackemu.emu.kernel.families import perform
from stackemu.emu.kernel.state import KernelState
from stackemu.emu.kernel.stubs import CALLBACK_STUB, DISPATCH_STUB, RETURN_STUB, Stub, StubTable
from stackemu.emu.kernel.system_time import ticks_at
from stackemu.emu.kernel.variables import times_at, variable_at
from stackemu.emu.memory import EXPANSION_BASE, EXPANSION_SIZE, STACK_BASE, STACK_TOP, AddressSpace
from stackemu.emu.observation import Outcome
from stackemu.emu.probe import Probe

MAX_STOPS = 4_000
"""Times that one run may call the kernel: a bound for drivers that do nothing else."""
MAX_LEVELS = 48
"""How deep callbacks and exceptions may nest in each other."""
MAX_ARGUMENT_WORDS = 16

_REGISTERS = {
    name: getattr(x86_const, f"UC_X86_REG_{name}")
    for name in ("EAX", "EBX", "ECX", "EDX", "ESI", "EDI", "EBP", "ESP", "EIP", "EFLAGS")
}
_SAVED = ("EBX", "ESI", "EDI", "EBP")


class _Left(Exception):  # noqa: N818 -- a transfer of control
    """The driver goes on somewhere else than behind the call under way."""

    def __init__(self, registers: dict[str, int]) -> None:
        super().__init__(f"on at {registers['EIP']:#010x}")
        self.registers = registers


class _Unwound(Exception):  # noqa: N818 -- a transfer of control
    """Code called back by the kernel has left the kernel's frames for those of an outer level."""

    def __init__(self, event: Reached | Fault, esp: int) -> None:
        super().__init__("left a callback")
        self.event = event
        self.esp = esp


class KernelHost:
    """Stands between the driver's code and the emulated kernel (see `emu.kernel.call.Host`)."""

    def __init__(
        self,
        engine: unicorn.Uc,
        probe: Probe,
        execution: Execution,
        space: AddressSpace,
        stubs: StubTable,
        kernel: KernelState,
        pops_at_call: Callable[[int], int],
    ) -> None:
        """`pops_at_call` is that of `Machine`."""
        self._engine = engine
        self._registers = native_registers(engine)
        self._probe = probe
        self._execution = execution
        self._space = space
        self._stubs = stubs
        self._kernel = kernel
        self._pops_at_call = pops_at_call
        self._dispatcher = stubs.address(DISPATCH_STUB)
        self._source = Input(0, Style.ZEROS, None)
        self._calls = 0
        self._stops = 0
        self._levels: list[int] = []
        """ESP of the driver where the kernel was entered, for the run itself and each callback."""
        self.guesses: list[tuple[int, int]] = []
        """Calls of functions nobody knows, as (address behind the call, bytes popped)."""
        self.callbacks: dict[tuple[int, int, int], None] = {}
        """Callbacks made: the address behind the call of the kernel function, the callback, words of arguments."""
        self._serving = 0
        """The address behind the call of the kernel function that is being served, 0 while none is."""
        self.journal: Journal | None = None
        """Where kernel calls are written down, for those who follow values through a run."""

    def begin(self, source: Input, calls: int = 0) -> None:
        """Take the input of a new run, before which the kernel was at work `calls` times."""
        self._source = source
        self._calls = calls
        self._stops = 0
        self._levels.clear()
        self.guesses = []
        self.callbacks = {}
        self._serving = 0

    @property
    def calls(self) -> int:
        """Return how many times the kernel was at work in this run."""
        return self._calls

    def context(self) -> Context:
        """Return what the kernel works with outside of any API call, such as to prepare arguments."""
        self._calls += 1
        source = self.journal.prepare(self._source) if self.journal is not None else self._source
        return Context(self, self._kernel, source, self._calls - 1)

    def run(self, address: int, esp: int) -> None:
        """Run the driver's code from `address` until it returns; `esp` points above its return address.

        Raises:
            Stop: the run ended in another way.
        """
        self._levels.append(esp)
        self._drive(address)
        self._levels.pop()

    def take_over(self, error: int, esp: int) -> None:
        """Go on as `run` does, with code that somebody else started; `error` is what uc_emu_start returned.

        Raises:
            Stop: the run ended in another way.
        """
        self._levels.append(esp)
        self._stops += 1
        self._drive(0, self._execution.take_over(error))
        self._levels.pop()

    def _drive(self, address: int, event: Reached | Fault | None = None) -> None:
        """Run code and serve what it asks of the kernel, until it returns to this level.

        With an `event` the code is not run before that is served.
        """
        level = len(self._levels) - 1
        floor = self._levels[level]
        while True:
            if event is None:
                self._stops += 1
                if self._stops > MAX_STOPS:
                    raise Stop(Outcome.BUDGET, "called the kernel too often")
                event = self._execution.run(address)
            esp = self._get("ESP")
            if esp > floor and level > 0:
                raise _Unwound(event, esp)
            if isinstance(event, Reached) and event.stub in (RETURN_STUB, CALLBACK_STUB):
                return
            try:
                address = self._handle(event)
                event = None
            except _Left as left:
                del self._levels[level + 1 :]
                address = self._go_on(left.registers)
                event = None
            except _Unwound as unwound:
                del self._levels[level + 1 :]
                if unwound.esp > floor and level > 0:
                    raise
                event = unwound.event

    def _handle(self, event: Reached | Fault) -> int:
        """Serve what stopped the code; returns the address where it goes on."""
        if isinstance(event, Fault):
            return self._except(event)
        if event.stub is None:
            variable = variable_at(event.address)
            if variable is not None:
                why = f"call or jump to {event.address:#010x}, which is the variable {variable}"
                return self._except(Fault(event.address, Outcome.FAULTED, why))
            return self._serve(Stub(f"code at {event.address:#010x}", "", None))
        return self._serve(self._stubs.stubs[event.stub])

    def _go_on(self, registers: dict[str, int]) -> int:
        for name, value in registers.items():
            if name != "EIP":
                self._set(name, value)
        if not _is_on_a_stack(registers["ESP"]):
            raise Stop(Outcome.FAULTED, f"an exception handler moved the stack to {registers['ESP']:#010x}")
        # The first pops what lies below, the second the dispatcher's frame, even where ESP has not moved.
        self._probe.resume(registers["ESP"], self._dispatcher)
        self._probe.resume(registers["ESP"], self._dispatcher)
        self._probe.resume(registers["ESP"], registers["EIP"])
        return registers["EIP"]

    def _except(self, fault: Fault) -> int:
        """Let the driver's handlers see a fault; returns the address where one of them goes on."""
        if fault.status is None:
            raise Stop(fault.outcome, fault.why)
        exception = ExceptionRaised(fault.status, fault.address, fault.information)
        return self._dispatch(exception, Stop(fault.outcome, fault.why))

    def _dispatch(self, exception: ExceptionRaised, ending: Stop) -> int:
        """Offer an exception to the driver's handlers; returns the address where one of them goes on.

        Raises:
            Stop: `ending`, when nobody handles the exception or its records find no room.
            _Left: a handler took it.
        """
        if not self._probe.enter(self._dispatcher, self._get("ESP"), self._dispatcher, False):
            raise Stop(Outcome.OVERFLOW, "calls nested too deep")
        self._serving = 0
        try:
            registers = dispatch(self.context(), exception)
        except BadAddress as bad:
            raise ending from bad
        if registers is None:
            raise ending
        return self._go_on(registers)

    def _serve(self, stub: Stub) -> int:
        """Stand in for a kernel function; returns the address where the driver goes on."""
        esp = self._get("ESP")
        words = struct.unpack(f"<{1 + MAX_ARGUMENT_WORDS}I", self._peek(esp, 4 * (1 + MAX_ARGUMENT_WORDS)))
        return_address = words[0]
        registers = (self._get("EAX"), self._get("ECX"), self._get("EDX"))
        in_registers = registers[1 : 1 + stub.api.register_arguments] if stub.api else ()
        call = ApiCall(
            host=self,
            kernel=self._kernel,
            source=self._source,
            ordinal=self._calls,
            name=stub.name,
            api=stub.api,
            arguments=(*in_registers, *words[1:]),
            stack_words=words[1:],
            call_registers=registers,
            return_address=return_address,
        )
        self._calls += 1
        outer, self._serving = self._serving, return_address
        if self.journal is not None:
            call.source = self.journal.begin(call)
        for address, data in times_at(ticks_at(call.ordinal)):
            self.write(address, data)
        self._perform(call, esp)
        self._serving = outer
        if self.journal is not None:
            self.journal.end()
        pops = stub.pops
        if pops is None:
            pops = self._pops_at_call(return_address)
            self.guesses.append((return_address, pops))
        self._set("EAX", call.eax & 0xFFFFFFFF)
        if call.edx is not None:
            self._set("EDX", call.edx)
        for name, value in call.registers.items():
            self._set(name, value)
        esp = (esp + 4 + pops - call.stack_adjust) & 0xFFFFFFFF
        if not _is_on_a_stack(esp):
            raise Stop(Outcome.OVERFLOW, f"{stub.name} moved the stack pointer off the stack")
        self._set("ESP", esp)
        self._probe.resume(esp, return_address)
        return int(return_address)

    def _perform(self, call: ApiCall, esp: int) -> None:
        """Carry out an API call; exceptions that it raises go to the driver's handlers.

        Raises:
            Stop: the call ended the run.
            _Left: a handler took the exception.
        """
        try:
            perform(call)
            return
        except Bugcheck as bugcheck:
            raise Stop(Outcome.BUGCHECK, f"{call.name}({bugcheck.code:#x})") from bugcheck
        except Terminated as terminated:
            raise Stop(Outcome.RETURNED, f"{call.name} ended the thread") from terminated
        except BadAddress as bad:
            status = STATUS_ACCESS_VIOLATION
            information: tuple[int, ...] = (0, bad.address)
            ending = Stop(Outcome.FAULTED, f"{call.name} was given the address {bad.address:#010x}")
            # A kernel address that is not there is a bugcheck, which no handler sees.
            is_dispatched = bad.address < 0x80000000
        except Raised as raised:
            status, information = raised.status, ()
            ending = Stop(Outcome.RAISED, f"{call.name} raised {raised.status:#010x}")
            is_dispatched = True
        self._set("ESP", esp)
        exception = ExceptionRaised(status, call.return_address, information, EXCEPTION_NONCONTINUABLE)
        if is_dispatched:
            self._dispatch(exception, ending)
        raise ending

    # -- what the emulated kernel asks of the machine --

    def read(self, address: int, size: int) -> bytes:
        """Return emulated memory; raises BadAddress where nothing may be mapped."""
        return self._execution.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Change emulated memory; raises BadAddress where nothing may be mapped."""
        self._execution.write(address, data)
        if self.journal is not None:
            self.journal.wrote(address, data)

    def registers(self) -> dict[str, int]:
        """Return the general registers, EIP and EFLAGS by name."""
        return {name: self._registers.read(number) for name, number in _REGISTERS.items()}

    def leave(self, address: int, *, esp: int, ebp: int | None, eax: int | None) -> NoReturn:
        """End the call under way: the driver goes on at `address`."""
        registers = {"EIP": address, "ESP": esp}
        if ebp is not None:
            registers["EBP"] = ebp
        if eax is not None:
            registers["EAX"] = eax
        raise _Left(registers)

    def invoke(
        self, address: int, arguments: Sequence[int], *, ecx: int | None, edx: int | None, ebp: int | None
    ) -> int:
        """Call the driver's code on the driver's stack as a subroutine; returns EAX.

        Code outside the driver is not called: what it would do is the input's to say.

        Raises:
            Stop: the run is over.
        """
        image = self._kernel.image
        self.callbacks[self._serving, address, len(arguments)] = None
        if not image.is_code(address - image.base) and self._stubs.index_at(address) is None:
            return self.context().draw()
        if len(self._levels) >= MAX_LEVELS:
            raise Stop(Outcome.BUDGET, "callbacks nest too deep")
        outer = self.registers()
        esp = outer["ESP"] - 4 * (len(arguments) + 1)
        if not _is_on_a_stack(esp):
            raise Stop(Outcome.OVERFLOW, "no stack is left for a callback")
        words = (self._stubs.address(CALLBACK_STUB), *(word & 0xFFFFFFFF for word in arguments))
        self._execution.write(esp, struct.pack(f"<{len(words)}I", *words))
        for name, value in (("ESP", esp), ("ECX", ecx), ("EDX", edx), ("EBP", ebp)):
            if value is not None:
                self._set(name, value)
        if not self._probe.enter(address, esp, words[0]):
            raise Stop(Outcome.OVERFLOW, "calls nested too deep")
        self._levels.append(outer["ESP"])
        self._drive(address)
        self._levels.pop()
        result = self._get("EAX")
        for name in _SAVED:
            self._set(name, outer[name])
        self._set("ESP", outer["ESP"])
        self._probe.resume(outer["ESP"], outer["EIP"])
        return result

    def invoke_apart(self, address: int, arguments: Sequence[int]) -> int:
        """Call the driver's code on a stack of its own, whose use is not measured; returns EAX."""
        outer = self._get("ESP")
        if EXPANSION_BASE <= outer <= EXPANSION_BASE + EXPANSION_SIZE:
            return self.invoke(address, arguments, ecx=None, edx=None, ebp=None)
        self._space.is_expanded = True
        state = self._probe.leave_stack(EXPANSION_BASE, EXPANSION_SIZE)
        self._set("ESP", EXPANSION_BASE + EXPANSION_SIZE)
        try:
            return self.invoke(address, arguments, ecx=None, edx=None, ebp=None)
        finally:
            self._probe.return_to_stack(state)
            self._set("ESP", outer)

    def _get(self, name: str) -> int:
        return self._registers.read(_REGISTERS[name])

    def _set(self, name: str, value: int) -> None:
        self._registers.write(_REGISTERS[name], value & 0xFFFFFFFF)

    def _peek(self, address: int, size: int) -> bytes:
        """Return stack memory; zeros above the stack's top."""
        available = max(0, min(size, STACK_TOP + PAGE - address))
        return bytes(self._engine.mem_read(address, available)) + bytes(size - available)


def _is_on_a_stack(esp: int) -> bool:
    return STACK_BASE <= esp <= STACK_TOP + PAGE or EXPANSION_BASE <= esp <= EXPANSION_BASE + EXPANSION_SIZE
