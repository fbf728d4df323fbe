"""What keeps a native process from touching the host: a system call filter and resource limits.

Stepping with PTRACE_SYSEMU_SINGLESTEP already skips every system call. The filter stands behind that: should the
process ever run on without its tracer, its first system call kills it.
"""

from __future__ import annotations

import resource
import struct
from typing import Final

from stackemu.harness.native.gate import MUNMAP

PR_SET_TSC, PR_TSC_SIGSEGV = 26, 2
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2

_AUDIT_ARCH_I386: Final = 0x40000003
_RET_KILL_PROCESS: Final = 0x80000000
_RET_ALLOW: Final = 0x7FFF0000
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data

# Code, jump if true, jump if false, operand (linux/filter.h): munmap of i386 alone is left, to take the gate's own
# page away after the filter stands. It can reach nothing but the process's own memory.
_FILTER = (
    (_LOAD_WORD, 0, 0, _ARCHITECTURE),
    (_JUMP_EQUAL, 0, 3, _AUDIT_ARCH_I386),
    (_LOAD_WORD, 0, 0, _NUMBER),
    (_JUMP_EQUAL, 0, 1, MUNMAP),
    (_RETURN, 0, 0, _RET_ALLOW),
    (_RETURN, 0, 0, _RET_KILL_PROCESS),
)


def filter_program(address: int) -> bytes:
    """Return an i386 struct sock_fprog to be put at `address`, with its instructions behind it."""
    instructions = b"".join(struct.pack("<HBBI", *instruction) for instruction in _FILTER)
    header = struct.Struct("<HxxI")
    return header.pack(len(_FILTER), address + header.size) + instructions


def limit_resources(pid: int, memory: int, cpu_seconds: int) -> None:
    """Limit the process to `memory` bytes of address space and `cpu_seconds`, no files, processes or core dumps."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: cpu_seconds,
    }
    for name, limit in limits.items():
        resource.prlimit(pid, name, (limit, limit))
