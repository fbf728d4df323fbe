"""The ptrace requests that a native process needs, through the C library (ptrace(2), sys/user.h of x86-64).

A process is traced by one thread: all requests must come from the thread that started it.
"""

from __future__ import annotations

import ctypes
import errno
import os

from stackemu.harness.native.errors import EndedError

SYSEMU_SINGLESTEP = 32
CONT = 7
GETREGS, SETREGS = 12, 13
SETFPREGS = 15
SETOPTIONS = 0x4200
GETSIGINFO = 0x4202
GETREGSET, SETREGSET = 0x4204, 0x4205

O_TRACESYSGOOD = 0x00000001
O_EXITKILL = 0x00100000

NT_X86_XSTATE = 0x202

LIBRARY = ctypes.CDLL(None, use_errno=True)
PTRACE = LIBRARY.ptrace
PTRACE.restype = ctypes.c_long
PTRACE.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

USER_REGISTERS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
)
"""The fields of struct user_regs_struct, in order, 64 bits each: what a 64-bit tracer sees of any process."""

SIGINFO_SIZE = 128


class IoVector(ctypes.Structure):
    """struct iovec, which register sets are passed in."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def request(number: int, pid: int, address: int = 0, data: int = 0) -> None:
    """Make one request about the stopped process `pid`; raise OSError where the kernel refuses it."""
    if PTRACE(number, pid, address, data) == -1:
        raise refusal(number)


def refusal(number: int) -> OSError | EndedError:
    """Return the error for a request that just failed."""
    code = ctypes.get_errno()
    if code == errno.ESRCH:
        return EndedError("the native process is gone, or another thread than this one started it")
    return OSError(code, os.strerror(code), f"ptrace request {number:#x}")
