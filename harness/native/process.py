"""A 32-bit process that executes given machine code on the host's own processor, one instruction at a time."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection
from types import TracebackType
from typing import Final, Self

from stackemu.harness.native import confinement, gate, ptrace, stops
from stackemu.harness.native.affinity import on_one_processor
from stackemu.harness.native.elf import PAGE
from stackemu.harness.native.errors import NativeError, StartError, UnmappedError
from stackemu.harness.native.launch import end, launch
from stackemu.harness.native.registers import RegisterFile, Registers
from stackemu.harness.native.stepping import Halt, Run, Stepper
from stackemu.harness.native.stops import Stepped, Stop

DEFAULT_GATE: Final = 0x7FFF0000
"""Where the process's own page lies until it is confined. 32-bit Windows keeps these 64 KiB, the last
before its kernel's half, inaccessible to everybody, so no driver's memory is there."""

ADDRESS_LIMIT: Final = 0xFFFFE000
"""The first address that Linux gives no 32-bit process: IA32_PAGE_OFFSET, arch/x86/include/asm/page_64_types.h."""

_READ_WRITE_EXECUTE: Final = 7
_PRIVATE_FIXED_ANONYMOUS: Final = 0x02 | 0x10 | 0x20
_NO_RESERVE: Final = 0x4000
_ERRORS: Final = range(0xFFFFF001, 0x100000000)
"""What a system call returns where it failed: minus the error number."""

_DESCRIPTOR_FLAGS: Final = 1 << 0 | 1 << 4 | 1 << 6
"""struct user_desc: 32-bit segment, limit in pages, usable; contents 0 and read_exec_only 0: writable data."""

_ARGUMENT_REGISTERS: Final = ("ebx", "ecx", "edx", "esi", "edi", "ebp")


class NativeProcess:
    """A process of this host with nothing in it but what `map` puts there; a context manager.

    Used in this order: `map` and `set_fs_base`, then `confine`, then `registers`, `step` and `run_steps`, as often as
    wanted; `read` and `write` at any time. All calls must come from the thread that started it (ptrace).

    A step is what EFLAGS.TF makes of it (Intel SDM volume 3, 18.3.1.4): one instruction, except that each iteration
    of a `rep` string instruction is a step, which leaves EIP where it was until the last one, and that `mov ss` and
    `pop ss` are one step with the instruction behind them. `pushf` stores TF set. `rdtsc` faults (SIGSEGV), since its
    answer would differ from run to run, and so do all privileged instructions.
    """

    def __init__(self, *, gate_address: int = DEFAULT_GATE, memory: int = 1 << 30, cpu_seconds: int = 60) -> None:
        """Start it, stopped and empty but for its own page; `memory` (bytes) and `cpu_seconds` are its limits."""
        self._gate = gate_address
        self._confined = False
        self._memory = -1
        self._pid: int | None = launch(gate_address)
        self._registers = RegisterFile(self._pid)
        self._stepper = Stepper(self._pid, self._registers)
        try:
            self._memory = os.open(f"/proc/{self._pid}/mem", os.O_RDWR | os.O_CLOEXEC)
            self._prepare(memory, cpu_seconds)
        except OSError as error:
            self.close()
            raise StartError(f"a traced 32-bit process cannot be set up: {error}") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the process itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """Kill the process and wait for its end; harmless when repeated."""
        pid, self._pid = self._pid, None
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1
        if pid is not None:
            end(pid)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._require_open()

    def map(self, address: int, size: int) -> None:
        """Map zeroed memory over the `size` bytes from `address`, replacing what was there.

        It can be read, written and executed. Both are multiples of a page, 4096 bytes.
        """
        _check_pages(address, size)
        if address < self._gate + PAGE and self._gate < address + size:
            raise NativeError(f"the process's own page {self._gate:#x} is in the way; give it another gate_address")
        flags = _PRIVATE_FIXED_ANONYMOUS | _NO_RESERVE
        self._system_call(gate.MMAP2, address, size, _READ_WRITE_EXECUTE, flags, 0xFFFFFFFF, 0)

    def set_fs_base(self, address: int) -> None:
        """Load FS with a segment that begins at `address` and has 4 GiB, as a driver's FS begins at the KPCR."""
        description = struct.pack("<IIII", 0xFFFFFFFF, address & 0xFFFFFFFF, 0xFFFFF, _DESCRIPTOR_FLAGS)
        where = self._gate + gate.SCRATCH
        self.write(where, description)
        self._system_call(gate.SET_THREAD_AREA, where)
        (entry,) = struct.unpack("<I", self.read(where, 4))  # the slot that the kernel chose
        selector = entry << 3 | 3  # of the global table, for user mode
        self._through_gate(Registers(ecx=selector, eip=self._gate + gate.LOAD_FS))

    def confine(self) -> None:
        """Bar the process from all system calls and take its own page away; nothing can be mapped after this."""
        where = self._gate + gate.SCRATCH
        self.write(where, confinement.filter_program(where))
        self._system_call(gate.PRCTL, confinement.PR_SET_TSC, confinement.PR_TSC_SIGSEGV)
        self._system_call(gate.PRCTL, confinement.PR_SET_NO_NEW_PRIVS, 1)
        self._system_call(gate.PRCTL, confinement.PR_SET_SECCOMP, confinement.SECCOMP_MODE_FILTER, where)
        self._system_call(gate.MUNMAP, self._gate, PAGE)
        self._confined = True
        self._registers.keep_segments()
        self.reset_floating_point()

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes of the process's memory."""
        try:
            content = os.pread(self._file, size, address)
        except OSError as error:
            raise UnmappedError(f"{address:#x} is not mapped: {error.strerror}") from error
        if len(content) != size:
            raise UnmappedError(f"{address + len(content):#x} is not mapped")
        return content

    def write(self, address: int, content: bytes) -> None:
        """Put `content` into the process's memory."""
        try:
            written = os.pwrite(self._file, content, address)
        except OSError as error:
            raise UnmappedError(f"{address:#x} is not mapped: {error.strerror}") from error
        if written != len(content):
            raise UnmappedError(f"{address + written:#x} is not mapped")

    @property
    def registers(self) -> Registers:
        """The general registers."""
        self._require_open()
        return self._registers.read()

    @registers.setter
    def registers(self, registers: Registers) -> None:
        self._require_open()
        self._registers.write(registers)

    def reset_floating_point(self) -> None:
        """Bring the x87, SSE and wider registers to their initial state, so that runs do not depend on each other."""
        self._registers.reset_floating_point()

    def step(self) -> Stop:
        """Execute one instruction, or one iteration of a `rep` instruction, and return what came of it."""
        run = self.run_steps(1)
        if isinstance(run.ended, Halt):
            return Stepped(run.eip[0], run.esp[0])
        return run.ended

    def run_steps(self, limit: int, stop_addresses: Collection[int] = (), *, collapse: bool = False) -> Run:
        """Step up to `limit` times, or until EIP is one of `stop_addresses` after a step, a signal or a system call.

        With `collapse`, a step that leaves both EIP and ESP as they were adds no pair: a `rep` instruction then has
        one pair however often it iterates, and a jump to itself none. `limit` counts steps in any case.
        """
        pid = self.pid
        if not self._confined:
            raise NativeError("code runs only in a confined process: call confine() first")
        stop_at = frozenset(stop_addresses)
        if limit == 1:  # not worth moving anybody
            return self._stepper.run(limit, stop_at, collapse=collapse)
        with on_one_processor(pid):
            return self._stepper.run(limit, stop_at, collapse=collapse)

    def _require_open(self) -> int:
        if self._pid is None:
            raise NativeError("the native process is closed")
        return self._pid

    @property
    def _file(self) -> int:
        """The file that is the process's memory (proc(5), /proc/pid/mem)."""
        self._require_open()
        return self._memory

    def _prepare(self, memory: int, cpu_seconds: int) -> None:
        """Leave nothing of the program but its own page, where the kernel put a stack and the vdso beside it."""
        confinement.limit_resources(self.pid, memory, cpu_seconds)
        self._system_call(gate.MUNMAP, 0, self._gate)
        behind = self._gate + PAGE
        self._system_call(gate.MUNMAP, behind, ADDRESS_LIMIT - behind)

    def _system_call(self, number: int, *arguments: int) -> int:
        """Let the process make a system call; return its result, or raise what it failed with."""
        values = dict(zip(_ARGUMENT_REGISTERS, arguments, strict=False))
        result = self._through_gate(Registers(eax=number, eip=self._gate + gate.SYSTEM_CALL, **values)).eax
        if result in _ERRORS:
            code = 0x100000000 - result
            raise NativeError(f"system call {number} of the native process: {os.strerror(code)}")
        return result

    def _through_gate(self, registers: Registers) -> Registers:
        """Execute the code that `registers` point to on the process's own page, up to where it stops again."""
        if self._confined:
            raise NativeError("the native process is confined already: map and set_fs_base come before confine")
        self.registers = registers
        ptrace.request(ptrace.CONT, self.pid)
        stops.require_alive(os.waitpid(self.pid, 0)[1])
        return self.registers


def _check_pages(address: int, size: int) -> None:
    if address % PAGE or size % PAGE or size <= 0 or not 0 <= address <= ADDRESS_LIMIT - size:
        raise ValueError(f"{size:#x} bytes at {address:#x} are not whole pages below {ADDRESS_LIMIT:#x}")
