"""Why a native process stopped."""

from __future__ import annotations

import array
import os
import signal
from dataclasses import dataclass
from typing import Final

from stackemu.harness.native import ptrace
from stackemu.harness.native.errors import EndedError

STEPPED: Final = signal.SIGTRAP << 8 | 0x7F
"""The wait status of a stop by SIGTRAP: a step, or the code's own breakpoint."""

SYSTEM_CALL: Final = (signal.SIGTRAP | 0x80) << 8 | 0x7F
"""The wait status of a stop at a system call (PTRACE_O_TRACESYSGOOD)."""

TRAP_TRACE: Final = 2
"""The si_code of the SIGTRAP that a step raises; `int3` has SI_KERNEL, `int1` TRAP_BRKPT."""

SI_KERNEL: Final = 0x80
"""The si_code of a fault without an address, such as the general protection fault of a privileged instruction."""

_WITH_ADDRESS: Final = frozenset((signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE))


@dataclass(frozen=True, slots=True)
class Stepped:
    """One instruction, or one iteration of a `rep` instruction, was executed; these are the registers after it."""

    eip: int
    esp: int


@dataclass(frozen=True, slots=True)
class Signal:
    """The processor refused the instruction at EIP, or trapped after it; nothing was delivered to the process.

    `number` is the signal that Linux makes of the exception: SIGSEGV (page fault, general protection), SIGBUS,
    SIGILL, SIGFPE, SIGTRAP (`int3`, `int1`: EIP is behind it). `code` is its si_code (sigaction(2)). `address` is
    what the instruction touched at a page fault, its own address at SIGILL and SIGFPE, and None where the exception
    has none: a privileged instruction's general protection fault is SIGSEGV with `code` SI_KERNEL.
    """

    number: int
    code: int
    address: int | None


@dataclass(frozen=True, slots=True)
class SystemCall:
    """The instruction was a system call, which was not executed: EAX is -ENOSYS, whose number in EAX is `number`.

    After `int 0x80`, EIP is behind the instruction. `syscall` and `sysenter`, where the processor
    knows them in 32-bit mode, leave EIP at the place where Linux's vdso would have been.
    """

    number: int


Stop = Stepped | Signal | SystemCall


class SignalInfo:
    """The siginfo of a stopped process."""

    def __init__(self, pid: int) -> None:
        """Make room for what the kernel tells about `pid`."""
        self._pid = pid
        self.words = array.array("i", bytes(ptrace.SIGINFO_SIZE))
        self.address = self.words.buffer_info()[0]

    def read(self) -> Signal:
        """Return what the process stopped for (struct siginfo of x86-64: number, errno, code, then the address)."""
        ptrace.request(ptrace.GETSIGINFO, self._pid, 0, self.address)
        number, _, code = self.words[:3]
        located = number in _WITH_ADDRESS and code != SI_KERNEL and code > 0
        return Signal(number, code, self.words[4] & 0xFFFFFFFF if located else None)


def require_alive(status: int) -> None:
    """Raise EndedError where a wait status says that the process is no more."""
    if os.WIFSIGNALED(status):
        raise EndedError(f"the native process was ended by signal {os.WTERMSIG(status)}")
    if os.WIFEXITED(status):
        raise EndedError(f"the native process exited with status {os.WEXITSTATUS(status)}")
